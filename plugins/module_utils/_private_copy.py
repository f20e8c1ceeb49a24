# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that others may write, read once into a copy of our own: what is judged and what is used are the same bytes, whatever becomes of the file meanwhile.

A named pipe or a device in the place of a file is an error, and not something to wait for.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from typing import BinaryIO, Iterator

CHUNK = 1024 * 1024


def open_regular(path: str) -> BinaryIO:
    """Open the file at `path`, through links; raise OSError when it is no regular file or has no reader's right."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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


@contextlib.contextmanager
def private_copy(path: str, folder: str | None = None) -> Iterator[tuple[BinaryIO, str]]:
    """A copy of the file at `path` that has no name, on the disk of `folder`, with its SHA-256. It is gone after the block."""
    with tempfile.TemporaryFile(dir=folder) as target:
        yield target, copy(path, target)
