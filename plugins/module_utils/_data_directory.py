# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL data directory on this host, seen from outside: whose it is, on which timeline, and whether its server runs, as what.

Source: PostgreSQL's documentation of ``pg_controldata``; its source of the lock file ``postmaster.pid``.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

PID, OPTIONS, STANDBY = "postmaster.pid", "postmaster.opts", "standby.signal"
PORT_LINE = 3
PORT_OPTION = re.compile(r'"(?:-p|--port=?|-c\s*port=|port=)"?\s*"?(\d+)"')
# What pg_controldata calls them, and here.
FIELDS = {
    "Database system identifier": "system_identifier",
    "Database cluster state": "state",
    "Latest checkpoint's TimeLineID": "timeline",
    "Min recovery ending loc's timeline": "recovery_timeline",
}
IN_RECOVERY = "in archive recovery"


class DataDirectoryError(Exception):
    """It is no data directory, or not one that can be read. The message names it."""


@dataclass(frozen=True)
class Control:
    """What the server has noted down of itself: `state` in the words of pg_controldata; `timeline`, the newest one that it has been on."""

    system_identifier: str
    state: str
    timeline: int


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

    def control(self) -> Control:
        """See `Control`."""
        done = subprocess.run([self._pg_controldata, "-D", self.path], env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        try:
            return read_control(done.stdout)
        except (KeyError, ValueError) as error:
            raise DataDirectoryError(f"{self._pg_controldata} does not tell whose {self.path} is: {(done.stdout + done.stderr).strip()[-300:]}") from error

    def server(self) -> int | None:
        """The process id of its server, None when it does not run. A lock file that was left names nobody, or somebody who is not at work here."""
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
            # Dead, and not reaped yet; or a system without /proc, where nobody tells where it is at work.
            return None if os.path.exists("/proc/self") else pid
        except OSError:
            return pid

    def port(self) -> int | None:
        """The port that its server listens on, or did when it was last started; None when it was stopped in order, and its command line named none."""
        with_lock = self._lines(PID)
        if len(with_lock) > PORT_LINE and with_lock[PORT_LINE].strip().isdigit():
            return int(with_lock[PORT_LINE])
        named = PORT_OPTION.findall(" ".join(self._lines(OPTIONS)))
        return int(named[-1]) if named else None

    def is_standby(self) -> bool:
        """Whether its server comes up in recovery, whoever starts it."""
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
    return Control(str(int(found["system_identifier"])), found["state"], timeline)
