# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which other accounts may write in a folder: asked before a file in it is trusted, such as one that names a process to end."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
import struct
from typing import BinaryIO

from .private_copy import open_regular
from .small_files import ACCESS_LIST, attributes_of

_BY_GROUP, _BY_EVERYBODY = 0o020, 0o002
# The entries of an access control list behind its version: a tag, rights, and whose they are. Source: acl(5), linux/posix_acl_xattr.h.
_VERSION, _ENTRY = 4, struct.Struct("<HHI")
_A_USER, _OWNING_GROUP, _A_GROUP, _WRITE = 0x02, 0x04, 0x08, 2


def other_writers(path: str) -> str:
    """An account or a group, beside this account and root, that may write in the folder at `path`; empty when there is none.

    It is the end of a sentence that begins with the path. A group without another member, as many systems give to each account, does not count.
    Raise OSError when the folder cannot be looked at.
    """
    found, link = os.stat(path), os.lstat(path)
    if stat.S_ISLNK(link.st_mode) and not is_trusted(link.st_uid):
        return f"is a link of {_user(link.st_uid)}"
    if not is_trusted(found.st_uid):
        return f"belongs to {_user(found.st_uid)}"
    if found.st_mode & _BY_EVERYBODY:
        return f"may be written by every account (mode {stat.S_IMODE(found.st_mode):04o})"
    # Where there is an access control list, the mode has its mask in the group's place.
    if not found.st_mode & _BY_GROUP:
        return ""
    mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
    for tag, number in _writing(path):
        if tag == _A_USER and not is_trusted(number):
            return f"may be written by {_user(number)} (its access control list)"
        gid = found.st_gid if tag == _OWNING_GROUP else number
        if tag != _A_USER and not _is_alone(gid):
            return f"may be written by the group {_group(gid)} ({'its access control list' if tag == _A_GROUP else mode})"
    return ""


def strangers(path: str) -> str:
    """As `other_writers`, without groups, which an administrator may have meant: another account that owns the folder, or all accounts.

    Empty when there is no folder.
    """
    try:
        found, link = os.stat(path), os.lstat(path)
    except FileNotFoundError:
        return ""
    is_ours = is_trusted(found.st_uid) and is_trusted(link.st_uid)
    return other_writers(path) if not is_ours or found.st_mode & _BY_EVERYBODY else ""


def warning_of_strangers(path: str, content: str) -> str:
    """A warning when `strangers` may write in the folder at `path`, where `content` is, several things; empty when they may not."""
    others = strangers(path)
    if not others:
        return ""
    return (f"{path}, where {content} are, {others}: an account that can write there can forge or remove them. "
            f"Give it to the account that uses it, or to a group of operators, and chmod o-w {path}")


def is_trusted(uid: int) -> bool:
    """Whether an account is this one or root."""
    return uid in (0, os.geteuid())


def open_own(path: str) -> BinaryIO:
    """Open a regular file of this account's or of root's for reading, and nothing that a link leads to; raise OSError for any other."""
    file = open_regular(path, through_links=False)
    owner = os.fstat(file.fileno()).st_uid
    if not is_trusted(owner):
        file.close()
        raise OSError(errno.EPERM, f"it belongs to {_user(owner)}", path)
    return file


def _writing(path: str) -> list[tuple[int, int]]:
    """Tag and id of those whom the folder's access control list lets write; where it has none, of the owning group."""
    attributes = attributes_of(path)
    if ACCESS_LIST not in attributes:
        return [(_OWNING_GROUP, 0)]
    return [(tag, number) for tag, rights, number in _ENTRY.iter_unpack(attributes[ACCESS_LIST][_VERSION:])
            if rights & _WRITE and tag in (_A_USER, _OWNING_GROUP, _A_GROUP)]


def _is_alone(gid: int) -> bool:
    """Whether this account, or root, is the only member of a group."""
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(gid).gr_mem}
    except KeyError:
        return False
    return all(map(is_trusted, members)) and all(is_trusted(user.pw_uid) for user in pwd.getpwall() if user.pw_gid == gid)


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    return f"uid {uid}"


def _group(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
