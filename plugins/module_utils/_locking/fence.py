# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a run that was taken over away from a host: the fleet lock's token is left there, and an older one is refused.

    <path>            {"token": 5, "owner": "anna", "at": 1798761600.0}, the newest token that this host has seen; it only grows
    <path>.lock       held while that is read and written
    <path>.5          locked, shared, by each task that works with token 5

A newer token counts from the moment it is written, so the run that was taken over begins nothing any more. What it had begun is
waited for, because it may be a process whose controller is dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from .._host import small_files
from .._host.characters import is_shown
from .._host.flock import LockError, exclusive
from .._host.small_files import SmallFileError

ARGUMENTS: dict[str, Any] = {
    "fence": {
        "type": "dict",
        "options": {
            "token": {"type": "int", "required": True, "no_log": False},
            "path": {"type": "path", "required": True},
            "owner": {"type": "str", "default": ""},
        },
    },
}
LARGEST_TOKEN = 2**53
LONGEST_OWNER = 500
# Reading and writing the token takes milliseconds; only a process that was stopped in between holds this for longer.
MOMENT_SECONDS = 10.0
# What a run with an older token has begun is waited for this long.
OLDER_SECONDS = 60.0


class FenceError(Exception):
    """This run may not work on this host, or that cannot be determined. Nothing was changed; the message says what to do."""


def admitted(fence: Mapping[str, Any] | None, check_mode: bool, timeout: float = OLDER_SECONDS) -> contextlib.AbstractContextManager[None]:
    """The context in which a module with the option `fence` changes anything; without the option there is none."""
    if fence is None:
        return contextlib.nullcontext()
    if check_mode:
        require_newest(fence["path"], fence["token"])
        return contextlib.nullcontext()
    return fenced_with_peers(fence["path"], fence["token"], fence["owner"], timeout)


@contextlib.contextmanager
def fenced(path: str, token: int | None, owner: str, timeout: float, lock: str) -> Iterator[None]:
    """Hold the fence exclusively, with a token that is not older than any before. Waits for other holders up to `timeout` seconds.

    :param path: the fence; `lock` the file that each task locks while it works, with a token or without.
    :param token: without one, any run may work, one at a time.
    :raises FenceError: before anything is changed.
    """
    with contextlib.ExitStack() as held:
        with _errors_explained(path):
            if token is not None:
                with _at_the_fence(path, token):
                    _leave(path, token, owner)
            held.enter_context(exclusive(lock, timeout))
            if token is not None:
                require_newest(path, token)
        yield


@contextlib.contextmanager
def fenced_with_peers(path: str, token: int, owner: str, timeout: float, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Work beside others with the same token, after all that was begun with an older one has ended, within `timeout` seconds.

    :raises FenceError: before anything is changed.
    """
    with contextlib.ExitStack() as held:
        with _errors_explained(path):
            give_up = clock() + timeout
            with _at_the_fence(path, token):
                _leave(path, token, owner)
                held.enter_context(_among_peers(f"{path}.{token}"))
            _outwait_older(path, token, lambda: max(0.0, give_up - clock()))
            require_newest(path, token)
        yield


def require_newest(path: str, token: int) -> int:
    """Raise FenceError when a newer token was left at `path`; return the one that is there, 0 when there is none."""
    with _errors_explained(path):
        _require_usable(path, token)
        content = small_files.read_json(path)
    if content is None:
        return 0
    if not _is_fence(content):
        raise FenceError(f"{path} is no valid fence, so it is unknown whether this run may work here: check it, and remove it when no run is in progress")
    if content["token"] > token:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(content["at"]))
        raise FenceError(
            f"this run holds token {token}, but {content['owner'] or 'another run'} has taken over with token {content['token']} "
            f"(here since {since}, says {path}). This host is not changed. Let this run end; alwayson.upgrade.fleet_lock_info shows the run that is at work"
        )
    return content["token"]


@contextlib.contextmanager
def _at_the_fence(path: str, token: int) -> Iterator[None]:
    """Hold the lock under which the fence is read and written."""
    _require_usable(path, token)
    small_files.make_folder(os.path.dirname(path))
    with exclusive(f"{path}.lock", MOMENT_SECONDS):
        yield


def _leave(path: str, token: int, owner: str) -> None:
    """Write the token down, unless it is there already."""
    if require_newest(path, token) < token:
        shown = "".join(character for character in owner if is_shown(character))[:LONGEST_OWNER]
        small_files.replace_json(path, {"token": token, "owner": shown, "at": time.time()})


@contextlib.contextmanager
def _among_peers(path: str) -> Iterator[None]:
    """Hold the file of one token together with its other holders. This never waits: only a newer token would keep others out."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(handle)


def _outwait_older(path: str, token: int, seconds_left: Callable[[], float]) -> None:
    """Wait until no run works with an older token, and remove the files of those tokens."""
    folder, name = os.path.split(path)
    of_a_token = re.compile(re.escape(name) + r"\.([1-9]\d{0,15})")
    for other in sorted(os.listdir(folder)):
        match = of_a_token.fullmatch(other)
        if match and int(match[1]) < token:
            with exclusive(os.path.join(folder, other), seconds_left()), contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, other))


def _require_usable(path: str, token: int) -> None:
    if not os.path.isabs(path):
        raise FenceError(f"the fence's path {path!r} is not absolute: name the same file from wherever this runs")
    if not 1 <= token <= LARGEST_TOKEN:
        raise FenceError(f"token {token} is none that alwayson.upgrade.fleet_lock gives: pass on its lock.token")


def _is_fence(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    token, owner, at = (content.get(name) for name in ("token", "owner", "at"))
    return (
        isinstance(token, int) and not isinstance(token, bool) and 1 <= token <= LARGEST_TOKEN
        and isinstance(owner, str) and len(owner) <= LONGEST_OWNER and is_shown(owner)
        and isinstance(at, (int, float)) and math.isfinite(at) and 0 <= at < 2**37
    )


@contextlib.contextmanager
def _errors_explained(path: str) -> Iterator[None]:
    """Whatever stands in the way of the fence is an error of the fence."""
    try:
        yield
    except (LockError, SmallFileError) as error:
        raise FenceError(f"{error}. This host is not changed") from error
    except OSError as error:
        raise FenceError(f"the fence {path} cannot be used: {error.strerror or error} ({error.filename or path}). This host is not changed") from error
