# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A MariaDB server with an open session, see `_database.interface.Server`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._database.description import description
from .._database.scratch_names import is_scratch
from .migration import ledger_rows
from .session import Connection, Login, MariadbError, connect, size_bytes

if TYPE_CHECKING:
    from .._database.backup.run import Method

OWN = ("information_schema", "mysql", "performance_schema", "sys")
DATABASES = "SELECT schema_name FROM information_schema.schemata ORDER BY 1"
TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = %s AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
FOLLOWS = "SELECT count(*) FROM information_schema.processlist WHERE command = 'Slave_SQL' OR user = 'system user' AND command LIKE 'Slave%'"
FOLLOWERS = "SELECT user, host, state FROM information_schema.processlist WHERE command = 'Binlog Dump' ORDER BY host"


class MariadbServer:
    """See `Server`."""

    def __init__(self, login: Login, session: Connection) -> None:
        self.login, self.session = login, session

    def identity(self) -> dict[str, Any]:
        version, identifier, read_only = self.session.rows("SELECT version(), @@server_uid, @@read_only")[0]
        primary = not read_only and not self.session.value(FOLLOWS)
        return {"version": version.split("-")[0], "version_number": self.session.server_version, "system_identifier": identifier, "primary": primary}

    def is_read_only(self) -> bool:
        return bool(self.session.value("SELECT @@read_only"))

    def replicas(self) -> list[dict[str, Any]]:
        """The primary cannot report replica lag."""
        unknown = {"sync_state": None, "lag_bytes": None, "lag_seconds": None}
        return [{"name": user, "address": host.rpartition(":")[0] or host, "state": state, **unknown} for user, host, state in self.session.rows(FOLLOWERS)]

    def user_databases(self) -> list[str]:
        return [name for (name,) in self.session.rows(DATABASES) if name not in OWN and not is_scratch(name)]

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        there = self.user_databases()
        missing = [name for name in names if name not in there]
        if missing:
            raise MariadbError(f"no such database, or one of the server's own: {', '.join(missing)}; there are: {', '.join(there) or 'none'}. "
                               "Correct the names, or create the database")
        return list(dict.fromkeys(names)) or there

    def describe(self, database: str, tenants_query: str | None = None) -> dict[str, Any]:
        try:
            with connect(self.login, database) as session:
                tenants = session.rows(tenants_query) if tenants_query else None
                return description(size_bytes(session, database), session.value(TABLES, (database,)), tenants, ledger_rows.read(session))
        except MariadbError as error:
            raise MariadbError(f"{database}: {error}", error.number) from error

    def missing_privileges(self, _purposes: Sequence[str], _databases: Sequence[str]) -> list[Any]:
        """Not asked for: see docs/database_role.md."""
        return []

    def drop_left_behind(self) -> tuple[list[str], list[str]]:
        from .scratch_database import drop_left_behind

        return drop_left_behind(self.session)

    def method(self, options: Mapping[str, Any]) -> Method:
        from .backup import method_of

        return method_of(self.login, self.session, options)
