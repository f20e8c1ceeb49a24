# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of a load balancer's configuration that says who gets traffic: read, and rewritten by one rename, one writer at a time."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Callable

from .control_error import ControlError, UntouchedError
from .flock import LockError, exclusive
from .private_copy import open_regular
from .small_files import ACCESS_LIST, READABLE, attributes_of, replace, set_attributes

# Another member's change of the same file takes milliseconds, or one reload.
LOCK_SECONDS = 60.0


class ConfigFile:
    """The file at `path`, which the load balancer may also read by `others`. `error` makes an error that names the load balancer of a part of a sentence."""

    def __init__(self, path: str, error: Callable[[str], Exception], others: Iterable[str] = ()) -> None:
        # A link stays one.
        self._names, self.path = (path, *others), os.path.realpath(path)
        self._error = error

    def read(self) -> str:
        """What it says."""
        try:
            return text_of(self.path)
        except (OSError, ValueError) as error:
            raise self._error(f"is configured in {self.path}, which cannot be read here: {error}. "
                              "Run this on the load balancer itself, as an account that may") from error

    def rewrite(self, change: Callable[[str], str], check: Callable[[], None] = lambda: None, then: Callable[[], None] = lambda: None,
                taken_back: Callable[[], None] = lambda: None) -> None:
        """Change its text. When `check` raises, the former text is put back, unless another program has written the file since, and `taken_back` is called;
        what `then` does cannot be taken back so.

        Both are also called when the text is already there: the process that wrote it may have ended before it was applied.

        :raises UntouchedError: when it cannot be read, or `change` raises a ControlError.
        """
        with self.locked():
            try:
                before, times = self.read(), self._times()
                after = _with_ends_of(before, change(before))
            except ControlError as error:
                raise UntouchedError(str(error)) from error
            self._replace(before, after)
            try:
                check()
            except BaseException as error:
                is_back = self._put_back(before, after, times)
                taken_back()
                if not is_back and isinstance(error, ControlError):
                    raise ControlError(f"{error}. Another program has changed {self.path} meanwhile, so its previous text was not restored") from error
                raise
            then()

    def _put_back(self, before: str, after: str, times: tuple[int, int]) -> bool:
        """Restore the former text; returns whether that was done. A file that another program has changed since is left as it is."""
        if self.read() != after:
            return False
        self._replace(after, before)
        os.utime(self.path, ns=times)
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from changing it, and from waiting for a change to be applied."""
        try:
            with one_writer(self.path, self._error):
                yield
        except OSError as error:
            raise self._error(f"is configured in {self.path}, which cannot be written here: {error.strerror}. {cure_of(error)}") from error

    def hidden(self, purpose: str) -> str:
        """The path of a file beside it."""
        return hidden_beside(self.path, purpose)

    def _times(self) -> tuple[int, int]:
        was = os.stat(self.path)
        return was.st_atime_ns, was.st_mtime_ns

    def _replace(self, before: str, text: str) -> None:
        if text != before:
            replace_alike(self.path, text)
            for name in self._names:
                _renew_link(name)


def _with_ends_of(before: str, after: str) -> str:
    """A new text of the whole file, with the line ends that the file has."""
    is_dos = "\r\n" in before and not re.search(r"(?<!\r)\n", before)
    return re.sub(r"(?<!\r)\n", "\r\n", after) if is_dos else after


def text_of(path: str) -> str:
    """What a file says, to be written again byte for byte: with its line ends, and with bytes that are no UTF-8 as surrogates.

    :raises ValueError: when it is no text of one byte for each character of ASCII.
    """
    with open_regular(path) as file:
        content = file.read()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise ValueError("it is no text in UTF-8, nor in another encoding that contains ASCII")
    return content.decode("utf-8", "surrogateescape")


def replace_alike(path: str, text: str) -> None:
    """Put a text in the place of a file, with the same owner and the same rights: the load balancer has to read it. A link to the file stays one.

    An account that may write the file but not give it away becomes its owner, where that takes no right from the former one.
    """
    path = os.path.realpath(path)
    was = os.stat(path)
    replace(path, _bytes_of(text), stat.S_IMODE(was.st_mode), (_owner_to_keep(path, was), was.st_gid), attributes_of(path))


def _owner_to_keep(path: str, was: os.stat_result) -> int:
    """The owner of the file's successor; -1 is this account."""
    if os.geteuid() in (0, was.st_uid) or not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return was.st_uid
    return -1 if was.st_uid == 0 or _group_suffices(path, was) else was.st_uid


def _group_suffices(path: str, was: os.stat_result) -> bool:
    """Whether the file's owner may do by its group all that it may as the owner."""
    try:
        owner = pwd.getpwuid(was.st_uid)
    except KeyError:
        return False
    rights = stat.S_IMODE(was.st_mode)
    return not rights >> 6 & ~(rights >> 3) & 0o7 and ACCESS_LIST not in attributes_of(path) and was.st_gid in os.getgrouplist(owner.pw_name, owner.pw_gid)


def _renew_link(path: str) -> None:
    """Rename a link over itself where that is possible: a program that watches the link's folder does not see a change in the folder that it leads to."""
    if not os.path.islink(path):
        return
    new = hidden_beside(path, "link")
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        os.symlink(os.readlink(path), new)
        os.rename(new, path)


def put(path: str, text: str) -> None:
    """The same, and create a file that all accounts may read where there is none."""
    path = os.path.realpath(path)
    if os.path.exists(path):
        replace_alike(path, text)
    else:
        replace(path, _bytes_of(text), READABLE)


def cure_of(error: OSError) -> str:
    """What to do when a file cannot be replaced by a rename."""
    if error.errno == errno.EBUSY:
        return "It is a mount of its own, which no rename replaces: mount its folder"
    if error.errno == errno.EPERM:
        return "This account may not give the new file to the owner of the old one, or not replace it: run this as root or as that owner"
    if error.errno == errno.EACCES and error.filename and os.access(os.path.dirname(error.filename), os.W_OK):
        return f"Let this account write {error.filename}, which another one has made: root's next change does that, if the folder is its group's to write"
    return "Let this account write in that folder"


@contextlib.contextmanager
def one_writer(path: str, error: Callable[[str], Exception]) -> Iterator[None]:
    """Keep other processes from writing this file of a load balancer, also by another link; raise `error` when one of them writes it for too long."""
    try:
        lock = hidden_beside(os.path.realpath(path), "lock")
        with exclusive(lock, LOCK_SECONDS) as handle:
            _open_to_writers(handle, os.path.dirname(lock))
            yield
    except LockError as held:
        raise error(f"has another change under way: {held}") from held


def _open_to_writers(handle: int, folder: str) -> None:
    """Let every account that may write in the folder write the lock file. One that another account made allows that already, or stays as it is."""
    there = os.stat(folder)
    if not there.st_mode & stat.S_IWGRP:
        return
    with contextlib.suppress(OSError):
        if os.fstat(handle).st_gid != there.st_gid:
            os.fchown(handle, -1, there.st_gid)
        set_attributes(handle, {name: value for name, value in attributes_of(folder).items() if name == ACCESS_LIST})
        os.fchmod(handle, 0o660)


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def hidden_beside(path: str, purpose: str) -> str:
    """The path of a file beside another one, which no pattern of a configuration matches."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{purpose}")
