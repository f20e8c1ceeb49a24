# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of SQLite databases: copied by SQLite's own backup interface in one read transaction, proven by what the copy holds.

A copy of the file by other means lacks what is in the write-ahead log. The backup is a database itself, so restoring it is copying it: the proof reads it in
place, after its checksum was found right, without leave to write.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .._database import check_queries as checks, content
from .._database.backup.disk_space import Room
from .._database.backup.record import BackupError, Record
from .._database.backup.run import Method
from .._database.backup.store import OneFileEach, sha256
from .._database.programs import Runner
from . import content as sqlite_content
from .session import SqliteError, connect, connect_with_stand_ins, size_bytes

SUFFIX = ".sqlite"


def method_of(options: Mapping[str, Any]) -> Method:
    """How databases are backed up, by the options of database_backup."""
    if options["method"] != "logical":
        raise BackupError("method=physical copies a server, and SQLite has none: use method=logical")
    return SqliteBackup(Runner(), Room(options["directory"]), options["check_queries"])


@dataclass
class SqliteBackup(OneFileEach):
    """Takes and proves copies of SQLite databases."""

    runner: Runner
    room: Room
    check_queries: Sequence[str] = ()
    clock: Callable[[], float] = time.time

    suffix = SUFFIX
    equal = "the copy is sound, has the same structure, and in every table the same rows and the same content"

    def take(self, subject: str, databases: Sequence[str], path: str, taken: float) -> Record:
        """Read the content of a database and copy it to `path`, both in one read transaction."""
        session, _stand_ins = connect_with_stand_ins(subject)
        with session as original, self.room.claimed(size_bytes(subject), f"a copy of {subject}"):
            original.run("PRAGMA query_only = on")
            original.run("BEGIN")
            seen = sqlite_content.read(original)
            self.runner.require_going_on()
            _copy(original.raw, path)
            original.run("ROLLBACK")
        return Record(subject, taken, {subject: seen}, sha256(path), os.path.getsize(path), round(max(0.0, self.clock() - taken), 3))

    def prove(self, record: Record, path: str) -> str:
        """Look into the backup at `path`, and compare; what was proven. BackupError says what is not as it was."""
        session, stand_ins = connect_with_stand_ins(path, is_immutable=True)
        with session as copy:
            # An index that needs what is the application's own has an order that cannot be checked here.
            problems = [row[0] for row in copy.rows(f"PRAGMA {'quick_check' if stand_ins else 'integrity_check'}")]
            if problems != ["ok"]:
                raise BackupError(f"the copy is damaged: {content.describe(problems)}")
            found = content.differences(record.contents[record.subject], sqlite_content.read(copy))
        if found:
            raise BackupError(f"the copy differs from the original: {content.describe(found)}")
        if self.check_queries:
            with connect(path, is_immutable=True) as copy:
                checks.require_true(copy, self.check_queries, checks.Dialect("BEGIN", 1))
        what = ", ".join(stand_ins)
        return f"{self.equal}; {what} of its application's own is not known here, so the order of indexes was not checked" if what else self.equal


def _copy(original: sqlite3.Connection, path: str) -> None:
    """Copy a database within the transaction that is open."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        target = sqlite3.connect(path)
        try:
            # The copy is in the original's journal mode. It is read as an immutable file, beside which nothing is made.
            original.backup(target)
        finally:
            target.close()
    except sqlite3.Error as error:
        raise SqliteError(f"{path} cannot be written: {error}") from error
