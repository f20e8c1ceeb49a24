# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server with an open session, see `_database.interface.Server`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._database.description import description
from . import catalog
from .migration import ledger_rows
from .session import Connection, Login, PostgresqlError, connect, own_session

if TYPE_CHECKING:
    from .._database.backup.run import Method
    from .privileges import Lack


class PostgresqlServer:
    """See `Server`."""

    def __init__(self, login: Login, session: Connection) -> None:
        self.login, self.session = login, session

    def identity(self) -> dict[str, Any]:
        return catalog.identity(self.session)

    def is_read_only(self) -> bool:
        return catalog.is_read_only(self.session)

    def replicas(self) -> list[dict[str, Any]]:
        return catalog.replicas(self.session)

    def user_databases(self) -> list[str]:
        return catalog.user_databases(self.session)

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        return catalog.choose_databases(self.session, names)

    def describe(self, database: str, tenants_query: str | None = None) -> dict[str, Any]:
        try:
            with own_session(self.login, database) as session:
                tenants = session.rows(tenants_query) if tenants_query else None
                return description(catalog.size_bytes(session), catalog.table_count(session), tenants, ledger_rows.read(session))
        except PostgresqlError as error:
            raise PostgresqlError(f"{database}: {error}", error.sqlstate) from error

    def missing_privileges(self, purposes: Sequence[str], databases: Sequence[str]) -> list[Lack]:
        if not purposes:
            return []
        from .privileges import missing_privileges

        return missing_privileges(self.session, purposes, databases, lambda name: connect(self.login, name))

    def drop_left_behind(self) -> tuple[list[str], list[str]]:
        from .scratch_database import drop_left_behind

        return drop_left_behind(self.session)

    def method(self, options: Mapping[str, Any]) -> Method:
        from .backup.method import method_of

        catalog.require_primary(self.session, "the proof by a restore")
        return method_of(self.login, self.session, options)
