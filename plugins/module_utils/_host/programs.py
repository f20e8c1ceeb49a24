# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs commands: those that start or stop something and may leave it running, and those of which the output is wanted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Callable, NamedTuple

END_BYTES = 2000


class Ended(NamedTuple):
    """How a command ended: its exit status, and the end of what it wrote, without white space around it."""

    status: int
    said: str


def run(command: Sequence[str], seconds: float | None = None, goes_on: bool = False) -> Ended:
    """Run a command without a shell, in its own session: it does not end with the connection to this host.

    Its output goes to a file that is already unlinked, not to a pipe: a daemon that keeps its starter's output open neither holds up this function nor is
    ended by a closed pipe later.

    :param seconds: after which the command is killed with all that it has started in its session; None waits for its end.
    :param goes_on: leave it running instead, also when this process is interrupted.
    :raises OSError: when it cannot be run.
    :raises subprocess.TimeoutExpired: when it did not end in time; its `output` is the end of what it wrote.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/", start_new_session=True)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            if not goes_on:
                _kill(process, os.killpg)
            error.output = _end_of(output)
            raise
        except BaseException:
            if not goes_on:
                _kill(process, os.kill)
            raise
        return Ended(status, _end_of(output))


def captured(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None,
             standard_input: BinaryIO | int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    """Run a command without a shell that speaks English; what it wrote is in `stdout` and `stderr`.

    :param environment: variables besides this process's own.
    :raises FileNotFoundError: when it is not on this host.
    :raises subprocess.TimeoutExpired: when it did not end in time, and was killed.
    """
    return subprocess.run(list(command), stdin=standard_input, capture_output=True, text=True, errors="replace", check=False, timeout=seconds,
                          env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})})


def _kill(process: subprocess.Popen[Any], kill: Callable[[int, int], None]) -> None:
    with contextlib.suppress(ProcessLookupError):
        kill(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(output: BinaryIO) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - END_BYTES))
    return output.read(END_BYTES).decode("utf-8", "replace").strip()
