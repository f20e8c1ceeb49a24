# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else may write in a folder: asked before anything in it is believed, such as which process is to be ended."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat

_BY_GROUP, _BY_EVERYBODY = 0o020, 0o002


def other_writers(path: str) -> str:
    """Who may write in the folder at `path` beside this account and root, as the end of a sentence that begins with the path; empty when nobody may.

    A group that has no other member, as many systems give to each account, is nobody. Raise OSError when it cannot be asked.
    """
    found, link = os.stat(path), os.lstat(path)
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        return f"is a link of {_user(link.st_uid)}"
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to {_user(found.st_uid)}"
    if found.st_mode & _BY_EVERYBODY:
        return f"may be written by everybody (mode {stat.S_IMODE(found.st_mode):04o})"
    if found.st_mode & _BY_GROUP and not _is_alone(found.st_gid):
        return f"may be written by the group {_group(found.st_gid)} (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


def strangers(path: str) -> str:
    """The same without groups, which an administrator may have meant: another account that owns the folder, or everybody. Empty when there is no folder."""
    try:
        owners, mode = {os.stat(path).st_uid, os.lstat(path).st_uid}, os.stat(path).st_mode
    except FileNotFoundError:
        return ""
    return other_writers(path) if owners - {0, os.geteuid()} or mode & _BY_EVERYBODY else ""


def _is_alone(gid: int) -> bool:
    """Whether this account, or root, is the only member of a group."""
    ours = {0, os.geteuid()}
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(gid).gr_mem}
    except KeyError:
        return False
    return members <= ours and {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid} <= ours


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    return f"uid {uid}"


def _group(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
