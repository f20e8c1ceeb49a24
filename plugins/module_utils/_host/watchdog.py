# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watchdog: a second process that acts when the first one is killed, or does not finish in time."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import struct
import time
from collections.abc import Iterator
from typing import Callable

_SAFE = b"safe"
_SECONDS = "=d"


class Mark:
    """A flag that a process sets for its watchdog. It is created before the watchdog starts."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def __bool__(self) -> bool:
        return self._byte[0] > 0

    def set(self, is_so: bool) -> None:
        """Set the flag, or clear it."""
        self._byte[0] = int(is_so)


@contextlib.contextmanager
def watchdog(act: Callable[[], object], seconds: float) -> Iterator[Callable[[float], None]]:
    """Have `act` called by another process when this one dies inside the block, or has not left it after so many seconds.

    The block gets a function that sets a new number of seconds, from the time of its call. It raises OSError when the watchdog has ended.
    The watchdog starts as a copy of this process and would share its connections: open them inside the block.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writing)
        _watch(reading, act, seconds)
    os.close(reading)

    def within(others: float) -> None:
        os.write(writing, struct.pack(_SECONDS, others))

    try:
        yield within
    finally:
        # An exception that leaves the block is the caller's to handle: only a process that does not get here is dead.
        with contextlib.suppress(OSError):
            os.write(writing, _SAFE)
        os.close(writing)
        os.waitpid(pid, 0)


def _watch(reading: int, act: Callable[[], object], seconds: float) -> None:
    """The watchdog process; never returns."""
    try:
        os.setsid()
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        # A reader of the first process's output waits until every writer has closed it.
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        if not _is_safe(reading, seconds):
            # A request for more time that comes too late is refused.
            os.close(reading)
            act()
    finally:
        os._exit(0)


def _is_safe(reading: int, seconds: float) -> bool:
    """True if the parent reports success before the timeout."""
    due = time.monotonic() + seconds
    while select.select([reading], [], [], max(0.0, due - time.monotonic()))[0]:
        # Shorter messages than a pipe takes at once arrive as they were sent, unless two are there: the last bytes count.
        said = os.read(reading, mmap.PAGESIZE)
        if not said or said.endswith(_SAFE):
            return bool(said)
        due = time.monotonic() + struct.unpack(_SECONDS, said[-struct.calcsize(_SECONDS):])[0]
    return False
