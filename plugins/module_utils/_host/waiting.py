# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a bounded time: for something that is looked for again and again, and for what only another thread can end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Callable, TypeVar

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], seconds: float, pause: float, steady: Callable[[], float] = time.monotonic,
             sleep: Callable[[float], None] = time.sleep) -> Found:
    """What the first look that finds something (anything that is true) has found, or the last one, after so many seconds; at least one look is taken."""
    give_up = steady() + seconds
    while not (found := look()) and steady() < give_up:
        sleep(pause)
    return found


@contextlib.contextmanager
def limited(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` from another thread when the block lasts longer. Where it was called, it has returned when this does."""
    fuse = threading.Timer(seconds, end)
    fuse.daemon = True
    fuse.start()
    try:
        yield
    finally:
        fuse.cancel()
        fuse.join()
