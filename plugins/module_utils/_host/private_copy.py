# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that others may write, read once into a copy of our own: the bytes that are checked are the bytes that are used, even when the file changes meanwhile.

A named pipe or a device in the place of a file is an error, and not something to wait for.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

CHUNK = 1024 * 1024
# What is left to others on a disk: so many bytes, and of a small one this part.
RESERVE_BYTES, RESERVE_PART = 64 * 1024 * 1024, 20


def open_regular(path: str, through_links: bool = True) -> BinaryIO:
    """Open the file at `path` for reading; raise OSError when it is no regular file, or this account may not read it.

    :param through_links: whether `path` may be a link to the file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if through_links else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return open(handle, "rb")


def copy(path: str, target: BinaryIO, limit: int | None = None) -> str:
    """Copy the file at `path` into `target`, which is at its start afterwards; return its SHA-256 in hexadecimal.

    Raise OSError when it is no regular file or has more than `limit` bytes.
    """
    digest = hashlib.sha256()
    copied = 0
    with open_regular(path) as source:
        for chunk in iter(lambda: source.read(CHUNK), b""):
            copied += len(chunk)
            if limit is not None and copied > limit:
                raise OSError(errno.EFBIG, f"it has more than {limit} bytes", path)
            digest.update(chunk)
            target.write(chunk)
    target.seek(0)
    return digest.hexdigest()


def free_bytes(folder: str) -> int:
    """What may be written on the disk of `folder` without taking the last of it, in bytes: an application that cannot write its log is no longer healthy."""
    disk = os.statvfs(folder)
    return max(0, disk.f_bavail * disk.f_frsize - min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // RESERVE_PART))


@contextlib.contextmanager
def private_copy(path: str, *folders: str) -> Iterator[tuple[BinaryIO, str]]:
    """A copy of the file at `path` that has no name, with its SHA-256. It is gone after the block.

    It is on the disk of the first of the `folders` that has room for it, else of the one for temporary files. Raise OSError, having copied nothing, when none
    has, and when the file grows as it is read.
    """
    with open_regular(path) as source:
        size = os.fstat(source.fileno()).st_size
    with tempfile.TemporaryFile(dir=_roomy(path, size, folders or (tempfile.gettempdir(),))) as target:
        yield target, copy(path, target, size)


def _roomy(path: str, size: int, folders: Sequence[str]) -> str:
    may_write = [folder for folder in folders if os.access(folder, os.W_OK | os.X_OK)]
    free = {folder: free_bytes(folder) for folder in may_write}
    for folder in may_write:
        if size <= free[folder]:
            return folder
    if not may_write:
        # Its own error says why.
        return folders[0]
    found = ", ".join(f"{folder} has {room}" for folder, room in free.items())
    raise OSError(errno.ENOSPC, f"its private copy takes {size} bytes, but beside a reserve {found} bytes free: make room there. Nothing was copied", path)
