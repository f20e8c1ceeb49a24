# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on a filesystem, claimed before it is written to: several backups at once must not count the same free bytes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Callable

from .record import BackupError


def free_bytes(folder: str) -> int:
    """What a user without privileges may still write below `folder`."""
    filesystem = os.statvfs(folder)
    return filesystem.f_bavail * filesystem.f_frsize


class Room:
    """The room below `folder`. What is claimed counts as taken until it is released, even as it is being written: refused too early, never too late."""

    def __init__(self, folder: str, free: Callable[[str], int] = free_bytes) -> None:
        self.folder = folder
        self._free = free
        self._claimed = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def claimed(self, size: int, what: str) -> Iterator[None]:
        """Claim `size` bytes for `what`; BackupError when they are not there."""
        with self._lock:
            left = self._free(self.folder) - self._claimed
            if left < size:
                raise BackupError(f"not enough disk space for {what}: it needs up to {size} bytes, and below {self.folder} {left} are free: make space")
            self._claimed += size
        try:
            yield
        finally:
            with self._lock:
                self._claimed -= size
