# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of MariaDB databases: a compressed dump of one snapshot, proven in a scratch database on the same server.

MariaDB cannot hand a snapshot on to another session. So commits are held for the moment in which both open theirs, the one that sums up and the dump's:
they see the same, and the proof is exact while others write. If the transaction of another session was taken for the dump's, they would not, and the backup is
refused.
Source: MariaDB's documentation of ``BACKUP STAGE``, which its own tool for copies uses the same way.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Callable, cast

from .._database import check_queries as checks, content
from .._database.backup.disk_space import Room, free_bytes
from .._database.backup.record import BackupError, Record
from .._database.backup.run import Method
from .._database.backup.store import OneFileEach, sha256
from .._database.programs import Runner, find_on_path
from .._host.waiting import wait_for
from . import content as mariadb_content
from .scratch_database import CHARACTERS, scratch_database
from .session import LOCK_WAIT_TIMEOUT, Connection, Login, MariadbError, connect_patiently, size_bytes

SUFFIX = ".sql.gz"
PROGRAMS = ("mariadb-dump", "mariadb")
# The cheapest level: it is the checksum in the compressed stream that counts, and the server's processors have other work.
COMPRESSION = 1
# Binary values are not written as hexadecimal numbers: those are twice as long, and longer than what the server takes in one statement.
COMMON = ("--single-transaction", "--skip-dump-date", "--default-character-set=utf8mb4", "--max-allowed-packet=1G")
OPTIONS = (*COMMON, "--routines", "--triggers")
# Without the last one the client takes comments out of routines.
RESTORE_OPTIONS = ("--default-character-set=utf8mb4", "--binary-mode", "--max-allowed-packet=1G", "--comments")
EVENTS = (*COMMON, "--events", "--no-create-info", "--no-data", "--skip-triggers")
HISTORY = "--dump-history"
# Since this version of the server what is history can be written, and so be restored.
HISTORY_SINCE = 101100
# In front of a dump: what is in the database came there under other settings than a restore may meet.
HEADER = ("ALTER DATABASE CHARACTER SET {0} COLLATE {1};\n"
          "SET SESSION innodb_strict_mode = 0, check_constraint_checks = 0, max_statement_time = 0, net_read_timeout = 3600, net_write_timeout = 3600;\n")
# The maximum length of an INSERT statement. A longer row gets a separate one.
LONGEST_INSERT = 1_000_000
# Commits are held no longer than this; a dump that takes longer to begin is ended.
HOLD_SECONDS, POLL_SECONDS = 5.0, 0.002
# How long to wait for another backup's stage, or for a long statement that writes.
STAGE_SECONDS = 10
ROOM_FACTOR = 2
NOT_TRANSACTIONAL = """
SELECT table_name FROM information_schema.tables
 WHERE table_schema = %s AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND engine <> 'InnoDB' ORDER BY 1
"""
FLOATS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s AND data_type = 'float' ORDER BY 1, 2"
# A session's transaction is listed a moment before its snapshot is there: while the statement that begins it is at work, it does not count.
BEGUN_AFTER = """
SELECT count(*) FROM information_schema.innodb_trx AS t JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id
 WHERE p.id > %s AND p.user = substring_index(session_user(), '@', 1) AND coalesce(p.info, '') NOT LIKE 'START TRANSACTION%%'
"""


def method_of(login: Login, session: Connection, options: Mapping[str, Any]) -> Method:
    """How a server is backed up, by the options of database_backup. An error of this server or this host says what is missing for that."""
    if options["method"] != "logical":
        raise BackupError("method=physical copies servers of PostgreSQL only: use method=logical")
    if session.value("SELECT @@read_only"):
        raise MariadbError("the server takes no writes, and the proof by a restore needs one that does: give the primary's address as login_host")
    found = find_on_path(PROGRAMS, options["bin_dir"], "mariadb-client")
    return MariadbDump(login, found, Runner(), Room(options["directory"]), options["check_queries"])


@dataclass
class MariadbDump(OneFileEach):
    """Takes and proves dumps of the server at `login`."""

    login: Login
    programs: Mapping[str, str]
    runner: Runner
    room: Room
    check_queries: Sequence[str] = ()
    clock: Callable[[], float] = time.time

    suffix = SUFFIX
    equal = "a restored copy has the same structure, and in every table the same rows and the same content (events are in the backup, and were not restored)"

    def __post_init__(self) -> None:
        # One dump begins at a time: whose transaction it is would not be known.
        self._beginning = threading.Lock()

    def take(self, subject: str, databases: Sequence[str], path: str, taken: float) -> Record:
        """Read the content of a database and dump it to `path`, both in one snapshot."""
        events = f"-- events {secrets.token_hex(16)}\n"
        with connect_patiently(self.login, subject) as session, self.room.claimed(size_bytes(session, subject), f"a dump of {subject}"):
            require_transactional(session)
            mariadb_content.prepare_session(session)
            options = [*OPTIONS, *self._options_of(session)]
            before = mariadb_content.read_sequences(session)
            with _private(path) as sink, self._dumping(session, options, sink) as dump:
                original = replace(mariadb_content.read(session), sequences=before)
                dump.result()
                original = content.steady(original, mariadb_content.read_sequences(session))
                sink.write(events.encode())
                self._dump(subject, EVENTS, sink)
        details = {"events": events}
        return Record(subject, taken, {subject: original}, sha256(path), os.path.getsize(path), round(max(0.0, self.clock() - taken), 3), details)

    def prove(self, record: Record, path: str) -> str:
        """Restore the dump at `path` into a scratch database and compare; what was proven. BackupError names what is not the same."""
        with connect_patiently(self.login, record.subject) as original:
            require_room(original, self.login)
            with scratch_database(self.login, original) as copy:
                self._restore(copy.database, path, record.details["events"].encode())
                mariadb_content.prepare_session(copy)
                found = content.differences(record.contents[record.subject], mariadb_content.read(copy))
                if found:
                    raise BackupError(f"the restored copy differs from the original: {content.describe(found)}{_remark_on_floats(original, found)}")
                # A separate session: this one no longer has the settings that a user's query expects.
                with connect_patiently(self.login, copy.database) as session:
                    checks.require_true(session, self.check_queries, checks.Dialect("START TRANSACTION READ ONLY", 1))
        return self.equal

    @contextlib.contextmanager
    def _dumping(self, session: Connection, options: Sequence[str], sink: BinaryIO) -> Iterator[Future[Any]]:
        """Dump in the background what the session sees from now on, in the transaction that is open in it while the block runs."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            with self._beginning, connect_patiently(self.login) as holder:
                sink.write(HEADER.format(*session.rows(CHARACTERS, (session.database,))[0]).encode())
                session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                with commits_held(holder):
                    session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                    dump = pool.submit(self._dump, session.database, options, sink)
                    if not wait_for(lambda: dump.done() or self._has_begun(holder), HOLD_SECONDS, POLL_SECONDS):
                        raise BackupError(f"the dump of {session.database} did not begin while commits were held, for {HOLD_SECONDS:g} s: run this again")
            yield dump
            session.run("COMMIT")

    def _options_of(self, session: Connection) -> list[str]:
        """What the dump of the session's database needs beyond `OPTIONS`. BackupError when no dump can hold all of it."""
        created = {name: mariadb_content.definition(session, name) for (name,) in session.rows(mariadb_content.TABLES, (session.database,))}
        versioned = [name for name, text in created.items() if mariadb_content.is_versioned(text)]
        packet = int(session.value("SELECT @@max_allowed_packet"))
        options = [f"--net-buffer-length={min(LONGEST_INSERT, packet // 2)}"]
        if not versioned:
            return options
        by_transaction = [name for name in versioned if mariadb_content.has_history_by_transaction(created[name])]
        if by_transaction:
            raise BackupError(f"{', '.join(by_transaction)} of {session.database} keeps its history by numbers of transactions, which no dump can hold: give "
                              "its period columns of the type TIMESTAMP(6), or back the server up by mariadb-backup")
        said = self.runner.run([self.programs["mariadb-dump"], "--no-defaults", "--help"], self.login.environment())
        if session.server_version < HISTORY_SINCE or HISTORY not in said:
            raise BackupError(f"{', '.join(versioned)} of {session.database} keeps the history of its rows, which only MariaDB and mariadb-dump from 10.11 on "
                              "can dump: install such, or ALTER TABLE ... DROP SYSTEM VERSIONING")
        return [*options, HISTORY]

    def _has_begun(self, holder: Connection) -> bool:
        return bool(holder.value(BEGUN_AFTER, (holder.id,)))

    def _dump(self, database: str, options: Sequence[str], sink: BinaryIO) -> None:
        self.runner.run([self.programs["mariadb-dump"], *self.login.options(), *options, database], self.login.environment(), sink=sink)

    def _restore(self, database: str, path: str, events: bytes) -> None:
        """Restore all of the dump but the events, which the server would run in the copy."""
        command = [self.programs["mariadb"], *self.login.options(), *RESTORE_OPTIONS, database]
        try:
            with gzip.open(path, "rb") as dump:
                self.runner.run(command, self.login.environment(), source=_lines_before(cast(BinaryIO, dump), events))
        except (EOFError, gzip.BadGzipFile) as error:
            raise BackupError(f"{path} is not a whole compressed file: {error}") from error


@contextlib.contextmanager
def commits_held(holder: Connection) -> Iterator[None]:
    """Block all commits while the block runs. They go on however the block ends, because the lock ends with its session."""
    holder.run(f"SET SESSION lock_wait_timeout = {STAGE_SECONDS}")
    try:
        for stage in ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"):
            _begin_stage(holder, stage)
        yield
    finally:
        with contextlib.suppress(MariadbError):
            holder.run("BACKUP STAGE END")


def _begin_stage(holder: Connection, stage: str) -> None:
    try:
        holder.run(f"BACKUP STAGE {stage}")
    except MariadbError as error:
        if error.number != LOCK_WAIT_TIMEOUT:
            raise
        raise MariadbError(f"commits could not be held within {STAGE_SECONDS} s ({error}): another backup is running, or a statement that writes lasts "
                           "that long. Wait for it, then run this again", error.number) from error


def require_transactional(session: Connection) -> None:
    """Raise BackupError when a table has no snapshots: there is no state to compare its backup with."""
    names = [name for (name,) in session.rows(NOT_TRANSACTIONAL, (session.database,))]
    if names:
        raise BackupError(f"{', '.join(names)} of {session.database} is not of the engine InnoDB, and has no snapshots: ALTER TABLE ... ENGINE=InnoDB")


def _remark_on_floats(original: Connection, found: Sequence[str]) -> str:
    """Why tables differ whose numbers the dump rounded, and what helps."""
    columns = [f"{table}.{column}" for table, column in original.rows(FLOATS, (original.database,))
               if any(sentence.startswith(f"{table} has as many rows (") for sentence in found)]
    if not columns:
        return ""
    return (f". A dump writes the numbers of FLOAT columns with six digits, which is fewer than {', '.join(columns)} holds: ALTER TABLE ... MODIFY ... DOUBLE "
            "keeps every number")


def require_room(session: Connection, login: Login) -> None:
    """Raise BackupError when the server's disk has no room for a copy of the session's database, as far as that can be seen from this host."""
    folder, size = session.value("SELECT @@datadir"), ROOM_FACTOR * size_bytes(session, session.database)
    try:
        free = free_bytes(folder) if login.is_local else None
    except OSError:
        return
    if free is not None and free < size:
        raise BackupError(f"not enough disk space for the proof: the restored copy needs up to {size} bytes, and below {folder} {free} are free: make space")


@contextlib.contextmanager
def _private(path: str) -> Iterator[BinaryIO]:
    """A new compressed file, for its owner alone. The time is left out of it, and so is the name."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file, \
            gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=file, mtime=0) as sink:
        yield cast(BinaryIO, sink)


def _lines_before(dump: BinaryIO, end: bytes) -> Iterator[bytes]:
    """The lines up to the one that is `end`; BackupError when there is none. What is behind it is read too: only then its checksum was seen."""
    for line in dump:
        if line == end:
            for _rest in iter(lambda: dump.read(1 << 20), b""):
                pass
            return
        yield line
    raise BackupError("the dump does not end with its own end mark: it is incomplete")
