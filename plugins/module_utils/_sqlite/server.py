# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite's databases, which are files and are named by their paths, see `_database.interface.Server`: there is no server."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._database.description import description
from .migration import ledger_rows
from .session import SqliteError, connect, require_database, size_bytes

if TYPE_CHECKING:
    from .._database.backup.run import Method

# Backups identify servers by this. For SQLite, the path of a database is the only identity.
IDENTIFIER = "sqlite"
TABLES = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"


class SqliteFiles:
    """See `Server`."""

    def identity(self) -> dict[str, Any]:
        weights = zip(sqlite3.sqlite_version.split("."), (1000000, 1000, 1))
        number = sum(int(part) * weight for part, weight in weights)
        return {"version": sqlite3.sqlite_version, "version_number": number, "system_identifier": IDENTIFIER, "primary": True}

    def is_read_only(self) -> bool:
        return False

    def replicas(self) -> list[dict[str, Any]]:
        return []

    def user_databases(self) -> list[str]:
        raise SqliteError("the SQLite databases of a host are not listed anywhere: name their files as databases")

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        if not names:
            return self.user_databases()
        for name in names:
            if not os.path.isabs(name):
                raise SqliteError(f"{name} is no absolute path: give the whole path of the database's file")
            require_database(name)
        return list(dict.fromkeys(map(os.path.normpath, names)))

    def describe(self, database: str, tenants_query: str | None = None) -> dict[str, Any]:
        with connect(database) as session:
            tenants = session.rows(tenants_query) if tenants_query else None
            return description(size_bytes(database), session.value(TABLES), tenants, ledger_rows.read(session))

    def missing_privileges(self, _purposes: Sequence[str], _databases: Sequence[str]) -> list[Any]:
        """Not asked for: see docs/database_role.md."""
        return []

    def drop_left_behind(self) -> tuple[list[str], list[str]]:
        return [], []

    def method(self, options: Mapping[str, Any]) -> Method:
        from .backup import method_of

        return method_of(options)
