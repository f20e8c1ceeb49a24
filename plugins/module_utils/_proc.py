# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Linux tells of a process, see proc(5). Every function raises OSError when the process has ended, or this account may not look at it."""

from __future__ import annotations

import os


def read(pid: int | str, name: str) -> str:
    """The content of the file ``/proc/PID/NAME``. A process that is dead and that nobody has reaped has no command line."""
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return os.fsdecode(file.read())


def words(pid: int | str, name: str) -> list[str]:
    """The words of a file such as ``cmdline`` or ``environ``, each of which ends with a zero byte."""
    text = read(pid, name)
    return text.removesuffix("\0").split("\0") if text else []


def fields(text: str) -> dict[str, str]:
    """What the lines ``NAME: VALUE`` of a file such as ``status`` tell, by name."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def name_and_parent(pid: int | str) -> tuple[str, int]:
    """The name of its command, which may have parentheses and blanks in it, and the number of its parent process."""
    stat = read(pid, "stat")
    return stat.partition("(")[2].rpartition(")")[0], int(stat.rpartition(")")[2].split()[1])


def catches(pid: int | str, number: int) -> bool:
    """Whether a process has a handler for a signal at this moment. One that it ignores, or does not handle yet, would be lost, or end it."""
    return bool(int(fields(read(pid, "status"))["SigCgt"], 16) >> (number - 1) & 1)
