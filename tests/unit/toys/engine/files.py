# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders and files that are the databases."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.content import Content
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.errors import DatabaseError

LEDGER = "alwayson_migration"


class ToyError(DatabaseError):
    """What this engine answers."""


class Session:
    """A database that is open. Every table is read and written whole."""

    def __init__(self, name):
        self.database, self._folder = name, Path(name)
        if not self._folder.is_dir():
            raise ToyError(f"{name} is no folder: give the path of one as one of databases")

    def tables(self):
        """The names of the tables, the ledger left out."""
        return sorted(path.stem for path in self._folder.glob("*.json") if path.stem != LEDGER)

    def rows(self, table):
        """The rows of a table."""
        path = self._folder / f"{table}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def write(self, table, rows):
        """A table has these rows."""
        (self._folder / f"{table}.json").write_text(json.dumps(rows), encoding="utf-8")

    def size_bytes(self):
        """What the database takes."""
        return sum(path.stat().st_size for path in self._folder.glob("*.json"))


def content_of(tables):
    """The content, or fingerprint, of tables with their rows: the same whatever the order of the rows."""
    def facts(rows):
        digests = sorted(hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest() for row in rows)
        return {"rows": len(rows), "sum": hashlib.sha256("".join(digests).encode()).hexdigest()}
    return Content({name: facts(rows) for name, rows in tables.items()}, frozenset(f"table {name}" for name in tables), {})
