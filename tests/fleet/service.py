# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files between a supervisor and whoever commands it, and the commands.

Commands and states are files in DIR/service, because paths may be too long for a socket. Each is written beside its
place and renamed, so no reader ever sees half of one. A command carries a serial number, which the state repeats as
soon as the supervisor has taken notice: nobody mistakes an old state for the answer to a new command.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from pathlib import Path

from fleet.processes import Process, tail

POLL_SECONDS = 0.025
WAIT_SECONDS = 20.0


class ServiceError(Exception):
    """A command was not carried out; the message says why and what to look at."""


class Files:
    """The files of the service in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.service = directory / "service"
        self.command = self.service / "command.json"
        self.state = self.service / "state.json"
        self.ready = self.service / "ready"
        self.lock = self.service / "lock"
        self.abrupt = self.service / "abrupt"
        self.log = directory / "log" / "app.log"

    def write(self, path: Path, content: dict) -> None:
        """Put a file in its place in one step."""
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(json.dumps(content) + "\n", encoding="utf-8")
        part.replace(path)

    def read(self, path: Path) -> dict:
        """A file's content; empty when there is none."""
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def is_supervised(self) -> bool:
        """True while a supervisor holds the lock; the kernel releases it however the supervisor ends."""
        with contextlib.suppress(FileNotFoundError), open(self.lock, "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def application(self) -> Process | None:
        """The application's process as last recorded; it may have ended since."""
        state = self.read(self.state)
        if not state.get("pid") or not state.get("started"):
            return None
        return Process(name=f"{self.directory.name} application", pid=state["pid"], started=state["started"])


def start(files: Files) -> str:
    """Have the application started; return when it accepts requests."""
    if not files.is_supervised():
        raise ServiceError(f"no supervisor runs for {files.directory}: this host is down, start its supervisor first")
    state = _command(files, "up", "running")
    return f"running, pid {state['pid']}"


def stop(files: Files) -> str:
    """Have the application stopped; return when it has ended."""
    if files.is_supervised():
        _command(files, "down", "stopped")
        return "stopped"
    orphan = files.application()
    if orphan and orphan.is_alive:
        raise ServiceError(f"no supervisor runs for {files.directory}, but its application does: pid {orphan.pid}")
    return "stopped (no supervisor runs)"


def status(files: Files) -> dict:
    """What the supervisor reported last. `state`: running, starting, stopping, stopped, backoff; without a supervisor dead or orphaned."""
    state = {"state": "starting", **files.read(files.state), "supervised": files.is_supervised()}
    if not state["supervised"]:
        orphan = files.application()
        state["state"] = "orphaned" if orphan and orphan.is_alive else "dead"
    return state


def _command(files: Files, wanted: str, state_wanted: str) -> dict:
    """Give a command and wait until the supervisor reports it carried out."""
    serial = secrets.token_hex(8)
    starts_before = files.read(files.state).get("starts", 0)
    files.write(files.command, {"wanted": wanted, "serial": serial})
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and files.is_supervised():
        time.sleep(POLL_SECONDS)
        if files.read(files.command).get("serial") != serial:
            raise ServiceError(f"another command overtook this one for {files.directory}")
        state = files.read(files.state)
        if state.get("serial") != serial:
            continue
        if state["state"] == state_wanted:
            return state
        if wanted == "up" and state["state"] == "backoff" and state["starts"] > starts_before:
            raise ServiceError(f"the application ended with {state['last_exit']} while it started; its log {files.log} ends with:\n{tail(files.log)}")
    raise ServiceError(f"the application of {files.directory} is {status(files)['state']}, not {state_wanted}; see {files.log}")
