# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL data directory on this host, seen from outside: whose it is, on which timeline, and whether its server runs, as what.

Source: PostgreSQL's documentation of ``pg_controldata``; its source of the lock file ``postmaster.pid``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from .._host.small_files import PRIVATE, replace

PID, OPTIONS, STANDBY = "postmaster.pid", "postmaster.opts", "standby.signal"
PORT_LINE = 3
PORT_OPTION = re.compile(r'"(?:-p|--port=?|-c\s*port=|port=)"?\s*"?(\d+)"')
# What pg_controldata calls them, and here.
FIELDS = {
    "Database system identifier": "system_identifier",
    "Database cluster state": "state",
    "Latest checkpoint's TimeLineID": "timeline",
    "Min recovery ending loc's timeline": "recovery_timeline",
    "Data page checksum version": "checksums",
    "wal_log_hints setting": "hints",
}
IN_RECOVERY = "in archive recovery"
# The states of a server that was stopped in order; pg_rewind accepts no other.
SHUT_DOWN = ("shut down", "shut down in recovery")
RECEIVER = b"walreceiver"


class DataDirectoryError(Exception):
    """It is no data directory, or not one that can be read. The message names it."""


@dataclass(frozen=True)
class Control:
    """What the server has noted down of itself: `state` in the words of pg_controldata; `timeline`, the newest one that it has been on.

    `has_hints`: whether its log has every change of a page, by data checksums or ``wal_log_hints``, so that ``pg_rewind`` can find what to copy.
    """

    system_identifier: str
    state: str
    timeline: int
    has_hints: bool = False


class DataDirectory:
    """:param bin_dir: the folder of PostgreSQL's programs, of this server's version."""

    def __init__(self, path: str, bin_dir: str) -> None:
        self.path = os.path.realpath(path)
        self._pg_controldata = os.path.join(bin_dir, "pg_controldata")
        if not os.path.isfile(self.file("PG_VERSION")):
            raise DataDirectoryError(f"{path} is no data directory of PostgreSQL that this account can read: correct data_directory")
        if not os.access(self._pg_controldata, os.X_OK):
            raise DataDirectoryError(f"there is no program {self._pg_controldata}: give the folder of PostgreSQL's programs as bin_dir")

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    def read_text(self, name: str) -> str:
        """The text of a file in it, "" when it is not there. What is no UTF-8 comes through `write_text` unchanged."""
        try:
            with open(self.file(name), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def write_text(self, name: str, text: str) -> None:
        """Put a file in it, for its owner alone."""
        owner = os.stat(self.path)
        replace(self.file(name), text.encode("utf-8", "surrogateescape"), PRIVATE, (owner.st_uid, owner.st_gid))

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Be the only run that works on it; gives a descriptor: a process that inherits it holds the lock, too, for as long as it lives."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataDirectoryError(f"another run works on {self.path}, or a program that it started: wait for its end, then run this again") from error
            yield handle
        finally:
            os.close(handle)

    def version(self) -> str:
        """The major version of its data."""
        return "".join(self._lines("PG_VERSION")).strip()

    def control(self) -> Control:
        """See `Control`."""
        done = subprocess.run([self._pg_controldata, "-D", self.path], env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True,
                              encoding="utf-8", errors="replace", check=False)
        try:
            return read_control(done.stdout)
        except (KeyError, ValueError) as error:
            raise DataDirectoryError(f"{self._pg_controldata} does not tell whose {self.path} is: {(done.stdout + done.stderr).strip()[-300:]}") from error

    def server(self) -> int | None:
        """The process id of its server, None when it does not run. A stale lock file names no process, or one that does not serve this directory."""
        try:
            pid = int(self._lines(PID)[0])
            os.kill(pid, 0)
        except (IndexError, ValueError, ProcessLookupError):
            return None
        except PermissionError:
            pass
        try:
            return pid if os.path.realpath(os.readlink(f"/proc/{pid}/cwd")) == self.path else None
        except FileNotFoundError:
            # A zombie; or a system without /proc, where the working directory of a process is unknown.
            return None if os.path.exists("/proc/self") else pid
        except OSError:
            return pid

    def receives(self) -> bool:
        """Whether its server is a standby that receives the log from another server now: one of its processes does so."""
        pid = self.server()
        if pid is None or not self.is_standby():
            return False
        return any(RECEIVER in _command(child) for child in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(child) == pid)

    def options(self) -> list[str]:
        """The words of the command line that its server was last started with, without the program and the data directory."""
        words = shlex.split(" ".join(self._lines(OPTIONS)))[1:]
        without = [word for index, word in enumerate(words) if word != "-D" and (not index or words[index - 1] != "-D")]
        return [word for word in without if not word.startswith("-D")]

    def port(self) -> int | None:
        """The port that its server listens on, or did when it was last started; None when it was stopped in order, and its command line named none."""
        with_lock = self._lines(PID)
        if len(with_lock) > PORT_LINE and with_lock[PORT_LINE].strip().isdigit():
            return int(with_lock[PORT_LINE])
        named = PORT_OPTION.findall(" ".join(self._lines(OPTIONS)))
        return int(named[-1]) if named else None

    def is_standby(self) -> bool:
        """Whether its server comes up in recovery, however it is started."""
        return os.path.exists(self.file(STANDBY))

    def _lines(self, name: str) -> list[str]:
        try:
            with open(self.file(name), encoding="utf-8", errors="replace") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


def read_control(text: str) -> Control:
    """What pg_controldata says; KeyError or ValueError when it does not."""
    pairs = (line.partition(":")[::2] for line in text.splitlines())
    found = {FIELDS[name]: value.strip() for name, value in pairs if name in FIELDS}
    # A server that was just promoted has its new timeline here only, until its next checkpoint.
    timeline = max(int(found["timeline"]), int(found["recovery_timeline"]))
    return Control(str(int(found["system_identifier"])), found["state"], timeline, found.get("checksums", "0") != "0" or found.get("hints") == "on")


def _command(pid: int) -> bytes:
    """The command line of a process, b"" when it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None
