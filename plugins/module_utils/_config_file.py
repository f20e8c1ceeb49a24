# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of a load balancer's configuration that says who gets traffic: read, and rewritten by one rename, one writer at a time."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Callable, Iterator

from ansible_collections.alwayson.upgrade.plugins.module_utils._flock import LockError, exclusive
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._small_file import replace

# Another member's change of the same file takes milliseconds, or one reload.
LOCK_SECONDS = 60.0


class ConfigFile:
    """The file at `path`. `error` makes an error that names the load balancer of a part of a sentence."""

    def __init__(self, path: str, error: Callable[[str], LoadBalancerError]) -> None:
        # A link stays one.
        self.path = os.path.realpath(path)
        self._error = error

    def read(self) -> str:
        """What it says."""
        try:
            with open(self.path, encoding="utf-8") as file:
                return file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(f"is configured in {self.path}, which cannot be read here: {error}. "
                              "Run this on the load balancer itself, as an account that may") from error

    def rewrite(self, change: Callable[[str], str], check: Callable[[], None] = lambda: None, then: Callable[[], None] = lambda: None) -> None:
        """Have it say something else. When `check` raises, it says what it said before; what `then` does cannot be taken back so.

        Both are also called when it says so already: whoever wrote that may have ended before it was applied.
        """
        with self.locked():
            before, times = self.read(), self._times()
            after = change(before)
            self._replace(before, after)
            try:
                check()
            except BaseException:
                self._replace(after, before)
                os.utime(self.path, ns=times)
                raise
            then()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes it now, nor waits for a change to be applied."""
        try:
            with one_writer(self.path, self._error):
                yield
        except OSError as error:
            raise self._error(f"is configured in {self.path}, which cannot be written here: {error.strerror}. Let this account write in that folder") from error

    def hidden(self, purpose: str) -> str:
        """The path of a file beside it."""
        return hidden_beside(self.path, purpose)

    def _times(self) -> tuple[int, int]:
        return os.stat(self.path).st_atime_ns, os.stat(self.path).st_mtime_ns

    def _replace(self, before: str, text: str) -> None:
        if text != before:
            replace_alike(self.path, text)


def replace_alike(path: str, text: str) -> None:
    """Put a text in the place of a file, with the same owner and the same rights: the load balancer has to read it."""
    was = os.stat(path)
    replace(path, text.encode("utf-8"), stat.S_IMODE(was.st_mode), (was.st_uid, was.st_gid))


@contextlib.contextmanager
def one_writer(path: str, error: Callable[[str], LoadBalancerError]) -> Iterator[None]:
    """Nobody else writes this file of a load balancer now; raise `error` when somebody does for too long."""
    try:
        with exclusive(hidden_beside(path, "lock"), LOCK_SECONDS):
            yield
    except LockError as held:
        raise error(f"has another change under way: {held}") from held


def hidden_beside(path: str, purpose: str) -> str:
    """The path of a file beside another one, which no pattern of a configuration matches."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{purpose}")
