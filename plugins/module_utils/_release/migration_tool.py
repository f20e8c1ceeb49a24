# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A team's own migration tool, run once for a release on one host: its status command, its lock, its time limit, and the ledger of what ran.

    <ledger>        {"2.0.0": {"status": "applied", "command": SHA-256, "started": ..., "ended": ..., "exit_status": 0, "attempts": 1}}
    <ledger>.lock   held by the module and by the tool itself: a tool whose module or controller died still holds it
    <ledger>.log    what the tool wrote, in the last run

The status command decides wherever there is one. Without it the ledger does, and a run that was killed is done again: the tool knows what it has applied.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from .._host import command_words, small_files
from .._host.flock import LockError, exclusive
from .._host.small_files import SmallFileError

BEGUN, APPLIED, UNNEEDED, FAILED = "begun", "applied", "unneeded", "failed"
DONE = (APPLIED, UNNEEDED)
STATUS_SECONDS = 300.0
# From the request to end until the tool and everything that it has started are killed.
GRACE_SECONDS = 10.0
SHOWN_LINES, SHOWN_BYTES = 10, 8000
# The options that both modules share.
ARGUMENTS: dict[str, Any] = {
    "ledger": {"type": "path", "required": True},
    "status_command": {"type": "raw", "default": []},
    "directory": {"type": "path"},
    # Passwords may be among them.
    "environment": {"type": "dict", "default": {}, "no_log": True},
}


class MigrationToolError(Exception):
    """The tool did not do what it was to do; the message names it, what it said, and what comes next."""


def words_of(command: Any, option: str) -> list[str]:
    """``_host.command_words.words_of``; raises MigrationToolError."""
    return command_words.words_of(command, option, MigrationToolError)


def rows_of(ledger: str) -> dict[str, dict[str, Any]]:
    """The ledger's rows by release; none when nothing ran on this host yet."""
    try:
        found = small_files.read_json(ledger)
    except SmallFileError as error:
        raise MigrationToolError(str(error)) from error
    return {} if found is None else dict(found)


@dataclass
class Outcome:
    """What became of the tool: a row of the ledger, whether anything ran just now, and what it wrote last."""

    row: dict[str, Any]
    ran: bool = False
    output: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MigrationTool:
    """The command lines of a tool, and how they run."""

    ledger: str
    release: str
    command: Sequence[str]
    status: Sequence[str]
    directory: str | None
    environment: Mapping[str, Any]
    timeout: float
    clock: Callable[[], float] = time.time

    def absent(self) -> list[str]:
        """What of programs and folders is not on this host."""
        programs = [words[0] for words in (self.command, self.status) if words]
        path = {**os.environ, **self._more()}.get("PATH")
        places = {program: os.path.join(self.directory or "", program) if "/" in program else program for program in programs}
        missing = [program for program, place in places.items() if shutil.which(place, path=path) is None]
        return [*dict.fromkeys(missing), *([self.directory] if self.directory and not os.path.isdir(self.directory) else [])]

    def is_pending(self) -> bool | None:
        """Whether the tool has anything left to apply, by its status command; None without one."""
        if not self.status:
            return None
        with open(os.devnull, "wb") as nowhere:
            return self._run(self.status, nowhere, min(self.timeout, STATUS_SECONDS)) != 0

    def migrate(self) -> Outcome:
        """Run the command unless nothing is left. MigrationToolError when it failed; the ledger says so too."""
        small_files.make_folder(os.path.dirname(self.ledger))
        with exclusive(f"{self.ledger}.lock", self.timeout) as lock:
            row = rows_of(self.ledger).get(self.release) or {}
            if row.get("status") in DONE and not self.status and row.get("command") == self.checksum:
                return Outcome(row)
            if self.is_pending() is False:
                # A row that was begun is that of a run that was killed after its tool had ended.
                return Outcome(row if row.get("status") in DONE else self._keep(row, APPLIED if row else UNNEEDED, ended=self.clock()))
            return self._migrate(row, lock)

    @property
    def checksum(self) -> str:
        """The fingerprint of the command line. The tool itself keeps track of its files."""
        return hashlib.sha256(json.dumps(list(self.command)).encode()).hexdigest()

    def _migrate(self, row: Mapping[str, Any], lock: int) -> Outcome:
        begun = self._keep({}, BEGUN, started=self.clock(), attempts=row.get("attempts", 0) + 1)
        log = f"{self.ledger}.log"
        try:
            with open(log, "wb", opener=_private) as file:
                status = self._run(self.command, file, self.timeout, lock)
        except MigrationToolError as error:
            self._keep(begun, FAILED, ended=self.clock(), exit_status=None)
            raise MigrationToolError(f"{error}{_described(_last_lines(log))}") from None
        output = _last_lines(log)
        if status:
            self._keep(begun, FAILED, ended=self.clock(), exit_status=status)
            raise MigrationToolError(f"{self.command[0]} ended with {status}{_described(output)}. All that it wrote is in {log}")
        if self.is_pending():
            self._keep(begun, FAILED, ended=self.clock(), exit_status=status)
            raise MigrationToolError(
                f"{self.command[0]} ended with 0, but the status command {self.status[0]} reports that something is left{_described(output)}")
        return Outcome(self._keep(begun, APPLIED, ended=self.clock(), exit_status=status), ran=True, output=output)

    def _keep(self, row: Mapping[str, Any], status: str, **more: Any) -> dict[str, Any]:
        """Write the release's row down, on the disk before anything else happens."""
        kept = {**row, "status": status, "command": self.checksum, **more}
        small_files.replace_json(self.ledger, {**rows_of(self.ledger), self.release: kept})
        return kept

    def _more(self) -> dict[str, str]:
        return {key: str(value) for key, value in self.environment.items()}

    def _run(self, words: Sequence[str], file: Any, seconds: float, lock: int | None = None) -> int:
        """Run the program; returns its exit status. It has its own session, so it is not killed when the connection to this host is lost."""
        try:
            process = subprocess.Popen(list(words), cwd=self.directory, env={**os.environ, **self._more()}, stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.STDOUT, start_new_session=True, pass_fds=() if lock is None else (lock,))
        except OSError as error:
            raise MigrationToolError(f"{words[0]} does not start on this host: {error.strerror} ({error.filename})") from error
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            raise MigrationToolError(f"{words[0]} has not ended within {seconds:g} s, and was ended") from None


def _end(process: subprocess.Popen[Any]) -> None:
    """End the program and everything that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _last_lines(path: str) -> list[str]:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - SHOWN_BYTES))
        return [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()][-SHOWN_LINES:]


def _described(lines: Sequence[str]) -> str:
    return f": {' / '.join(line.strip() for line in lines)}" if lines else ", and wrote nothing"


LOCKED = (LockError, SmallFileError)
