# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that becomes a server's data directory. What this module put there is known by a record in it, and by nothing else.

A folder with a record that says `copying` was left by a run that was killed: it is cleared. `copied` is a whole copy whose server did not get to its end, and
`running` a server that did.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from ..._database.backup.record import BackupError
from ..._database.backup.store import TOOL
from ..._host import removal, small_files
from ..._host.waiting import wait_for
from ..scratch_server import Account

RECORD = "alwayson_restore.json"
COPYING, COPIED, RUNNING = "copying", "copied", "running"
PID = "postmaster.pid"
STOP_SECONDS, POLL_SECONDS = 60, 0.05
NAMES_SHOWN = 3
# The result of the comparison is reported for each database, and there may be thousands.
RECORD_BYTES = 1 << 24


class Place:
    """The data directory at `directory`, which is given to `account`."""

    def __init__(self, directory: str, account: Account) -> None:
        self.directory = os.path.abspath(directory)
        self.account = account
        self._is_mine = False

    def path(self, name: str) -> str:
        """A file in it."""
        return os.path.join(self.directory, name)

    def record(self) -> dict[str, Any]:
        """What this module wrote down here; nothing where it did not put anything."""
        found = small_files.read_json(self.path(RECORD), RECORD_BYTES)
        return found if isinstance(found, dict) and found.get("tool") == TOOL else {}

    def write_down(self, state: str, about: Mapping[str, Any]) -> None:
        """Have the record say this from now on."""
        small_files.replace_json(self.path(RECORD), {"tool": TOOL, "state": state, **about})
        if os.geteuid() == 0:
            os.chown(self.path(RECORD), self.account.uid, self.account.gid)

    def require_free(self) -> None:
        """Raise BackupError when something is in it that this module did not put there, or when a server runs in it."""
        if not os.path.lexists(self.directory):
            return
        if not os.path.isdir(self.directory):
            raise BackupError(f"{self.directory} is not a folder: give the data directory of the server as data_directory")
        names = sorted(os.listdir(self.directory))
        if names and not self.record():
            raise BackupError(f"{self.directory} is not empty ({', '.join(names[:NAMES_SHOWN])}{', ...' if len(names) > NAMES_SHOWN else ''}), and nothing "
                              "is ever overwritten: move what is in it away, or give another data_directory")
        if self.server():
            raise BackupError(f"a server runs in {self.directory} already, process {self.server()}: stop it first")

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only run that fills this folder, which is made when it is missing; an empty one that was made here is removed again."""
        self._is_mine = not os.path.isdir(self.directory)
        small_files.make_folder(self.directory, small_files.PRIVATE_FOLDER)
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise BackupError(f"another run is filling {self.directory}: wait for its end") from error
        finally:
            os.close(handle)
            if self._is_mine:
                with contextlib.suppress(OSError):
                    os.rmdir(self.directory)

    def clear(self) -> None:
        """Remove everything that was put there; the record goes last, so that what is left is known for what it is."""
        names = os.listdir(self.directory)
        for name in names:
            removal.require_nothing_mounted(self.path(name))
        for name in sorted(names, key=lambda name: name == RECORD):
            removal.remove(self.path(name))

    def server(self) -> int | None:
        """The process of the server that runs in this folder, by its lock file; None when none does."""
        try:
            with open(self.path(PID), encoding="ascii") as file:
                number = int(file.readline())
            # The working folder of a server is its data directory: the process id may be another program's by now.
            is_here = os.path.realpath(os.readlink(f"/proc/{number}/cwd")) == os.path.realpath(self.directory)
        except (OSError, ValueError):
            return None
        return number if is_here else None

    def stop(self) -> None:
        """End the server in this folder, if one runs: its sessions are ended, and it writes a checkpoint."""
        number = self.server()
        if number is None:
            return
        os.kill(number, signal.SIGINT)
        if not wait_for(lambda: self.server() is None, STOP_SECONDS, POLL_SECONDS):
            raise BackupError(f"the server in {self.directory}, process {number}, does not end: end it")

    def write(self, name: str, text: str) -> None:
        """Write a file of the server's configuration."""
        owner = (self.account.uid, self.account.gid)
        small_files.replace(self.path(name), text.encode("utf-8"), small_files.PRIVATE, owner)
