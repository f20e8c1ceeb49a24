# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logical backups: a dump of one database in an exported snapshot, proven in a scratch database on the same server.

The sums of the original and the dump see one snapshot, so the proof is exact while others write.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ..._database import check_queries as checks, content
from ..._database.backup.disk_space import Room, free_bytes
from ..._database.backup.record import BackupError, Record
from ..._database.backup.store import OneFileEach, sha256
from ..._database.programs import ProgramError, Runner
from .. import content as postgresql_content
from ..catalog import size_bytes
from ..environment import patience
from ..programs import Programs
from ..scratch_database import scratch_database
from ..session import Connection, Login, PostgresqlError, connect_patiently
from ..structure import EXISTING_ONCE

# A longer wait for a table means that its structure is being changed, which a backup must not block.
LOCK_WAIT_MS = 30_000
# The cheapest level: it is the checksum in the compressed stream that counts, and the server's processors have other work.
COMPRESSION = 1
# A restored copy, and as much again for its write-ahead log.
ROOM_FACTOR = 2
RESTORE_OPTIONS = ("--exit-on-error", "--no-owner", "--no-privileges", "--no-publications", "--no-subscriptions", "--no-security-labels")
# An entry of a dump's list: `215; 1259 16385 TABLE public orders upgrade`. What would run in the copy, and what the login role may not make in it.
ENTRY = r"\d+; \d+ \d+ "
NOT_RESTORED = re.compile(rf"{ENTRY}(?:(?:COMMENT - )?EVENT TRIGGER |COMMENT - (?:EXTENSION|PUBLICATION|SUBSCRIPTION) |COMMENT - SCHEMA public )")


@dataclass
class Logical(OneFileEach):
    """Takes and proves dumps of the server at `login`; `server` is its identity, as from `_postgresql.catalog.identity`."""

    login: Login
    server: Mapping[str, Any]
    programs: Programs
    runner: Runner
    room: Room
    check_queries: Sequence[str] = ()
    clock: Callable[[], float] = time.time

    suffix = ".dump"
    equal = ("a restored copy has the same structure, and in every table the same rows and the same content (owners, privileges, publications, subscriptions "
             "and event triggers are in the backup, and were not restored)")

    def take(self, subject: str, databases: Sequence[str], path: str, taken: float) -> Record:
        """Read the content of a database and dump it to `path`, both in one snapshot."""
        with connect_patiently(self.login, subject) as session, self.room.claimed(size_bytes(session), f"a dump of {subject}"):
            postgresql_content.prepare_session(session)
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            snapshot = session.value("SELECT pg_export_snapshot()")
            original = postgresql_content.read(session)
            self.dump(subject, snapshot, path)
            original = content.steady(original, postgresql_content.read_sequences(session))
            session.run("COMMIT")
        return Record(subject, taken, {subject: original}, sha256(path), os.path.getsize(path), round(max(0.0, self.clock() - taken), 3))

    def prove(self, record: Record, path: str) -> str:
        """Restore the dump at `path` into a scratch database and compare; what was proven. BackupError names what is not the same."""
        with connect_patiently(self.login, record.subject) as original:
            require_room(original, self.login)
            with scratch_database(lambda name: connect_patiently(self.login, name), original) as copy:
                once = self.restore(copy, path)
                postgresql_content.prepare_session(copy)
                found = content.differences(record.contents[record.subject], postgresql_content.read(copy))
                if found:
                    raise BackupError(f"the restored copy differs from the original: {content.describe(found)}")
                # A separate session: this one no longer has the search path that a user's query expects.
                with connect_patiently(self.login, copy.database) as session:
                    checks.require_true(session, self.check_queries)
        return f"{self.equal}; {', '.join(once)}, which one database of a server can have, was not restored" if once else self.equal

    def dump(self, database: str, snapshot: str, path: str) -> None:
        """Dump what `snapshot` sees of a database into the file at `path`."""
        # Its own: another one, which the role or the database may have set for its sessions, may lack some of its characters.
        with connect_patiently(self.login, database) as session:
            encoding = session.value("SHOW server_encoding")
        options = ["--format=custom", f"--compress={COMPRESSION}", f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_WAIT_MS}", "--no-password"]
        options.append(f"--encoding={encoding}")
        command = [self.programs.pg_dump, *options, f"--file={path}", f"--dbname={self.login.conninfo(database)}"]
        self.runner.run(command, self.login.environment(patience(self.server["version_number"])))

    def restore(self, copy: Connection, path: str) -> list[str]:
        """Restore the dump at `path` into the empty database of a session; the extensions that it cannot have beside the original."""
        # A copy that is dropped a moment later waits for no disk and no standby.
        environment = self.login.environment({**patience(copy.server_version), "synchronous_commit": "off"})
        try:
            entries = self.runner.run([self.programs.pg_restore, "--list", path], environment).splitlines()
            with listed(entry for entry in entries if not (NOT_RESTORED.match(entry) or exists_once(entry, entries))) as wanted:
                options = [*RESTORE_OPTIONS, "--no-tablespaces", "--no-password", f"--use-list={wanted}"]
                self.runner.run([self.programs.pg_restore, *options, f"--dbname={self.login.conninfo(copy.database)}", path], environment)
        except ProgramError as error:
            raise ProgramError(f"{error}{self._remark_on_versions()}") from error
        return [name for name in EXISTING_ONCE if any(re.match(f"{ENTRY}EXTENSION - {name} ", entry) for entry in entries)]

    def _remark_on_versions(self) -> str:
        """Newer programs can back up an older server, but what they write may need the newer server."""
        major = self.server["version_number"] // 10000
        if self.programs.major == major:
            return ""
        return f"; pg_restore is of version {self.programs.major} and the server of {major}: install postgresql-client-{major}, or give its folder as bin_dir"


def exists_once(entry: str, entries: Sequence[str]) -> bool:
    """Whether an entry of a dump's list is of an extension that only one database of a server can have."""
    return any(re.match(rf"{ENTRY}(?:EXTENSION - {name} |COMMENT - EXTENSION {name} |[A-Z ]+ {schema} )", entry)
               and any(re.match(f"{ENTRY}EXTENSION - {name} ", other) for other in entries) for name, schema in EXISTING_ONCE.items())


@contextlib.contextmanager
def listed(entries: Iterable[str]) -> Iterator[str]:
    """The path of a file with these entries, for pg_restore --use-list."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as wanted:
        wanted.writelines(f"{entry}\n" for entry in entries)
        wanted.flush()
        yield wanted.name


def require_room(session: Connection, login: Login) -> None:
    """Raise BackupError when the server's disk has no room for a copy of the session's database, as far as that can be seen from this host."""
    if not login.is_local:
        return
    try:
        folder = session.value("SELECT current_setting('data_directory')")
        free = free_bytes(folder)
    except (PostgresqlError, OSError):
        return
    size = size_bytes(session)
    if free < ROOM_FACTOR * size:
        raise BackupError(
            f"not enough disk space for the proof: the restored copy needs up to {ROOM_FACTOR * size} bytes, and below {folder} {free} are free: make space"
        )
