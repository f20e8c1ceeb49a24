# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of databases, each proven by a restore: what was dumped is what comes back, table by table.

The sums of the original and the dump see one exported snapshot, so the proof is exact while others write.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_content as content
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_backup_store import PARTIAL, Store, StoreError, sha256
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_content import Content
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_scratch import scratch_database
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, Login, PostgresqlError, connect
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql_catalog import size_bytes
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql_programs import ProgramError, Programs, Runner

# Whatever waits longer for a table than this meets a change of its structure, which a backup must not hold up.
LOCK_WAIT_MS = 30_000
# The cheapest level: it is the checksum in the compressed stream that counts, and the server's processors have other work.
COMPRESSION = 1
# A restored copy, and as much again for its write-ahead log.
ROOM_FACTOR = 2
RESTORE_OPTIONS = ("--exit-on-error", "--no-owner", "--no-privileges", "--no-comments", "--no-publications", "--no-subscriptions", "--no-security-labels")
EQUAL = "a restored copy has the same structure, and in every table the same rows and the same content"


class BackupError(Exception):
    """A backup was not taken, or is not proven; the message says why."""


FAILURES = (BackupError, PostgresqlError, ProgramError, StoreError, OSError)


@dataclass(frozen=True)
class Dump:
    """A dump that is not proven yet, at `path + PARTIAL`. `taken` is the epoch of its snapshot."""

    database: str
    path: str
    taken: float
    original: Content
    sequences_after: Mapping[str, int | None]
    sha256: str
    size_bytes: int
    seconds: float


class BackupRun:
    """Backs up the databases of one server into one folder."""

    def __init__(self, login: Login, server: Mapping[str, Any], programs: Programs, store: Store, clock: Callable[[], float] = time.time) -> None:
        """:param server: the server's identity, as from `_postgresql_catalog.identity`."""
        self.login = login
        self.server = server
        self.programs = programs
        self.store = store
        self.runner = Runner()
        self.clock = clock

    def back_up_all(self, databases: Sequence[str], keep: int, parallel: int) -> dict[str, dict]:
        """A result for every database, see `back_up`. One that fails does not hold up the others."""
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            running = {database: pool.submit(self.back_up, database, keep) for database in databases}
            try:
                return {database: future.result() for database, future in running.items()}
            except BaseException:
                # On a signal: end the programs; their threads then clear up what is theirs, and the pool waits for them.
                self.runner.stop()
                for future in running.values():
                    future.cancel()
                raise

    def back_up(self, database: str, keep: int) -> dict:
        """Back up one database, prove the backup, and remove those that are too many.

        :returns: path, sha256, size_bytes, tables, rows, taken, seconds_dump, seconds_restore, removed, proven and why; path is None unless proven.
        """
        taken = self.clock()
        path = self.store.new_path(database, taken)
        try:
            dump = self.take(database, path, taken)
            seconds_restore = self.prove(dump)
            self.store.keep(path, self._manifest(dump, seconds_restore))
        except FAILURES as error:
            self.store.discard(path)
            return unproven(str(error))
        except BaseException:
            self.store.discard(path)
            raise
        removed, remark = self._retain(database, keep)
        return {**_figures(dump, seconds_restore), "path": path, "removed": removed, "proven": True, "why": f"{EQUAL}{remark}"}

    def take(self, database: str, path: str, taken: float) -> Dump:
        """Read the content of a database and dump it, both in one snapshot."""
        with connect(self.login, database) as session:
            content.settle_session(session)
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            snapshot = session.value("SELECT pg_export_snapshot()")
            original = content.read(session)
            self.dump(database, snapshot, path + PARTIAL)
            sequences_after = content.read_sequences(session)
            session.run("COMMIT")
        return Dump(
            database=database,
            path=path,
            taken=taken,
            original=original,
            sequences_after=sequences_after,
            sha256=sha256(path + PARTIAL),
            size_bytes=os.path.getsize(path + PARTIAL),
            seconds=self._seconds_since(taken),
        )

    def prove(self, dump: Dump) -> float:
        """Restore a dump into a scratch database and compare; the seconds that took. BackupError names what is not the same."""
        started = self.clock()
        if sha256(dump.path + PARTIAL) != dump.sha256:
            raise BackupError("the dump changed after it was taken: its SHA-256 is another one; look at the disk that holds it")
        with connect(self.login, dump.database) as original:
            require_room(original, self.login)
            with scratch_database(lambda name: connect(self.login, name), original) as copy:
                self.restore(copy.database, dump.path + PARTIAL)
                content.settle_session(copy)
                found = content.differences(dump.original, content.read(copy), dump.sequences_after)
        if found:
            raise BackupError(f"the restored copy is not the original: {content.told(found)}")
        return self._seconds_since(started)

    def dump(self, database: str, snapshot: str, path: str) -> None:
        """Dump what `snapshot` sees of a database into the file at `path`."""
        options = ["--format=custom", f"--compress={COMPRESSION}", f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_WAIT_MS}", "--no-password"]
        command = [self.programs.pg_dump, *options, f"--file={path}", f"--dbname={self.login.conninfo(database)}"]
        self.runner.run(command, self.login.environment())

    def restore(self, database: str, path: str) -> None:
        """Restore the dump at `path` into an empty database."""
        command = [self.programs.pg_restore, *RESTORE_OPTIONS, "--no-tablespaces", "--no-password", f"--dbname={self.login.conninfo(database)}", path]
        environment = self.login.environment()
        # A copy that is dropped a moment later waits for no disk and no standby.
        options = f"{environment.get('PGOPTIONS', '')} -c synchronous_commit=off".strip()
        try:
            self.runner.run(command, {**environment, "PGOPTIONS": options})
        except ProgramError as error:
            raise ProgramError(f"{error}{self._remark_on_versions()}") from error

    def _remark_on_versions(self) -> str:
        """Newer programs can back up an older server, but what they write may need the newer server."""
        major = self.server["version_number"] // 10000
        if self.programs.major == major:
            return ""
        return f"; pg_restore is of version {self.programs.major} and the server of {major}: install postgresql-client-{major}, or give its folder as bin_dir"

    def _manifest(self, dump: Dump, seconds_restore: float) -> dict:
        return {
            **_figures(dump, seconds_restore),
            "format": 1,
            "database": dump.database,
            "system_identifier": self.server["system_identifier"],
            "server_version": self.server["version"],
            "tables": dict(dump.original.tables),
            "sequences": dict(dump.original.sequences),
            "structure": sorted(dump.original.structure),
            "proven": True,
            "proven_at": self.clock(),
        }

    def _retain(self, database: str, keep: int) -> tuple[list[str], str]:
        """What was removed, and a remark when that did not work: the new backup is no less proven for it."""
        try:
            return self.store.retain(database, self.server["system_identifier"], keep), ""
        except OSError as error:
            return [], f"; but older backups could not be removed: {error}"

    def _seconds_since(self, started: float) -> float:
        return round(max(0.0, self.clock() - started), 3)


def unproven(why: str) -> dict:
    """The result for a database of which there is no proven backup."""
    nothing = dict.fromkeys(("path", "sha256", "size_bytes", "tables", "rows", "taken", "seconds_dump", "seconds_restore"))
    return {**nothing, "removed": [], "proven": False, "why": why}


def require_room(session: Connection, login: Login) -> None:
    """Raise BackupError when the server's disk has no room for a copy of the session's database, as far as that can be seen from this host."""
    if not login.is_local:
        return
    try:
        folder = session.value("SELECT current_setting('data_directory')")
        filesystem = os.statvfs(folder)
    except (PostgresqlError, OSError):
        return
    size, free = size_bytes(session), filesystem.f_bavail * filesystem.f_frsize
    if free < ROOM_FACTOR * size:
        raise BackupError(
            f"no room for the proof: a restored copy and its log take up to {ROOM_FACTOR * size} bytes, and below {folder} {free} are free; make room there"
        )


def _figures(dump: Dump, seconds_restore: float) -> dict:
    return {
        "sha256": dump.sha256,
        "size_bytes": dump.size_bytes,
        "tables": len(dump.original.tables),
        "rows": dump.original.rows,
        "taken": dump.taken,
        "seconds_dump": dump.seconds,
        "seconds_restore": seconds_restore,
    }
