# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is one JSON file with all tables. It is proven by restoring them into a scratch folder, which is read as any database is."""

from __future__ import annotations

import json
import tempfile

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.disk_space import Room
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.record import BackupError, Record
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import OneFileEach, sha256
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.content import describe, differences
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.programs import Runner

from .files import Session, content_of


class ToyBackup(OneFileEach):
    """See `_database.backup.run.Method`."""

    suffix = ".toy"

    def __init__(self, directory):
        self.runner, self._room = Runner(), Room(directory)

    def take(self, subject, databases, path, taken):
        """See `Method`."""
        session = Session(subject)
        with self._room.claimed(session.size_bytes(), f"a copy of {subject}"), open(path, "x", encoding="utf-8") as file:
            tables = {name: session.rows(name) for name in session.tables()}
            json.dump(tables, file)
        return Record(subject, taken, {subject: content_of(tables)}, sha256(path), session.size_bytes(), 0.0)

    def prove(self, record, path):
        """See `Method`."""
        with open(path, encoding="utf-8") as file, tempfile.TemporaryDirectory() as folder:
            copy = Session(folder)
            for table, rows in json.load(file).items():
                copy.write(table, rows)
            found = differences(record.contents[record.subject], content_of({name: copy.rows(name) for name in copy.tables()}))
        if found:
            raise BackupError(f"the copy differs from the original: {describe(found)}")
        return "a restored copy has the same tables, with the same rows"
