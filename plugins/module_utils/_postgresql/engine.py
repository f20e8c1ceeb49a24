# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL as a kind of database, see `_database_engines`."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping, Sequence

from .._database.backup.disk_space import Room
from .._database.backup.run import Method
from .._database.programs import Runner
from . import catalog, programs
from .backup.logical import Logical
from .backup.physical import PROGRAMS, Physical, require_fit
from .privileges import Lack, missing_privileges
from .scratch_database import drop_left_behind
from .scratch_server import Account
from .session import Connection, Login, PostgresqlError, connect


class Postgresql:
    """The server that a module's options name."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.login = Login.of(options)

    @contextlib.contextmanager
    def opened(self) -> Iterator[PostgresqlServer]:
        """See `Engine`."""
        with connect(self.login) as session:
            yield PostgresqlServer(self.login, session)


class PostgresqlServer:
    """See `Server`."""

    def __init__(self, login: Login, session: Connection) -> None:
        self.login, self.session = login, session

    def identity(self) -> dict:
        return catalog.identity(self.session)

    def is_read_only(self) -> bool:
        return catalog.is_read_only(self.session)

    def replicas(self) -> list[dict]:
        return catalog.replicas(self.session)

    def user_databases(self) -> list[str]:
        return catalog.user_databases(self.session)

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        return catalog.choose_databases(self.session, names)

    def describe(self, database: str) -> dict:
        try:
            with connect(self.login, database) as session:
                return {"size_bytes": catalog.size_bytes(session), "tables": catalog.table_count(session)}
        except PostgresqlError as error:
            raise PostgresqlError(f"{database}: {error}", error.sqlstate) from error

    def missing_privileges(self, purposes: Sequence[str], databases: Sequence[str]) -> list[Lack]:
        return missing_privileges(self.session, purposes, databases, lambda name: connect(self.login, name)) if purposes else []

    def drop_left_behind(self) -> tuple[list[str], list[str]]:
        return drop_left_behind(self.session)

    def method(self, options: Mapping[str, Any]) -> Method:
        catalog.require_primary(self.session, "the proof by a restore")
        identity, room, queries = self.identity(), Room(options["directory"]), options["check_queries"]
        major = identity["version_number"] // 10000
        if options["method"] == "logical":
            return Logical(self.login, identity, programs.find(major, options["bin_dir"]), Runner(), room, queries)
        if options["state"] == "proven":
            require_fit(self.session)
        found = programs.find_all(major, PROGRAMS, options["bin_dir"])
        scratch = options["scratch_directory"] or options["directory"].rstrip("/") + ".scratch"
        return Physical(self.login, found, Runner(), room, scratch, Account.for_servers(options["scratch_user"]), queries, options["max_rate"])
