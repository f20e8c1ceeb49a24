# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scratch server, in which a physical backup is restored to prove it: a copy of its files, reached by a socket in a private folder, always removed."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._database.backup.record import BackupError
from .._database.programs import Runner
from .._host import removal, waiting
from .auto_conf import FILE, libraries, quoted
from .session import Connection, Login, PostgresqlError, connect_patiently, identifier

PREFIX = "proof-"
READY_SECONDS = 3600
STOP_SECONDS = 60
POLL_SECONDS = 0.05
LOG_TAIL = 1500
# What a standby must have at least as much of as its primary had, by the name in pg_controldata.
AT_LEAST = {"max_connections": "max_connections", "max_worker_processes": "max_worker_processes", "max_wal_senders": "max_wal_senders",
            "max_prepared_xacts": "max_prepared_transactions", "max_locks_per_xact": "max_locks_per_transaction"}
# All settings of the copy. Nothing in it works on its own or reaches out: no applier of subscriptions, no archiver, no vacuum, no library that a server
# loads at its start (schedulers are such) but those without which tables cannot be read, each with what keeps it quiet.
SETTINGS = {
    "listen_addresses": "", "port": "5432", "hot_standby": "on", "archive_mode": "off", "fsync": "off", "autovacuum": "off", "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap", "lc_messages": "C", "restore_command": "false", "recovery_target_inclusive": "off",
    "recovery_target_action": "pause", "recovery_target_timeline": "current", "unix_socket_permissions": "0700", "primary_conninfo": "",
    "max_logical_replication_workers": "0", "session_preload_libraries": "", "local_preload_libraries": "",
}
LIBRARIES: dict[str, dict[str, str]] = {"timescaledb": {"timescaledb.max_background_workers": "0"}}
# Event triggers can be switched off as a whole from this version on, and fire at a login from this version on.
EVENT_TRIGGERS_SETTING = 17
EVENT_TRIGGERS = "SELECT evtname FROM pg_event_trigger WHERE evtenabled <> 'D'"
NOT_REGISTERED = re.compile(r"resource manager with ID \d+ not registered")


def allowed_libraries(preload: str) -> str:
    """What the copy loads at its start of what the original's `shared_preload_libraries` names."""
    return ",".join(name for name in libraries(preload) if os.path.splitext(os.path.basename(name))[0] in LIBRARIES)


@dataclass(frozen=True)
class Account:
    """Whom the server runs as. PostgreSQL does not run as root."""

    uid: int
    gid: int

    @classmethod
    def for_servers(cls, name: str, option: str = "scratch_user") -> Account:
        """The account `name`, which was given as `option`, when this process is root's, else its own."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise BackupError(f"there is no user {name} on this host, and PostgreSQL does not run as root: give another one as {option}") from None
        if entry.pw_uid == 0:
            raise BackupError(f"PostgreSQL does not run as root: give another user as {option}")
        return cls(entry.pw_uid, entry.pw_gid)

    def as_keywords(self) -> dict[str, Any]:
        """The same for subprocess; nothing when it is who runs this already."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}

    def own(self, folder: str) -> None:
        """Give a folder and all in it to this account."""
        if os.geteuid() != 0:
            return
        os.chown(folder, self.uid, self.gid)
        for above, folders, files in os.walk(folder):
            for name in folders + files:
                os.chown(os.path.join(above, name), self.uid, self.gid, follow_symlinks=False)


class ScratchServer:
    """The copy at `folder/data`. `user` is who logs in."""

    def __init__(self, folder: str, runner: Runner, programs: Mapping[str, str], account: Account, user: str, preload: str) -> None:
        self.folder = folder
        self.runner = runner
        self.data = os.path.join(folder, "data")
        self.programs = programs
        self.account = account
        self.login = Login(host=folder, user=user)
        self.preload = preload
        self._process: subprocess.Popen[Any] | None = None

    def start(self, target: str) -> None:
        """Start, restore up to the position `target` in the log, and stay there, read-only. BackupError ends with what the server said."""
        self._configure(target)
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self._process = subprocess.Popen(
                [self.programs["postgres"], "-D", self.data, "-c", f"config_file={self.folder}/postgresql.conf"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, umask=0o077,
                env=self.login.environment(), **self.account.as_keywords(),
            )
        self._wait("SELECT pg_is_in_recovery() AND pg_is_wal_replay_paused()", f"get to {target}")

    def promote(self) -> None:
        """Let it take writes, and see that it does."""
        as_owner = self._as_owner()
        with connect_patiently(as_owner) as session:
            session.run("SELECT pg_wal_replay_resume()")
        self._wait("SELECT NOT pg_is_in_recovery()", "end its recovery")
        with connect_patiently(as_owner) as session:
            session.run("SET default_transaction_read_only = off")
            session.run("SELECT pg_current_xact_id()")

    def disable_event_triggers(self) -> None:
        """Have none of the databases' own procedures run while structures are looked at: from version 17 on a setting does that."""
        as_owner = self._as_owner()
        with connect_patiently(as_owner) as session:
            if session.server_version // 10000 >= EVENT_TRIGGERS_SETTING:
                return
            databases = [name for (name,) in session.rows("SELECT datname FROM pg_database WHERE datallowconn")]
        for database in databases:
            with connect_patiently(as_owner, database) as session:
                session.run("SET default_transaction_read_only = off")
                for (name,) in session.rows(EVENT_TRIGGERS):
                    session.run(f"ALTER EVENT TRIGGER {identifier(name)} DISABLE")

    def owner(self) -> str:
        """The superuser that the server was made by, who is always there."""
        with self.session() as session:
            return session.value("SELECT rolname FROM pg_roles WHERE oid = 10")

    def session(self, database: str | None = None) -> Connection:
        """A session with the copy."""
        return connect_patiently(self.login, database)

    def _as_owner(self) -> Login:
        return Login(host=self.folder, user=self.owner())

    def stop(self) -> None:
        """End the server. Nothing of the copy is of use afterwards but another start."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # The immediate shutdown, which takes its children along.
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_SECONDS)

    def _quiet(self) -> dict[str, str]:
        with open(os.path.join(self.data, "PG_VERSION"), encoding="ascii") as file:
            major = int(file.read())
        loaded = {name: value for library, settings in LIBRARIES.items() if library in self.preload for name, value in settings.items()}
        return {**loaded, **({"event_triggers": "off"} if major >= EVENT_TRIGGERS_SETTING else {})}

    def _configure(self, target: str) -> None:
        said = self.runner.run([self.programs["pg_controldata"], self.data], {**self.login.environment(), "LC_ALL": "C"})
        limits = dict(re.findall(r"(?m)^(\w+) setting:\s+(\d+)$", said))
        settings = {
            **SETTINGS, **self._quiet(), **{setting: limits[name] for name, setting in AT_LEAST.items() if name in limits},
            "shared_preload_libraries": self.preload, "unix_socket_directories": self.folder,
            "hba_file": f"{self.folder}/pg_hba.conf", "ident_file": f"{self.folder}/pg_ident.conf", "recovery_target_lsn": target,
        }
        lines = "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())
        # What ALTER SYSTEM set on the original would override all this.
        emptied = dict.fromkeys(("pg_ident.conf", "data/recovery.signal", f"data/{FILE}"), "")
        files = {"postgresql.conf": lines, "pg_hba.conf": "local all all trust\n", **emptied}
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.data, "standby.signal"))
        for name, text in files.items():
            path = os.path.join(self.folder, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            if os.geteuid() == 0:
                os.chown(path, self.account.uid, self.account.gid)

    def _wait(self, question: str, what: str) -> None:
        def there() -> bool:
            self.runner.require_going_on()
            if self._process is None or self._process.poll() is not None:
                raise BackupError(f"the scratch server did not {what}: {self._said()}")
            try:
                with self.session() as session:
                    return bool(session.value(question))
            except PostgresqlError:
                return False

        if not waiting.wait_for(there, READY_SECONDS, POLL_SECONDS):
            raise BackupError(f"the scratch server did not {what} within {READY_SECONDS} seconds: {self._said()}")

    def _said(self) -> str:
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
            text = log.read()[-LOG_TAIL:]
        said = "; ".join(line for line in text.splitlines() if "FATAL" in line or "PANIC" in line) or "no output"
        if NOT_REGISTERED.search(text):
            said += f". The copy loads no library at its start but {', '.join(LIBRARIES)}, and its log needs another one: use method=logical"
        return said


@contextlib.contextmanager
def scratch_server(
    directory: str, source: str, runner: Runner, programs: Mapping[str, str], account: Account, user: str, preload: str
) -> Iterator[ScratchServer]:
    """A server on a copy of `source` in a new folder below `directory`; not started yet, and removed on every way out."""
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=directory)
    server = ScratchServer(folder, runner, programs, account, user, preload)
    try:
        runner.run(["cp", "--archive", "--reflink=auto", source, server.data], dict(os.environ))
        account.own(folder)
        yield server
    finally:
        server.stop()
        removal.remove(folder)


def remove_left_behind(directory: str) -> None:
    """End the servers that killed runs left in `directory`, and remove their files."""
    for name in os.listdir(directory):
        folder = os.path.join(directory, name)
        if name.startswith(PREFIX) and os.path.isdir(folder):
            with contextlib.suppress(OSError, ValueError, IndexError):
                _end_server_of(os.path.join(os.path.realpath(directory), name, "data"))
            removal.remove(folder)


def _end_server_of(data: str) -> None:
    """End the server whose data is in that folder; OSError or ValueError when there is none."""
    with open(os.path.join(data, "postmaster.pid"), encoding="ascii") as file:
        number = int(file.readline())
    # The process id may be another program's by now, so its working folder is compared with this folder, with links resolved.
    if os.readlink(f"/proc/{number}/cwd") == data:
        os.kill(number, signal.SIGQUIT)
        waiting.wait_for(lambda: not os.path.exists(f"/proc/{number}"), STOP_SECONDS, POLL_SECONDS)
