# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of database servers: found, run so that they can be stopped, fed and read."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, BinaryIO

from .messages import of_program

MESSAGE_LENGTH = 2000


class ProgramError(Exception):
    """A program is missing, does not fit the server, or failed; the message says which, and what it said."""


def find_on_path(names: Sequence[str], bin_dir: str | None, package: str) -> dict[str, str]:
    """Programs of which any version will do, by name, in `bin_dir` or on PATH; ProgramError says which is missing, and which package has it."""
    found = {name: shutil.which(name, path=bin_dir) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise ProgramError(f"there is no {', no '.join(missing)} in {bin_dir or 'PATH'}: install {package} on this host, or give the folder as bin_dir")
    return {name: os.path.abspath(path) for name, path in found.items() if path is not None}


class Runner:
    """Runs programs for several threads, and can stop them all at once."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[Any]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], source: Iterable[bytes] | None = None, sink: BinaryIO | None = None
    ) -> str:
        """Run a program to its end, and return what it wrote. What it creates can be read by its user alone.

        :param source: what it reads, if anything.
        :param sink: where what it wrote goes instead.
        :raises ProgramError: when it ends with anything but 0; the message is the end of what it said, without rows and statements.
        """
        with tempfile.TemporaryFile() as said, self._start(command, environment, said, source is not None) as process:
            try:
                wrote = b""
                if source is not None and process.stdin:
                    _feed(process.stdin, source)
                elif sink is not None and process.stdout:
                    shutil.copyfileobj(process.stdout, sink)
                if sink is None and process.stdout:
                    wrote = process.stdout.read()
                process.wait()
            except BaseException:
                process.kill()
                raise
            finally:
                with self._lock:
                    self._running.discard(process)
            _require_success(process, command[0], said)
        return wrote.decode("utf-8", "replace")

    def require_going_on(self) -> None:
        """Raise ProgramError when `stop` was called: for those who wait for something without a program."""
        if self._stopped:
            raise ProgramError("stopped before its end")

    def stop(self) -> None:
        """Stop what runs, and start nothing any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def _start(self, command: Sequence[str], environment: Mapping[str, str], said: BinaryIO, reads: bool) -> subprocess.Popen[Any]:
        with self._lock:
            self.require_going_on()
            try:
                process = subprocess.Popen(
                    command, env=environment, stdin=subprocess.PIPE if reads else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, umask=0o077
                )
            except OSError as error:
                raise ProgramError(f"{command[0]} could not be started: {error}") from error
            self._running.add(process)
            return process


def _feed(sink: IO[bytes], source: Iterable[bytes]) -> None:
    """Give a program what it reads. One that ends before all is read says why itself."""
    with contextlib.suppress(BrokenPipeError):
        for piece in source:
            sink.write(piece)
    with contextlib.suppress(BrokenPipeError):
        sink.close()


def _require_success(process: subprocess.Popen[Any], program: str, said: BinaryIO) -> None:
    if process.returncode == 0:
        return
    said.seek(0)
    text = of_program(said.read().decode("utf-8", "replace"))[-MESSAGE_LENGTH:]
    raise ProgramError(f"{os.path.basename(program)} ended with {process.returncode}: {text or 'no output'}")
