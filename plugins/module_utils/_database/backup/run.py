# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of the databases of one server in one folder, each proven by a restore: taken and proven, or found again and proven once more.

How a backup is taken and proven is the method's, which belongs to an engine, see `Method`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Protocol

from ..errors import DatabaseError
from ..programs import ProgramError, Runner
from .record import BackupError, Record
from .store import PARTIAL, Store, StoreError, digests

FAILURES = (BackupError, DatabaseError, ProgramError, StoreError, OSError)
# How far this host's clock may be behind the one that stamped a backup.
CLOCK_TOLERANCE_SECONDS = 60


class Method(Protocol):
    """A way to take backups and to prove them. `suffix` ends the names of its backups."""

    suffix: str
    runner: Runner

    def groups(self, databases: Sequence[str]) -> dict[str, list[str]]:
        """What is backed up in one piece: its name to the databases in it."""

    def sealed(self, path: str) -> list[str]:
        """The files whose checksums are kept beside the backup at `path`, the one that covers it first."""

    def take(self, subject: str, databases: Sequence[str], path: str, taken: float) -> Record:
        """Take a backup to `path`."""

    def prove(self, record: Record, path: str) -> str:
        """Restore the backup at `path` and compare the copy with its record; what was proven, in words. BackupError says what is not as it was."""


class BackupRun:
    """Backs up the databases of one server into one folder, or proves the backups that are there."""

    def __init__(self, method: Method, server: Mapping[str, Any], store: Store, clock: Callable[[], float] = time.time) -> None:
        """:param server: the server's identity, see `_database.interface.Server`."""
        self.method = method
        self.server = server
        self.store = store
        self.clock = clock

    def back_up_all(self, databases: Sequence[str], keep: int, parallel: int) -> dict[str, dict[str, Any]]:
        """A result for every database: back up, prove the backup, and remove those that are too many. One that fails does not hold up the others.

        :returns: by database path, sha256, size_bytes, tables, rows, taken, seconds_dump, seconds_restore, removed, proven and why;
            all figures are None unless proven.
        """
        return self._each(databases, parallel, lambda subject, within: self._back_up(subject, within, keep))

    def verify_all(self, databases: Sequence[str], max_age: float, parallel: int) -> dict[str, dict[str, Any]]:
        """The same result for every database, of the newest backup in the folder, which is proven once more.

        :param max_age: in seconds; an older backup is refused, 0 takes any.
        """
        return self._each(databases, parallel, lambda subject, within: self._verify(subject, within, max_age))

    def _each(self, databases: Sequence[str], parallel: int, act: Callable[[str, list[str]], dict[str, Any]]) -> dict[str, dict[str, Any]]:
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            running = [pool.submit(act, subject, within) for subject, within in self.method.groups(databases).items()]
            try:
                return {database: row for future in running for database, row in future.result().items()}
            except BaseException:
                # On a signal: end the programs; their threads then clear up what is theirs, and the pool waits for them.
                self.method.runner.stop()
                for future in running:
                    future.cancel()
                raise

    def _back_up(self, subject: str, databases: list[str], keep: int) -> dict[str, dict[str, Any]]:
        taken = self.clock()
        path = self.store.new_path(subject, taken)
        try:
            record = self.method.take(subject, databases, path + PARTIAL, taken)
            checksums = digests(self.method.sealed(path + PARTIAL))
            if checksums[0][1] != record.sha256:
                raise BackupError("the backup changed after it was taken: its SHA-256 differs: check the disk that holds it")
            started = self.clock()
            proof = self.method.prove(record, path + PARTIAL)
            seconds = self._seconds_since(started)
            self.store.keep(path, checksums, {**record.as_manifest(), **self._about_the_run(seconds)})
        except FAILURES as error:
            self.store.discard(path)
            return dict.fromkeys(databases, unproven(str(error)))
        except BaseException:
            self.store.discard(path)
            raise
        removed, remark = self._retain(subject, keep)
        return _rows(record, databases, {"path": path, "seconds_restore": seconds, "removed": removed, "proven": True, "why": f"{proof}{remark}"})

    def _verify(self, subject: str, databases: list[str], max_age: float) -> dict[str, dict[str, Any]]:
        try:
            path = self.store.newest(subject)
            record = Record.of_manifest(self.store.manifest_of_unharmed(path, self.method.sealed))
            self._require_own(path, subject, databases, record)
            self._require_young(path, record, max_age)
            started = self.clock()
            proof = self.method.prove(record, path)
        except FAILURES as error:
            return dict.fromkeys(databases, unproven(str(error)))
        return _rows(record, databases, {"path": path, "seconds_restore": self._seconds_since(started), "removed": [], "proven": True, "why": proof})

    def _require_own(self, path: str, subject: str, databases: list[str], record: Record) -> None:
        identifier = self.store.manifest(path).get("system_identifier")
        if identifier != self.server["system_identifier"]:
            raise BackupError(f"{path} is of another server: its system identifier is {identifier}, this server's is {self.server['system_identifier']}")
        if record.subject != subject:
            raise BackupError(f"{path} is a backup of {record.subject}, not of {subject}")
        missing = [database for database in databases if database not in record.contents]
        if missing:
            raise BackupError(f"{path} was not compared with {', '.join(missing)} when it was taken: take a new backup")

    def _require_young(self, path: str, record: Record, max_age: float) -> None:
        age = self.clock() - record.taken
        if max_age and age > max_age:
            raise BackupError(f"{path} is {age:.0f} seconds old, and max_age is {max_age:g}: take a new backup")
        if max_age and age < -CLOCK_TOLERANCE_SECONDS:
            raise BackupError(f"{path} was taken {-age:.0f} seconds in the future, so its age is unknown: correct this host's clock, or take a new backup")

    def _about_the_run(self, seconds_restore: float) -> dict[str, Any]:
        return {
            "system_identifier": self.server["system_identifier"],
            "server_version": self.server["version"],
            "seconds_restore": seconds_restore,
            "proven": True,
            "proven_at": self.clock(),
        }

    def _retain(self, subject: str, keep: int) -> tuple[list[str], str]:
        """What was removed, and a remark when that did not work: the new backup is no less proven for it."""
        try:
            return self.store.retain(subject, self.server["system_identifier"], keep), ""
        except OSError as error:
            return [], f"; but older backups could not be removed: {error}"

    def _seconds_since(self, started: float) -> float:
        return round(max(0.0, self.clock() - started), 3)


def unproven(why: str) -> dict[str, Any]:
    """The result for a database of which there is no proven backup."""
    nothing = dict.fromkeys(("path", "sha256", "size_bytes", "tables", "rows", "taken", "seconds_dump", "seconds_restore"))
    return {**nothing, "removed": [], "proven": False, "why": why}


def _rows(record: Record, databases: Sequence[str], about: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    shared = {"sha256": record.sha256, "size_bytes": record.size_bytes, "taken": record.taken, "seconds_dump": record.seconds, **about}
    return {database: {**shared, "tables": len(record.contents[database].tables), "rows": record.contents[database].rows} for database in databases}
