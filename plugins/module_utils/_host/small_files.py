# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files that decide something: whole or absent after any crash, on the disk when a call returns, and read without trust.

Callers hold a lock around everything here that writes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Mapping
from typing import Any

LIMIT = 65_536
# For the owner alone; for the programs of others, too.
PRIVATE, READABLE = 0o600, 0o644
PRIVATE_FOLDER, OPEN_FOLDER = 0o700, 0o755
# Linux's access control list, see acl(5).
ACCESS_LIST = "system.posix_acl_access"


class SmallFileError(Exception):
    """The file was not written by this collection. The message names it and says what it is."""


class NotAFolderError(SmallFileError, NotADirectoryError):
    """Something else stands where a folder is wanted."""

    def __str__(self) -> str:
        return f"{self.filename} {self.strerror}"


def read_json(path: str, limit: int = LIMIT) -> Any:
    """The content of the JSON file at `path`, None when there is none. Raise SmallFileError for anything else and for more than `limit` bytes."""
    content = _read(path, limit)
    if content is None:
        return None
    found = None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(content.decode("utf-8"))
    if found is None:
        raise SmallFileError(f"{path} is truncated, or was written by another program: check it, and remove it when no run is in progress")
    return found


def replace_json(path: str, content: Any) -> None:
    """`replace` with `content` as a line of JSON, for its owner alone."""
    replace(path, json_line(content), PRIVATE)


def json_line(content: Any) -> bytes:
    """`content` as a line of JSON."""
    return json.dumps(content, sort_keys=True).encode("utf-8") + b"\n"


def replace(path: str, content: bytes, mode: int, owner: tuple[int, int] | None = None, attributes: Mapping[str, bytes] | None = None,
            durable: bool = True, partial: str | None = None) -> None:
    """Put `content` at `path` by one rename, after all of it is on the disk, with exactly this mode.

    :param owner: and group; -1 is whatever the system gives to a new file there.
    :param attributes: as `attributes_of` gives them; no other access control list then.
    :param durable: whether it is on the disk when the call returns. Without that, a crash of the machine may leave an empty file.
    :param partial: where it is until then, in the same folder; what stands there is replaced.
    :raises OSError: with what was there unchanged.
    """
    folder, name = os.path.split(os.path.abspath(path))
    partial = partial or os.path.join(folder, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    try:
        _write(partial, content, mode, owner, attributes, durable)
        os.rename(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    if durable:
        flush(folder)


def remove(path: str) -> None:
    """Remove a file, also from the disk."""
    os.unlink(path)
    flush(os.path.dirname(path))


def append_line(path: str, content: Any) -> None:
    """Append `content` as one line of JSON. A line that a crash had cut short ends before it; one that does not fit is taken back."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, PRIVATE)
    try:
        size = _regular_size(handle, path)
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        try:
            _write_all(handle, b"\n" * torn + json_line(content))
            os.fsync(handle)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def last_lines(path: str, count: int) -> list[dict[str, Any]]:
    """The last `count` lines that are JSON objects, oldest first; what is torn or foreign between them is left out."""
    content = _read(path, from_its_end=True)
    lines = []
    for line in reversed((content or b"").split(b"\n")):
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line.decode("utf-8"))
            lines += [entry] if isinstance(entry, dict) else []
        if len(lines) >= count:
            break
    return lines[::-1]


def make_folder(path: str, mode: int = OPEN_FOLDER, for_others: bool = False) -> None:
    """Make the folder at `path` with those above it that are missing, and have their names on the disk. Others may write in none of them, under any umask.

    :param mode: of the last one; less when the umask takes more away.
    :param for_others: have others pass through each folder that is made, whatever the umask is.
    """
    path = os.path.abspath(path)
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_folder(above, for_others=for_others)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
        if for_others:
            os.chmod(path, mode)
    flush(above)
    if not os.path.isdir(path):
        raise NotAFolderError(errno.ENOTDIR, "is not a folder", path)


def attributes_of(path: str) -> dict[str, bytes]:
    """Those extended attributes of a file or a folder that say who may use it, or that its users have given it. Others are its content's."""
    found: dict[str, bytes] = {}
    with contextlib.suppress(AttributeError, OSError):  # another system, or a disk without any
        for name in os.listxattr(path):
            if name in (ACCESS_LIST, "security.selinux") or name.startswith("user."):
                found[name] = os.getxattr(path, name)
    return found


def set_attributes(handle: int, attributes: Mapping[str, bytes]) -> None:
    """Give an open file these extended attributes, and no access control list when there is none among them. Raise OSError when it cannot have the list."""
    if ACCESS_LIST not in attributes:
        with contextlib.suppress(AttributeError, OSError):  # as above, or it has none
            os.removexattr(handle, ACCESS_LIST)
    for name, value in attributes.items():
        with contextlib.suppress(*([] if name == ACCESS_LIST else [OSError])):
            os.setxattr(handle, name, value)


def flush(path: str | bytes) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: str, limit: int = LIMIT, from_its_end: bool = False) -> bytes | None:
    """Up to `limit` bytes of a regular file; None when there is none. A longer one is refused unless its end is wanted."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size = _regular_size(handle, path)
        if size > limit and not from_its_end:
            raise SmallFileError(f"{path} has {size} bytes, so it was written by another program")
        return os.pread(handle, limit, max(0, size - limit))
    finally:
        os.close(handle)


def _regular_size(handle: int, path: str) -> int:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise SmallFileError(f"{path} is not a regular file")
    return status.st_size


def _write(path: str, content: bytes, mode: int, owner: tuple[int, int] | None, attributes: Mapping[str, bytes] | None, durable: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    try:
        # Before the file gets its name: its readers need these rights from the first moment.
        made = os.fstat(handle)
        if owner is not None and any(wanted not in (-1, given) for wanted, given in zip(owner, (made.st_uid, made.st_gid))):
            os.fchown(handle, *owner)
        if attributes is not None:
            set_attributes(handle, attributes)
        os.fchmod(handle, mode)
        _write_all(handle, content)
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content):]
