# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a process with SIGKILL before each line that it executes, one after the other, so that nothing it does in between is left out."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

NOBODY = 65534


def at_every_line(act: Callable[[], None], files: tuple[str, ...], prepare: Callable[[int], None]) -> Iterator[int]:
    """For n = 1, 2, ...: call `prepare(n)`, run `act` in a child that is killed before its nth line in one of `files`, and yield n.

    Ends, without a yield, with the first child that comes to its end.
    """
    number = 0
    while True:
        number += 1
        prepare(number)
        child = os.fork()
        if child == 0:
            _run(act, files, number)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            yield number
        else:
            assert os.WEXITSTATUS(status) == 0, "the child failed, see above"
            return


def _run(act: Callable[[], None], files: tuple[str, ...], number: int) -> None:
    left = number

    def trace(frame, event, _argument):
        nonlocal left
        if Path(frame.f_code.co_filename).name not in files:
            return None
        if event == "line":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    in_a_child(lambda: (sys.settrace(trace), act()))


def in_a_child(act: Callable[[], None]) -> None:
    """Run `act` and end this process, which a test has forked: with 0, or with 1 and a traceback."""
    status = 1
    try:
        act()
        status = 0
    except BaseException:
        sys.settrace(None)
        traceback.print_exc()
    finally:
        sys.settrace(None)
        sys.stderr.flush()
        os._exit(status)


def forked(act: Callable[[], None]) -> int:
    """Run `act` in a child; its exit code."""
    child = os.fork()
    if child == 0:
        in_a_child(act)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def with_a_full_disk(act: Callable[[], None], bytes_left: int = 0) -> int:
    """Run `act` in a child that cannot make any file longer than `bytes_left`; its exit code. The kernel refuses, as it does on a full disk."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, bytes_left))
        act()

    return forked(limited)


def as_nobody(act: Callable[[], None]) -> int:
    """Run `act` in a child without root's rights; its exit code."""

    def unprivileged() -> None:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        act()

    return forked(unprivileged)
