# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old primary becomes a standby of the new one: stopped, rewound to the point at which the two diverged, configured as a standby, and started.

The new primary must report that it streams.

Both servers are looked at before anything is stopped. What ``pg_rewind`` says of itself proves nothing: right after a promotion it finds no rewind to be
required, with status 0, and the standby never streams. So the new primary writes a checkpoint first, and only its own list of replicas counts.
While data are rewound they are of neither server: PostgreSQL starts no server from them then, see `HostFiles.close`, and the next run goes on.
Source: PostgreSQL's documentation of ``pg_rewind``.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..._database.errors import DatabaseError
from ..._host import programs
from ..._host.clock import Clock
from ..._host.waiting import wait_for
from ..auto_conf import FILE as AUTO, names, with_settings
from ..catalog import identity, is_read_only, require_primary
from ..data_directory import SHUT_DOWN, STANDBY, DataDirectory
from ..managers import detection
from ..pooler.pgbouncer_file import Server
from ..session import Connection, Login, PostgresqlError, conninfo_with, connect, server_name
from ..switchover.node import Node
from ..switchover.run_lock import RunLock
from . import survey
from .host_files import HostFiles
from .replication_login import identify
from .stopped_server import CONFIGURATION, ProgramFailed, StoppedServer, environment, stub

# What was set when it was demoted, what it follows, and what would end that.
REMOVED = ("default_transaction_read_only", "primary_conninfo", "recovery_target_action", "recovery_target_inclusive", *survey.RECOVERY_TARGETS)
PAUSE_SECONDS = 0.2
KEEP_LOG, TAKEN_SECONDS = "wal_keep_size = '1TB'", 1.0
STREAMS = "SELECT pid FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'"
TABLESPACES = "SELECT oid::text, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) LIKE '/%'"
TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
LACKED = "SELECT NOT has_function_privilege(%s, 'EXECUTE')"
FREE_SLOT = "SELECT count(*) > 0 FROM pg_replication_slots WHERE slot_name = %s AND slot_type = 'physical' AND NOT active"


class RejoinError(DatabaseError):
    """The server does not follow the new primary; the message says why, and what is left."""


@dataclass(frozen=True)
class OldPrimary:
    """The server that is to follow: its data directory, its programs, how its service is stopped and started, and the name it streams under."""

    name: str
    data_directory: str
    bin_dir: str
    stop_command: Sequence[str]
    start_command: Sequence[str]
    primary_conninfo: str


class Rejoin:
    """:param primary: the login at the new primary, which ``pg_rewind`` uses too."""

    def __init__(self, old: OldPrimary, primary: Login, timeout: float, clock: Clock = Clock()) -> None:
        self.old, self.primary, self.timeout, self.clock = old, primary, timeout, clock
        self.directory = DataDirectory(old.data_directory, old.bin_dir)
        self.files = HostFiles(self.directory.path)
        self.server = StoppedServer(self.directory, old.bin_dir, old.start_command)
        missing = self.server.missing_programs()
        if missing:
            raise RejoinError(f"there is no program {', '.join(missing)}: give the folder of PostgreSQL's programs as bin_dir")

    def is_needed(self) -> bool:
        """Whether it does not follow yet. DatabaseError when it cannot; changes nothing."""
        with connect(self.primary) as primary:
            require_primary(primary, "following")
            return self.files.are_set_aside() or self._survey(primary) is not None

    def apply(self) -> str:
        """Have it follow; returns what pg_rewind said."""
        with self.directory.locked() as lock, self._no_exchange(), connect(self.primary) as primary:
            require_primary(primary, "following")
            if self.files.are_set_aside():
                self.files.put_back()
            found = self._survey(primary)
            if found is None:
                return ""
            primary.run("CHECKPOINT")
            with self._log_kept():
                self._stop()
                said = self._rewind(primary, lock) if survey.has_to_rewind(*found) else ""
            self._follow(primary)
            known = self._streaming(primary)
            self._run(self.old.start_command, "start")
            if not wait_for(lambda: self._streaming(primary) - known, self.timeout, PAUSE_SECONDS, self.clock.steady, self.clock.sleep):
                raise RejoinError(f"{self.old.name} was rewound and started, and does not stream from the primary within {self.timeout:g} s: see its log. "
                                  "If its log asks for a segment that is gone, recreate it with pg_basebackup")
        return said

    def _no_exchange(self) -> contextlib.AbstractContextManager[None]:
        """Keep out switchovers and failovers of the primary; other rejoins may run."""
        address = Server(self.primary.host or "", str(self.primary.port))
        return RunLock([Node(server_name(self.primary), self.primary, address)], f"rejoin {self.old.name}", is_shared=True).taken()

    # -- looked at before anything is stopped

    def _survey(self, primary: Connection) -> tuple[survey.Target, survey.Source] | None:
        """What both are, None when it follows already; RejoinError says what is in the way."""
        target, source = self._target(), self._source(primary)
        if survey.follows(target, source):
            return None
        managers = [*detection.managers(detection.read(primary)), *detection.of_files(os.listdir(self.directory.path))]
        self._require(detection.refusal(managers, detection.REJOIN) or survey.problem(target, source, self.old.name))
        if survey.has_to_rewind(target, source):
            self._require_tablespaces(target, source)
            if not os.access(os.path.dirname(self.directory.path), os.W_OK):
                raise RejoinError(f"this account may not make a folder beside {self.directory.path} for the files of this host: run this as root (become)")
        if self.server.configuration() is None:
            raise RejoinError(f"there is no {CONFIGURATION} in {self.directory.path}, and neither {self.directory.file('postmaster.opts')} nor start_command "
                              "names its config_file: have start_command name it, as pg_ctl start -o '-c config_file=...' does")
        self._require_own_configuration()
        self._require_settings(primary, names(self._read_auto()))
        self._require_right_way(source)
        return target, source

    def _target(self) -> survey.Target:
        directory = self.directory
        control, folder = directory.control(), directory.file("pg_tblspc")
        return survey.Target(f"the server in {directory.path}", control.system_identifier, directory.version(), control.timeline, control.has_hints,
                             directory.is_standby(), directory.receives(), frozenset(os.listdir(folder)) if os.path.isdir(folder) else frozenset())

    def _source(self, primary: Connection) -> survey.Source:
        facts = identity(primary)
        return survey.Source(
            server_name(self.primary), facts["system_identifier"], str(facts["version_number"] // 10000), int(primary.value(TIMELINE), 16),
            bool(self._streaming(primary)), is_read_only(primary), self.primary.user,
            [function for function in survey.FUNCTIONS if primary.value(LACKED, (function,))], dict(primary.rows(TABLESPACES)))

    def _require_tablespaces(self, target: survey.Target, source: survey.Source) -> None:
        """One that was made since the two parted is made here at the same place, and pg_rewind makes no folder for it."""
        for oid, place in source.tablespaces.items():
            if oid not in target.tablespaces and not (os.path.isdir(place) and not os.listdir(place)):
                raise RejoinError(f"the primary has a tablespace at {place}, which {target.named} has not: make an empty folder there that the server's "
                                  "account owns")

    def _require_own_configuration(self) -> None:
        named = self._setting("data_directory")
        if os.path.realpath(named) != self.directory.path:
            raise RejoinError(f"{self.server.configuration()} is of the server in {named}, not of that in {self.directory.path}: correct data_directory, or "
                              "have start_command name its config_file")

    def _require_settings(self, primary: Connection, removed: Collection[str]) -> None:
        values = {name: self._setting(name) for name in (*survey.RECOVERY_TARGETS, "primary_slot_name")}
        self._require(survey.problem_of_settings(values, removed, self._is_free(primary, values["primary_slot_name"])))

    def _require_right_way(self, source: survey.Source) -> None:
        try:
            system_identifier, timeline = identify(self._conninfo(), self.server.account(), environment(os.stat(self.directory.path).st_uid))
        except PostgresqlError as error:
            raise RejoinError(f"primary_conninfo reaches no server to stream from, as the account of {self.old.name} tries it: {error}. Correct it, the "
                              "primary's pg_hba.conf, or the account's password file") from error
        if (system_identifier, timeline) != (source.system_identifier, source.timeline):
            raise RejoinError(f"primary_conninfo reaches the server with the system identifier {system_identifier} on timeline {timeline}, and {source.named} "
                              f"has {source.system_identifier} and is on {source.timeline}: give the way to that one")

    def _require(self, problem: str | None) -> None:
        if problem:
            raise RejoinError(problem)

    def _setting(self, name: str) -> str:
        try:
            return self.server.setting(name)
        except ProgramFailed as error:
            raise RejoinError(f"the configuration {self.server.configuration()} cannot be read: {error}") from error

    @staticmethod
    def _is_free(primary: Connection, slot: str) -> bool:
        return bool(slot) and primary.value(FREE_SLOT, (slot,))

    def _streaming(self, primary: Connection) -> set[int]:
        """The process ids of the primary's WAL senders for a standby of this name, one for each session."""
        return {row[0] for row in primary.rows(STREAMS, (self.old.name,))}

    # -- stopped, rewound

    @contextlib.contextmanager
    def _log_kept(self) -> Iterator[None]:
        """The checkpoint with which it shuts down would remove the part of its log that pg_rewind reads, back to the last checkpoint that both have."""
        server = self.directory.server()
        if server is None:
            yield
            return
        before = self._read_auto()
        self.directory.write_text(AUTO, f"{before}{KEEP_LOG}\n")
        try:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGHUP)
            self.clock.sleep(TAKEN_SECONDS)
            yield
        finally:
            self.directory.write_text(AUTO, before)

    def _stop(self) -> None:
        if self.directory.server() is None:
            return
        self._run(self.old.stop_command, "stop")
        if not wait_for(lambda: self.directory.server() is None, self.timeout, PAUSE_SECONDS, self.clock.steady, self.clock.sleep):
            raise RejoinError(f"{self.old.name} did not stop within {self.timeout:g} s: end it, then run this again")

    def _rewind(self, primary: Connection, lock: int) -> str:
        try:
            restore_command = self.server.setting("restore_command")
            if self.directory.control().state not in SHUT_DOWN:
                self.server.recover(lock)
            self.directory.write_text(STANDBY, "")
        except ProgramFailed as error:
            raise RejoinError(f"{self.old.name} crashed, and cannot be recovered to be rewound: {error}. Recreate it with pg_basebackup") from error
        self.files.close()
        if self.directory.server() is not None:
            self.files.reopen()
            raise RejoinError(f"{self.old.name} was started again by another program after it was stopped: make its service manager leave it stopped")
        try:
            self.files.set_aside([*(row[0] for row in primary.rows("SELECT pg_ls_dir('.', true, false)")), CONFIGURATION])
            self.directory.write_text(CONFIGURATION, stub(restore_command))
            self._try_rewind(lock)
            return self.server.rewind(self.primary, lock)
        except ProgramFailed as error:
            raise RejoinError(f"{error}. {self.old.name} is stopped, its data are rewound in part, and PostgreSQL starts no server from them (permissions of "
                              f"{self.directory.path}). Remove the cause and run this again, or recreate it with pg_basebackup") from error
        except OSError:
            self.files.reopen()
            raise
        finally:
            if self.files.are_set_aside():
                self.files.put_back()

    def _try_rewind(self, lock: int) -> None:
        try:
            self.server.rewind(self.primary, lock, "--dry-run")
        except ProgramFailed as error:
            self.files.reopen()
            raise RejoinError(f"{error}. {self.old.name} is stopped, and its data are as they were. Remove the cause and run this again, or recreate it with "
                              "pg_basebackup") from error

    # -- configured as a standby, started

    def _follow(self, primary: Connection) -> None:
        gone = REMOVED if self._is_free(primary, self._setting("primary_slot_name")) else (*REMOVED, "primary_slot_name")
        self.directory.write_text(AUTO, with_settings(self._read_auto(), {"primary_conninfo": self._conninfo()}, gone))
        self.directory.write_text(STANDBY, "")
        self._require_settings(primary, ())
        self.files.reopen()

    def _conninfo(self) -> str:
        return conninfo_with(self.old.primary_conninfo, application_name=self.old.name)

    def _read_auto(self) -> str:
        """postgresql.auto.conf, without what a run that was killed has left in it."""
        return "".join(f"{line}\n" for line in self.directory.read_text(AUTO).splitlines() if line != KEEP_LOG)

    def _run(self, argv: Sequence[str], what: str) -> None:
        done = programs.run(argv)
        if done.status:
            raise RejoinError(f"{what}_command ended with {done.status}: {done.said}")
