# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old primary becomes a standby of the new one: stopped, rewound to where the two parted, told whom to follow, started, and seen to stream.

What ``pg_rewind`` says of itself proves nothing: right after a promotion it finds no rewind to be required, with status 0, and the standby never streams. So
the new primary writes a checkpoint first, and only its own list of replicas counts. It also copies the configuration of the other server: that is put back.
Source: PostgreSQL's documentation of ``pg_rewind``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, Login, connect, literal
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql_catalog import identity, replicas, require_primary
from ansible_collections.alwayson.upgrade.plugins.module_utils._small_file import replace
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic_pool import Clock
from ansible_collections.alwayson.upgrade.plugins.module_utils._waiting import wait_for

AUTO, SIGNAL, PID = "postgresql.auto.conf", "standby.signal", "postmaster.pid"
CONFIGURATION = ("postgresql.conf", AUTO, "pg_hba.conf", "pg_ident.conf")
# What was set when it was relieved, and what it follows.
ENTRY = re.compile(r"\s*(?P<name>[\w.]+)\s*=?")
OWN = ("default_transaction_read_only", "primary_conninfo", "primary_slot_name", "recovery_target_action")
PAUSE_SECONDS = 0.2
KEEP_LOG, TAKEN_SECONDS = "wal_keep_size = '1TB'", 1.0
MESSAGE_BYTES = 1500


class RejoinError(Exception):
    """The server does not follow the new primary; the message says why, and what is left."""


@dataclass(frozen=True)
class OldPrimary:
    """The server that is to follow: its data directory, its programs, how its service is stopped and started, and the name it streams under."""

    name: str
    data_directory: str
    pg_rewind: str
    stop_command: Sequence[str]
    start_command: Sequence[str]
    primary_conninfo: str


class Rejoin:
    """:param primary: the login at the new primary, which ``pg_rewind`` uses too."""

    def __init__(self, old: OldPrimary, primary: Login, timeout: float, clock: Clock = Clock()) -> None:
        self.old, self.primary, self.timeout, self.clock = old, primary, timeout, clock

    def is_needed(self) -> bool:
        """Whether it does not follow yet. RejoinError when it cannot; changes nothing."""
        if not os.path.isfile(self._path("PG_VERSION")):
            raise RejoinError(f"{self.old.data_directory} is no data directory of PostgreSQL that this account can read: correct data_directory")
        with connect(self.primary) as primary:
            require_primary(primary, "following")
            return not self._streams(primary)

    def bring_about(self) -> str:
        """Have it follow; returns what pg_rewind said."""
        with connect(self.primary) as primary:
            primary.run("CHECKPOINT")
            version = identity(primary)["version_number"] // 10000
            self._require_version(version)
            kept = {name: self._read(name) for name in CONFIGURATION if os.path.exists(self._path(name))}
            try:
                self._stop()
                said = self._rewind()
            finally:
                for name, text in kept.items():
                    self._write(name, text)
            self._follow()
            self._run(self.old.start_command, "start")
            if not wait_for(lambda: self._streams(primary), self.timeout, PAUSE_SECONDS, self.clock.steady, self.clock.sleep):
                raise RejoinError(f"{self.old.name} was rewound and started, and does not stream from the primary within {self.timeout:g} s: see its log. "
                                  "If its log asks for a segment that is gone, make it anew with pg_basebackup")
        return said

    def _streams(self, primary: Connection) -> bool:
        return any(row["name"] == self.old.name and row["state"] == "streaming" for row in replicas(primary))

    def _require_version(self, version: int) -> None:
        with open(self._path("PG_VERSION"), encoding="ascii") as file:
            own = file.read().strip()
        if own != str(version):
            raise RejoinError(f"{self.old.data_directory} is of version {own}, and the primary of {version}: make it anew with pg_basebackup")

    def _stop(self) -> None:
        if not self._is_running():
            return
        self._keep_its_log()
        self._run(self.old.stop_command, "stop")
        if not wait_for(lambda: not self._is_running(), self.timeout, PAUSE_SECONDS, self.clock.steady, self.clock.sleep):
            raise RejoinError(f"{self.old.name} still runs {self.timeout:g} s after it was told to stop: end it, then run this again")

    def _keep_its_log(self) -> None:
        """The checkpoint with which it shuts down would remove the part of its log that pg_rewind reads, back to the last checkpoint that both have."""
        self._write(AUTO, f"{self._read(AUTO)}{KEEP_LOG}\n")
        with open(self._path(PID), encoding="ascii") as file:
            os.kill(int(file.readline()), signal.SIGHUP)
        self.clock.sleep(TAKEN_SECONDS)

    def _is_running(self) -> bool:
        """By its own lock file, if that names a process that lives."""
        try:
            with open(self._path(PID), encoding="ascii") as file:
                os.kill(int(file.readline()), 0)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return False
        except PermissionError:
            return True
        return True

    def _rewind(self) -> str:
        source = self.primary.conninfo(self.primary.maintenance_database)
        return self._program([self.old.pg_rewind, f"--target-pgdata={self.old.data_directory}", f"--source-server={source}"])

    def _follow(self) -> None:
        lines = [line for line in self._read(AUTO).splitlines(keepends=True) if not ((entry := ENTRY.match(line)) and entry["name"] in OWN)]
        conninfo = f"{self.old.primary_conninfo} application_name={self.old.name}"
        self._write(AUTO, "".join(lines) + f"primary_conninfo = {literal(conninfo).strip()}\n")
        self._write(SIGNAL, "")

    def _program(self, argv: Sequence[str]) -> str:
        """Run one of PostgreSQL's programs as the owner of the data, as it insists on."""
        owner = os.stat(self.old.data_directory)
        as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 and owner.st_uid else {}
        done = subprocess.run(argv, env=self.primary.environment(), cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **as_owner)
        said = (done.stdout + done.stderr).strip()[-MESSAGE_BYTES:]
        if done.returncode:
            raise RejoinError(f"pg_rewind ended with {done.returncode}: {said}. {self.old.name} is stopped. Remove the cause and run this again, "
                              "or make it anew with pg_basebackup")
        return said

    def _run(self, argv: Sequence[str], what: str) -> None:
        done = subprocess.run(list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise RejoinError(f"{what}_command ended with {done.returncode}: {done.stdout.strip()[-MESSAGE_BYTES:]}")

    def _path(self, name: str) -> str:
        return os.path.join(self.old.data_directory, name)

    def _read(self, name: str) -> str:
        with open(self._path(name), encoding="utf-8") as file:
            return file.read()

    def _write(self, name: str, text: str) -> None:
        owner = os.stat(self.old.data_directory)
        replace(self._path(name), text.encode("utf-8"), 0o600, (owner.st_uid, owner.st_gid))
