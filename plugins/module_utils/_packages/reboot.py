# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host still runs of what was replaced on its disk, and which boot it is in. Source: proc(5)."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from .._host.proc import stat
from .manager import PackageError, run

# Files of packages; what a program unlinks in /tmp or /run on purpose is not outdated.
PACKAGED = re.compile(r"(?:/usr|/lib\w*|/s?bin|/opt)/")
MAPPED = re.compile(r"^\S+ \S+ \S+ \S+ \d+ +(?P<path>/.*) \(deleted\)$", re.MULTILINE)
UNIT = re.compile(r"/([^/\n]+\.service)(?:/|$)", re.MULTILINE)
SYSTEMCTL_SECONDS = 120.0


def outdated_files(maps: str) -> list[str]:
    """The packaged files in a process's ``maps`` that are no longer on the disk."""
    return sorted({found["path"] for found in MAPPED.finditer(maps) if PACKAGED.match(found["path"])})


def unit_of(cgroup: str) -> str | None:
    """The system service in a process's ``cgroup``: the innermost unit, None for a user's session."""
    units = UNIT.findall(cgroup)
    return units[0] if units and not units[0].startswith("user@") else None


def outdated_services(proc: str = "/proc") -> list[str]:
    """The system services with a process that uses a file which an update has replaced."""
    found = {_outdated_service(os.path.join(proc, pid)) for pid in os.listdir(proc) if pid.isdigit()}
    return sorted(filter(None, found))


def _outdated_service(process: str) -> str | None:
    """The system service of a process that uses such a file; None also when it has ended, or belongs to another account."""
    with contextlib.suppress(OSError):
        with open(os.path.join(process, "maps"), encoding="utf-8", errors="replace") as file:
            outdated = outdated_files(file.read())
        if outdated:
            with open(os.path.join(process, "cgroup"), encoding="utf-8") as file:
                return unit_of(file.read())
    return None


def restart(units: Iterable[str], leave: Sequence[str]) -> tuple[list[str], list[str]]:
    """Restart these services, but those that `leave` (shell patterns) names; returns the restarted ones and those that do not run after it."""
    restarted, failed = [], []
    for unit in units:
        if any(fnmatchcase(unit, pattern) for pattern in leave):
            continue
        try:
            run(["systemctl", "restart", unit], SYSTEMCTL_SECONDS)
            restarted.append(unit)
        except PackageError:
            failed.append(unit)
    return restarted, failed


def boot_of(proc: str = "/proc") -> str:
    """Boot identifier: the kernel's, with the start of process 1, because a container shares the kernel's with its host."""
    with open(os.path.join(proc, "sys/kernel/random/boot_id"), encoding="ascii") as file:
        kernel = file.read().strip()
    return f"{kernel} {stat(1, proc).began}"
