# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""At most a few sessions at once to one endpoint, from all processes of this account on this host.

HAProxy has ten places for sessions on a stats socket (`stats maxconn`), and as many on the master's socket. Each member that is drained is a process here,
which polls the socket: with a wide window these processes would take all places, and no other client could connect.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator
from typing import Callable

PLACES = 4
PAUSE_SECONDS = 0.01


class NoPlaceError(Exception):
    """All places are taken, for longer than the caller would wait."""


@contextlib.contextmanager
def place_at(endpoint: str, seconds: float, steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold one of the places, which the kernel frees when the process ends. Where no file can be locked, there is no limit."""
    folder = _folder()
    if folder is None:
        yield
        return
    name = hashlib.sha256(endpoint.encode("utf-8")).hexdigest()[:32]
    handle = _taken(os.path.join(folder, name), steady() + seconds, steady, sleep)
    try:
        yield
    finally:
        os.close(handle)


def _taken(stem: str, give_up: float, steady: Callable[[], float], sleep: Callable[[float], None]) -> int:
    places = list(range(PLACES))
    while True:
        random.shuffle(places)
        for number in places:
            handle = os.open(f"{stem}.{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except BlockingIOError:
                os.close(handle)
        if steady() >= give_up:
            raise NoPlaceError
        sleep(PAUSE_SECONDS * (0.5 + random.random()))


def _folder() -> str | None:
    """A folder that belongs to this account alone; None when it cannot be created, or another account has created it."""
    path = os.path.join(tempfile.gettempdir(), f"alwayson-upgrade-{os.geteuid()}")
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        found = os.lstat(path)
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return path if is_ours and os.access(path, os.W_OK) else None
