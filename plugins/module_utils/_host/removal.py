# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders removed with what is in them, and never with what is mounted in them: uploads, caches and backups are mounted into folders of releases and data.

A bind mount of the same disk has the same device number, so devices do not identify it. Linux lists its mounts in proc(5), ``/proc/self/mountinfo``, and each
open file with its mount in ``/proc/self/fdinfo``. Both are read: the first before anything is removed, the second at every folder that is entered.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from typing import Any

MOUNTS = "/proc/self/mountinfo"
# Not Linux, or no /proc. Any other error, such as too many open files, says nothing about mounts, and is raised.
UNREADABLE = (FileNotFoundError, NotADirectoryError, PermissionError)
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_MOUNT_ID = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)


class MountedError(OSError):
    """Something is mounted in the folder, so nothing of it was removed; the message names where."""


def require_nothing_mounted(path: str) -> None:
    """Raise MountedError when something is mounted at `path` or below it, as this process sees it. A link has nothing below it."""
    folder, name = os.path.split(os.path.abspath(path))
    top = os.fsencode(os.path.join(os.path.realpath(folder), name))
    found = sorted(place for place in _mount_points(top) if place == top or place.startswith(top + b"/"))
    if found:
        names = ", ".join(map(os.fsdecode, found))
        raise MountedError(errno.EBUSY, f"something is mounted in it, at {names}, and nothing was removed: umount that first", path)


def remove_tree(path: str) -> list[OSError]:
    """Remove the folder at `path` with what is in it, on its own mount only. Return an error for each thing that cannot be removed, with its path.

    Raise MountedError, having removed nothing, when something is mounted there. A folder that is gone already is no error.
    """
    require_nothing_mounted(path)
    errors: list[OSError] = []
    try:
        handle = _enter(path, None)
    except FileNotFoundError:
        return []
    except OSError as error:
        return [_at(error, path)]
    try:
        with _kept(errors, path):
            _empty(handle, path, _mount_of(handle), errors)
    finally:
        os.close(handle)
    if not errors:
        with _kept(errors, path):
            os.rmdir(path)
    return errors


def remove(path: str) -> None:
    """Remove a file, or a folder as `remove_tree` does; raise OSError for the first thing that cannot be removed. One that is gone is no error."""
    if os.path.isdir(path) and not os.path.islink(path):
        for error in remove_tree(path):
            raise error
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _empty(folder: int, path: str, mount: tuple[Any, ...], errors: list[OSError]) -> None:
    """Remove what is in the open folder. Names are resolved in it, so this does not leave the tree when another process exchanges a folder for a link."""
    names: list[str] = []
    with _kept(errors, path):
        names = os.listdir(folder)
    for name in names:
        place = os.path.join(path, name)
        with _kept(errors, place):
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
                continue
            before = len(errors)
            inner = _enter(name, folder)
            try:
                if _mount_of(inner) != mount:
                    raise MountedError(errno.EBUSY, "something is mounted there", place)
                _empty(inner, place, mount, errors)
            finally:
                os.close(inner)
            if len(errors) == before:
                os.rmdir(name, dir_fd=folder)


def _enter(name: str, folder: int | None) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


@contextlib.contextmanager
def _kept(errors: list[OSError], path: str) -> Iterator[None]:
    """Keep an error about `path`, unless it says that the path is gone."""
    try:
        yield
    except FileNotFoundError:
        pass
    except RecursionError:
        errors.append(OSError(errno.ENAMETOOLONG, "it lies too deep", path))
    except OSError as error:
        errors.append(_at(error, path))


def _at(error: OSError, path: str) -> OSError:
    return type(error)(error.errno, error.strerror, path)


def _mount_of(handle: int) -> tuple[Any, ...]:
    """The identity of the mount of an open folder: its device and, where Linux shows it, its mount ID."""
    found = None
    with contextlib.suppress(*UNREADABLE), open(f"/proc/self/fdinfo/{handle}", "rb") as file:
        found = _MOUNT_ID.search(file.read())
    return os.fstat(handle).st_dev, found[1] if found else None


def _mount_points(top: bytes) -> list[bytes]:
    try:
        with open(MOUNTS, "rb") as file:
            return [_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), line.split(b" ")[4]) for line in file if line.count(b" ") > 4]
    except UNREADABLE:
        # What has another device number.
        device = os.lstat(top).st_dev if os.path.lexists(top) else None
        folders = (os.path.join(above, name) for above, names, _files in os.walk(top) for name in names)
        return [folder for folder in folders if os.lstat(folder).st_dev != device]
