# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux's information on a process, see proc(5). Every function raises OSError when the process has ended, or this account may not look at it."""

from __future__ import annotations

import os
from typing import NamedTuple


class Stat(NamedTuple):
    """`name` is that of the command, which may have parentheses and blanks in it; `state` a letter; `began` ticks of the kernel since the boot."""

    name: str
    state: str
    parent: int
    began: str


def read(pid: int | str, name: str, root: str = "/proc") -> str:
    """The content of the file ``/proc/PID/NAME``. A zombie has no command line."""
    with open(f"{root}/{pid}/{name}", "rb") as file:
        return os.fsdecode(file.read())


def words(pid: int | str, name: str) -> list[str]:
    """The words of a file such as ``cmdline`` or ``environ``, each of which ends with a zero byte."""
    text = read(pid, name)
    return text.removesuffix("\0").split("\0") if text else []


def fields(text: str) -> dict[str, str]:
    """The values of the lines ``NAME: VALUE`` of a file such as ``status``, by name."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def stat(pid: int | str, root: str = "/proc") -> Stat:
    """The fields of the file ``stat``."""
    name, _parenthesis, rest = read(pid, "stat", root).partition("(")[2].rpartition(")")
    values = rest.split()
    return Stat(name, values[0], int(values[1]), values[19])


def catches(pid: int | str, number: int) -> bool:
    """Whether a process has a handler for a signal at this moment. One that it ignores, or does not handle yet, would be lost, or end it."""
    return bool(int(fields(read(pid, "status"))["SigCgt"], 16) >> (number - 1) & 1)
