# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private file that is only ever appended to, a whole line or nothing, also when several processes write to it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ...module_utils._host import small_files
from ...module_utils._host.small_files import PRIVATE, PRIVATE_FOLDER, make_folder
from ...module_utils._host.writers import warning_of_strangers

# Below Ansible's own folder of this user. An account that may write beside a file need not be able to write here.
KEPT = os.path.join("alwayson", "journals")


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
            fcntl.flock(self._there(), fcntl.LOCK_EX)
            yield
        finally:
            if self._handle is not None:
                fcntl.flock(self._handle, fcntl.LOCK_UN)

    def unseen(self) -> bytes | None:
        """The whole content when another process has written since this one did, or at first; else None."""
        handle = self._there()
        if os.fstat(handle).st_size == self._known_size:
            return None
        content = b""
        while True:
            part = os.pread(handle, 1 << 20, len(content))
            if not part:
                self._known_size = len(content)
                return content
            content += part

    def append(self, line: bytes) -> None:
        """Add the line by one write, on disk when this returns. What a full disk took of it is removed again."""
        handle = self._there()
        before = os.fstat(handle).st_size
        try:
            written = os.write(handle, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
            os.fsync(handle)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, before)
            raise
        self._known_size = before + len(line)

    def set_aside(self, path: str) -> None:
        """Keep the present file under another name, which must be free, and go on with an empty one."""
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        os.rename(self.path, path)
        self.close()
        self._open()
        fcntl.flock(self._there(), fcntl.LOCK_EX)

    def keep(self, content: Mapping[str, Any]) -> None:
        """Keep a record about the file in this user's own folder, too. Where that is not possible, there is only the one beside the file."""
        path = self._kept_path()
        with contextlib.suppress(OSError, small_files.SmallFileError):
            if not os.path.exists(path):
                make_folder(os.path.dirname(path), PRIVATE_FOLDER)
                _forget_lost(os.path.dirname(path))
            replace_privately(path, small_files.json_line({**content, "file": os.path.realpath(self.path)}))

    def kept(self, beside: str) -> list[Any]:
        """What was kept of the file, in the file `beside` in its folder and in this user's own folder; nothing that cannot be read.

        What only this user kept does not count for a file that begins: its folder was removed, and nothing beside it says otherwise.
        """
        begins = os.fstat(self._there()).st_size == 0
        places = [os.path.join(os.path.dirname(self.path), beside), *([] if begins else [self._kept_path()])]
        found = []
        for place in places:
            with contextlib.suppress(OSError, small_files.SmallFileError):
                found.append(small_files.read_json(place))
        return found

    def _kept_path(self) -> str:
        home = os.environ.get("ANSIBLE_HOME") or os.path.join("~", ".ansible")
        name = hashlib.sha256(os.fsencode(os.path.realpath(self.path))).hexdigest()[:32]
        return os.path.join(os.path.expanduser(home), KEPT, f"{name}.json")

    def warning_of_strangers(self, content: str) -> str:
        """A warning when other accounts may write in the file's folder, where `content` is; see `_host.writers.warning_of_strangers`."""
        return warning_of_strangers(os.path.dirname(self.path), content)

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._known_size = None, None

    def _open(self) -> None:
        """Open what stands at the path now; a file that was moved away is let go."""
        if self._handle is not None and self._is_at_path():
            return
        self.close()
        make_folder(os.path.dirname(self.path) or ".")
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            if os.fstat(handle).st_mode & 0o777 != PRIVATE:
                os.fchmod(handle, PRIVATE)
        except OSError:
            os.close(handle)
            raise
        self._handle = handle

    def _there(self) -> int:
        """The open file."""
        if self._handle is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self.path)
        return self._handle

    def _is_at_path(self) -> bool:
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._there())
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def replace_privately(path: str, content: bytes) -> None:
    """Put a private file in the place of another in one step; after a crash of the machine it may be empty."""
    small_files.replace(path, content, PRIVATE, durable=False)


def _forget_lost(folder: str) -> None:
    """Remove what was kept of files whose folders are gone."""
    for name in os.listdir(folder):
        place = os.path.join(folder, name)
        with contextlib.suppress(OSError, small_files.SmallFileError):
            content = small_files.read_json(place)
            if isinstance(content, dict) and not os.path.isdir(os.path.dirname(str(content.get("file", "")))):
                os.unlink(place)
