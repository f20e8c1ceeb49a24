# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical backups: a copy of a whole server and its log, proven in a scratch server.

A copy of the files equals no snapshot of a server under load. So log is added to the copy until it covers snapshots that were taken after it, one of each
database, and a restore up to the right position in that log is compared with them: exact while others write.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ..._database import check_queries as checks, content
from ..._database.backup.disk_space import Room
from ..._database.backup.record import BackupError, Record
from ..._database.backup.store import sha256
from ..._database.content import Content
from ..._database.programs import Runner
from ..._host.small_files import make_folder
from .. import content as postgresql_content, scratch_server as scratch
from ..environment import patience
from ..session import Connection, Login, PostgresqlError, connect_patiently
from . import consistent_lsn

PROGRAMS = ("postgres", "pg_basebackup", "pg_receivewal", "pg_verifybackup", "pg_waldump", "pg_controldata")
SUBJECT = "cluster"
MANIFEST = "backup_manifest"
LOG = "pg_wal"
SEGMENT_NAME_LENGTH = 24
# Each database's snapshot is a session that is held while all are summed up.
SESSIONS = 20
# Snapshots that no moment of the log equals, because two transactions ended in another order than they were written, are taken again.
ATTEMPTS = 5


@dataclass
class Physical:
    """Takes and proves copies of the whole server at `login`."""

    login: Login
    programs: Mapping[str, str]
    runner: Runner
    room: Room
    scratch_directory: str
    account: scratch.Account
    check_queries: Sequence[str] = ()
    max_rate: int = 0
    clock: Callable[[], float] = time.time

    suffix = ".base"

    def groups(self, databases: Sequence[str]) -> dict[str, list[str]]:
        """What is backed up in one piece: all of the server."""
        return {SUBJECT: list(databases)}

    def sealed(self, path: str) -> list[str]:
        """The files whose checksums are kept beside the backup at `path`, the one that covers it first."""
        return sealed(path)

    def take(self, subject: str, databases: Sequence[str], path: str, taken: float) -> Record:
        """Copy the server to `path`, then the log until it covers a snapshot of every database; the record holds what those saw."""
        with connect_patiently(self.login) as server:
            require_fit(server)
            preload = scratch.allowed_libraries(server.value("SELECT current_setting('shared_preload_libraries', true)") or "")
            with self.room.claimed(server.value("SELECT sum(pg_database_size(oid))::bigint FROM pg_database"), "a copy of the server"):
                self._copy(path)
            with LogKept(server) as kept:
                self.runner.run(["sync", "-f", path], dict(os.environ))
                contents, targets = self._cover(server, databases, path, kept)
        details = {"targets": targets, "shared_preload_libraries": preload}
        return Record(subject, taken, contents, sha256(os.path.join(path, MANIFEST)), folder_size(path), round(max(0.0, self.clock() - taken), 3), details)

    def prove(self, record: Record, path: str) -> str:
        """Verify every file of the backup, restore a copy of it, and compare; what was proven. BackupError names what is not as it was."""
        self.runner.run([self.programs["pg_verifybackup"], "--quiet", path], self.login.environment())
        make_folder(self.scratch_directory, 0o711)
        scratch.remove_left_behind(self.scratch_directory)
        preload = scratch.allowed_libraries(record.details["shared_preload_libraries"])
        with Room(self.scratch_directory).claimed(folder_size(path), "a restored copy"), scratch.scratch_server(
            self.scratch_directory, path, self.runner, self.programs, self.account, self.login.user, preload
        ) as copy:
            for target, databases in record.details["targets"]:
                copy.stop()
                copy.start(target)
                self._compare(copy, record, databases)
            copy.promote()
            copy.disable_event_triggers()
            checked = self._check_structures(copy)
            for database in record.contents:
                with copy.session(database) as session:
                    checks.require_true(session, self.check_queries)
        return (f"every file is as it was copied, a restored copy takes writes, {checked}, and every table of {len(record.contents)} databases had the same "
                "rows and the same content (unlogged tables come back empty, sequences were not compared)")

    def _copy(self, path: str) -> None:
        # Without a slot: a failed copy does no harm, while WAL that a slot keeps for a slow copy fills the server's disk.
        options = ["--format=plain", "--wal-method=stream", "--no-slot", "--manifest-checksums=SHA256", "--no-password", "--no-sync"]
        options += [f"--max-rate={self.max_rate}", "--checkpoint=spread"] if self.max_rate else ["--checkpoint=fast"]
        self.runner.run([self.programs["pg_basebackup"], f"--pgdata={path}", *options, *self._reached()], self.login.environment())

    def _reached(self) -> list[str]:
        return [f"--dbname={self.login.conninfo(self.login.maintenance_database)}"]

    def _cover(self, server: Connection, databases: Sequence[str], path: str, kept: LogKept) -> tuple[dict[str, Content], list[Any]]:
        log = LogCopy(self, os.path.join(path, LOG), kept)
        contents: dict[str, Content] = {}
        targets: list[Any] = []
        for place in range(0, len(databases), SESSIONS):
            with contextlib.ExitStack() as stack:
                some = {name: stack.enter_context(connect_patiently(self.login, name)) for name in databases[place:place + SESSIONS]}
                for session in some.values():
                    postgresql_content.prepare_session(session)
                targets += [[consistent_lsn.text_of(at), names] for at, names in snapshots_with_lsns(server, some, log).items()]
                contents.update({name: postgresql_content.read_logged(session) for name, session in some.items()})
        return contents, targets

    def _compare(self, copy: scratch.ScratchServer, record: Record, databases: Sequence[str]) -> None:
        for database in databases:
            with copy.session(database) as session:
                postgresql_content.prepare_session(session)
                found = content.differences(record.contents[database], postgresql_content.read_logged(session))
            if found:
                raise BackupError(f"the restored copy of {database} is not the original: {content.describe(found)}")

    def _check_structures(self, copy: scratch.ScratchServer) -> str:
        """Have amcheck look at tables and indexes, where it is installed."""
        program = os.path.join(os.path.dirname(self.programs["postgres"]), "pg_amcheck")
        with copy.session() as session:
            installed = session.value("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'")
            settings = patience(session.server_version)
        if not installed or not os.access(program, os.X_OK):
            return "amcheck is not installed and did not look"
        way = ["--no-password", f"--host={copy.folder}", f"--username={copy.owner()}"]
        self.runner.run([program, "--all", "--install-missing", *way], copy.login.environment(settings))
        return "amcheck found nothing"


class LogKept:
    """Keeps the server from removing log that is still to be fetched, by a temporary slot, which ends with its session; where it has none to give, nothing."""

    def __init__(self, server: Connection) -> None:
        self.server = server
        self.name = f"alwayson_backup_{secrets.token_hex(8)}"
        self.is_kept = False

    def __enter__(self) -> LogKept:
        with contextlib.suppress(PostgresqlError):
            self.server.rows("SELECT pg_create_physical_replication_slot(%s, true, true)", (self.name,))
            self.is_kept = True
        return self

    def __exit__(self, *_error: object) -> None:
        if self.is_kept:
            with contextlib.suppress(PostgresqlError):
                self.server.rows("SELECT pg_drop_replication_slot(%s)", (self.name,))

    def from_(self, position: int) -> None:
        """Keep no more than what is behind this position."""
        if self.is_kept:
            with contextlib.suppress(PostgresqlError):
                self.server.rows("SELECT pg_replication_slot_advance(%s, %s::pg_lsn)", (self.name, consistent_lsn.text_of(position)))


class LogCopy:
    """The log in the backup at `folder`, to which more is added as the server writes it."""

    def __init__(self, method: Physical, folder: str, kept: LogKept) -> None:
        self.method = method
        self.kept = kept
        self.folder = folder
        _remove_unfinished(folder)
        last = segments(folder)[-1]
        self.timeline, self.start = consistent_lsn.end_of_segment(last, os.path.getsize(os.path.join(folder, last)))
        self._unfinished: list[str] = []

    def commits_until(self, end: str) -> list[consistent_lsn.Commit]:
        """Copy the log at least up to the position `end`; the commits in it since the server's files were copied."""
        for name in self._unfinished:
            os.rename(name, f"{name}.partial")
        environment = self.method.login.environment()
        receive = [self.method.programs["pg_receivewal"], f"--directory={self.folder}", f"--endpos={end}", "--no-loop", "--no-password"]
        self.method.runner.run([*receive, *self.method._reached()], environment)
        self._unfinished = [os.path.join(self.folder, name[:SEGMENT_NAME_LENGTH]) for name in os.listdir(self.folder) if name.endswith(".partial")]
        for name in self._unfinished:
            os.rename(f"{name}.partial", name)
        self.kept.from_(consistent_lsn.segment_start(end, os.path.getsize(os.path.join(self.folder, segments(self.folder)[0]))))
        between = [f"--path={self.folder}", f"--timeline={self.timeline}", f"--start={consistent_lsn.text_of(self.start)}", f"--end={end}"]
        return consistent_lsn.commits(self.method.runner.run([self.method.programs["pg_waldump"], *between], environment).splitlines())


def snapshots_with_lsns(server: Connection, sessions: Mapping[str, Connection], log: LogCopy) -> dict[int, list[str]]:
    """Open a snapshot in every session such that there is a moment of the log that equals it; each moment with the databases that it serves."""
    oids = dict(server.rows("SELECT datname, oid::bigint FROM pg_database"))
    for attempt in range(ATTEMPTS):
        for session in sessions.values():
            if attempt:
                session.run("ROLLBACK")
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        seen = {name: consistent_lsn.Snapshot.of(session.value("SELECT pg_current_snapshot()::text")) for name, session in sessions.items()}
        found = log.commits_until(_mark(server))
        intervals = {name: interval for name, snapshot in seen.items() if (interval := consistent_lsn.interval(snapshot, oids[name], found))}
        if len(intervals) == len(seen):
            return consistent_lsn.consistent_lsns(intervals)
    raise BackupError(f"no moment of the log equals a snapshot, {ATTEMPTS} times in a row: run this again when there is less load, or with method=logical")


def _mark(server: Connection) -> str:
    """Write a commit that no snapshot sees yet, and one behind it; a position between the two. pg_receivewal ends only beyond its end position."""
    server.run("SET synchronous_commit = local")
    server.run("SELECT pg_logical_emit_message(true, 'alwayson.upgrade', 'a backup was taken')")
    end = server.value("SELECT pg_current_wal_flush_lsn()::text")
    server.run("SELECT pg_logical_emit_message(true, 'alwayson.upgrade', 'its log ends')")
    return end


def require_fit(server: Connection) -> None:
    """Raise BackupError when a copy of the server's files would prove too little, or could not be made."""
    if server.value("SELECT current_setting('data_checksums')") != "on":
        raise BackupError("the server has no data checksums, so a copy of its files would repeat damage unseen: "
                          "stop it and run pg_checksums --enable, or use method=logical")
    if server.value("SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')"):
        raise BackupError("the server has tablespaces of its own, and a copy of it on the same host would write into them: use method=logical")
    try:
        allowed = server.value("SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user")
    except PostgresqlError:
        return
    if not allowed:
        raise BackupError("the login role may not copy the server: ALTER ROLE ... REPLICATION, and let it in for replication in pg_hba.conf")


def sealed(path: str) -> list[str]:
    """The files of a backup whose checksums are kept beside it: its own manifest, which covers the data, and the log, which that does not list."""
    log = os.path.join(path, LOG)
    return [os.path.join(path, MANIFEST), *(os.path.join(log, name) for name in segments(log))]


def segments(folder: str) -> list[str]:
    """The files of the log, in their order, with those of the timelines."""
    return sorted(name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name)))


def _remove_unfinished(folder: str) -> None:
    """Remove what pg_basebackup had begun to receive behind the end of its copy: under load that file has a whole one's name and size, and zeros in it."""
    with open(os.path.join(os.path.dirname(folder), MANIFEST), encoding="utf-8") as file:
        end = max(consistent_lsn.position_of(part["End-LSN"]) for part in json.load(file)["WAL-Ranges"])
    for name in segments(folder):
        path = os.path.join(folder, name)
        if len(name) == SEGMENT_NAME_LENGTH and consistent_lsn.end_of_segment(name, os.path.getsize(path))[1] - os.path.getsize(path) >= end:
            os.unlink(path)


def folder_size(folder: str) -> int:
    """The bytes of all files below a folder."""
    return sum(os.path.getsize(os.path.join(above, name)) for above, _folders, files in os.walk(folder) for name in files)
