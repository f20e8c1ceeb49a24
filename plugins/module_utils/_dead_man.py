# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dead man's switch: what has to be done when a process does not get to its end, by another process that outlives it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import Callable, Iterator

_SAFE = b"safe"


@contextlib.contextmanager
def dead_man(act: Callable[[], None], seconds: float) -> Iterator[None]:
    """Have `act` called by another process when this one dies inside the block, however that happens, or is not through after so many seconds.

    That process begins as a copy of this one: whatever connection was opened before would be shared, so open them inside.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writing)
        _watch(reading, act, seconds)
    os.close(reading)
    try:
        yield
    finally:
        # An exception that leaves the block was handled by whoever raised it: only who does not get here is dead.
        with contextlib.suppress(OSError):
            os.write(writing, _SAFE)
        os.close(writing)
        os.waitpid(pid, 0)


def _watch(reading: int, act: Callable[[], None], seconds: float) -> None:
    """The other process; never returns."""
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # Whoever reads what the first process says waits until nobody can say more.
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        ready, _none, _none = select.select([reading], [], [], seconds)
        if not ready or os.read(reading, len(_SAFE)) != _SAFE:
            act()
    finally:
        os._exit(0)
