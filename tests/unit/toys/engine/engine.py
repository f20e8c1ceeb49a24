# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database engine in one folder, as a contributor would add one: a database is a folder, and each table a JSON file in it with a list of rows.

This is the engine, see `_database.interface`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.description import description

from .backup import ToyBackup
from .files import Session, ToyError
from .migrations import ToyMigrations


class Toy:
    """The folders below the one that `login_unix_socket` names."""

    has_server = False

    def __init__(self, options):
        self._root = Path(options["login_unix_socket"])

    @contextlib.contextmanager
    def opened(self):
        """See `Engine`."""
        yield ToyServer(self._root)

    def migrations(self):
        """See `Engine`."""
        return ToyMigrations(ToyServer(self._root))


class ToyServer:
    """See `Server`."""

    def __init__(self, root):
        self._root = root

    def identity(self):
        return {"version": "1.0", "version_number": 10000, "system_identifier": f"toy at {self._root}", "primary": True}

    def is_read_only(self):
        return False

    def replicas(self):
        return []

    def user_databases(self):
        return sorted(str(folder) for folder in self._root.iterdir() if folder.is_dir())

    def choose_databases(self, names):
        there = self.user_databases()
        missing = [name for name in names if name not in there]
        if missing:
            raise ToyError(f"no such database: {', '.join(missing)}; there are: {', '.join(there) or 'none'}")
        return list(names) or there

    def describe(self, database, tenants_query=None):
        session = Session(database)
        tenants = [(row["name"],) for row in session.rows(tenants_query)] if tenants_query else None
        return description(session.size_bytes(), len(session.tables()), tenants, ToyMigrations(self).read_ledger(session))

    def missing_privileges(self, _purposes, _databases):
        return []

    def drop_left_behind(self):
        return [], []

    def method(self, options):
        return ToyBackup(options["directory"])
