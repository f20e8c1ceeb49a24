# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""At most one mutator at a time on a host: a file lock that the kernel releases when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import Callable

POLL_SECONDS = 0.1


class LockError(Exception):
    """The lock is held by another process for longer than the caller would wait; the message names the process."""


@contextlib.contextmanager
def exclusive(
    path: str,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """Hold the lock file at `path`, waiting up to `timeout` seconds for it; raise LockError when it stays taken.

    Gives the file's descriptor: a process that inherits it holds the lock too, for as long as it lives.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        give_up = clock() + timeout
        while not _taken(handle):
            if clock() >= give_up:
                raise LockError(
                    f"another run is at work: process {_holder(handle)} holds {path}, for more than {timeout:g} s now; "
                    "wait for it to end, then run this again"
                )
            sleep(POLL_SECONDS)
        _sign(handle)
        yield handle
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(handle: int) -> None:
    """Leave the holder's process id for those who wait."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)


def _holder(handle: int) -> str:
    content = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
    return content if content.isdigit() else "(unknown)"
