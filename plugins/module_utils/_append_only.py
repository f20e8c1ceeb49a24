# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private file that is only ever appended to, a whole line or nothing, also when several processes write to it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Iterator

PRIVATE = 0o600


class AppendOnlyFile:
    """The file at `path`. Every use is `with file.locked():`; what goes wrong raises OSError, and then nothing of the line is in the file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._handle: int | None = None
        self._known_size: int | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out. The file is made when it is not there, and made private when it is not."""
        self._open()
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            yield
        finally:
            if self._handle is not None:
                fcntl.flock(self._handle, fcntl.LOCK_UN)

    def unseen(self) -> bytes | None:
        """The whole content when somebody else has written since this one did, or at first; else None."""
        if os.fstat(self._handle).st_size == self._known_size:
            return None
        content = b""
        while True:
            part = os.pread(self._handle, 1 << 20, len(content))
            if not part:
                self._known_size = len(content)
                return content
            content += part

    def append(self, line: bytes) -> None:
        """Add the line by one write, on disk when this returns. What a full disk took of it is removed again."""
        before = os.fstat(self._handle).st_size
        try:
            written = os.write(self._handle, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
            os.fsync(self._handle)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, before)
            raise
        self._known_size = before + len(line)

    def set_aside(self, path: str) -> None:
        """Keep the present file under another name, which must be free, and go on with an empty one."""
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        os.rename(self.path, path)
        self.close()
        self._open()
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def close(self) -> None:
        """Let go of the file; the next use opens it anew."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._known_size = None, None

    def _open(self) -> None:
        """Open what stands at the path now; a file that was moved away is let go."""
        if self._handle is not None and self._is_at_path():
            return
        self.close()
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            if os.fstat(handle).st_mode & 0o777 != PRIVATE:
                os.fchmod(handle, PRIVATE)
        except OSError:
            os.close(handle)
            raise
        self._handle = handle

    def _is_at_path(self) -> bool:
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._handle)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def replace_privately(path: str, content: bytes) -> None:
    """Put a private file in the place of another in one step."""
    temporary = f"{path}.{os.getpid()}.new"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        os.fchmod(handle, PRIVATE)
        if os.write(handle, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(handle)
    os.replace(temporary, path)
