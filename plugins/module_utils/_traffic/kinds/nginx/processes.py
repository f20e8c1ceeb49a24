# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's processes on this host, from ``/proc``: every worker that may have requests, also of an older binary's master, and of one that is dead.

An upgrade of the binary (USR2) has a master begin another one, which gets the process id's file: both take requests until the older one is ended,
and its workers end what they have. Source: nginx's documentation on controlling nginx.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...._host import proc

# How the kernel writes that a socket listens, in `/proc/net/tcp` and `/proc/net/unix`.
_TCP_LISTENS, _UNIX_LISTENS = "0A", "00010000"
_MASTER, _WORKER, _LEAVING = "master process", "worker process", "shutting down"


class Worker(NamedTuple):
    """A worker: whether it only ends what it has, when it began, in the kernel's ticks since the boot, and its master, 0 when that is dead."""

    pid: int
    is_leaving: bool
    began: int
    master: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What no other process of this boot has."""
        return self.pid, self.began


class _Process(NamedTuple):
    pid: int
    parent: int
    began: int
    title: str


def workers_of(master: int) -> list[Worker]:
    """The workers of a master, of the masters that began it or that it began, and those without a master, if they are not another instance's."""
    found = _processes(master)
    family = _family(master, found)
    masters = {process.pid for process in found.values() if _MASTER in process.title}
    return [Worker(process.pid, _LEAVING in process.title, process.began, process.parent if process.parent in masters else 0)
            for process in found.values() if _WORKER in process.title
            and (process.parent in family or (process.parent not in masters and _may_serve_for(process.pid, master)))]


def is_idle(master: int) -> bool | None:
    """Whether a master waits for a signal; None where that is unknown. It blocks signals while it handles one, such as while it reads its configuration."""
    status = _read(f"/proc/{master}/status")
    masks = [int(mask, 16) for mask in re.findall(r"^(?:SigBlk|SigPnd|ShdPnd):\s*([0-9a-f]+)$", status, re.MULTILINE)]
    return not any(mask >> (signal.SIGHUP - 1) & 1 for mask in masks) if masks else None


def title_of(pid: int) -> str:
    """A process' title, empty when it is gone."""
    return _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()


def began_of(pid: int) -> int:
    """When a process began, in the kernel's ticks since the boot; 0 when it is gone."""
    stat = _stat(pid)
    return int(stat.began) if stat else 0


def other_masters(master: int) -> list[int]:
    """Masters that are none of the family, and share its network: those of other containers do not."""
    found = _processes(master)
    family = _family(master, found)
    return sorted(process.pid for process in found.values() if _MASTER in process.title and process.pid not in family
                  and _network(process.pid) == _network(master))


def _family(master: int, found: Mapping[int, _Process]) -> set[int]:
    """The masters that this one comes from, or that come from one of them."""
    masters = {pid: process for pid, process in found.items() if _MASTER in process.title}
    family, size = {master}, 0
    while len(family) > size:
        size = len(family)
        family |= {pid for pid, process in masters.items() if process.parent in family}
        family |= {process.parent for pid, process in masters.items() if pid in family and process.parent in masters}
    return family


def _processes(master: int) -> dict[int, _Process]:
    """The processes that run under the same command's name as the master."""
    stat = _stat(master)
    return {process.pid: process for process in _named(stat.name)} if stat else {}


def _may_serve_for(orphan: int, master: int) -> bool:
    """Whether a worker without a master may be one of a master's: not when it is seen to listen where that one does not."""
    theirs, ours = _listens_at(orphan), _listens_at(master)
    return not theirs or not ours or not theirs.isdisjoint(ours)


def _listens_at(pid: int) -> set[str]:
    """The ports of TCP at which a process listens, as the kernel writes them, and the inodes of UNIX sockets; none where that is not seen."""
    try:
        links = [_link(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return set()
    inodes = {link[len("socket:["):-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for table in ("tcp", "tcp6") for line in _read(f"/proc/{pid}/net/{table}").splitlines()[1:]]
    ports = {row[1].rpartition(":")[2] for row in rows if row[3] == _TCP_LISTENS and row[9] in inodes}
    return ports | {row[6] for row in map(str.split, _read(f"/proc/{pid}/net/unix").splitlines()[1:]) if row[3] == _UNIX_LISTENS and row[6] in inodes}


def _named(command: str) -> Iterator[_Process]:
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        stat = _stat(int(pid))
        if stat and stat.state != "Z" and stat.name == command:
            yield _Process(int(pid), stat.parent, int(stat.began), title_of(int(pid)))


def _stat(pid: int) -> proc.Stat | None:
    """None when the process is gone."""
    try:
        return proc.stat(pid)
    except OSError:
        return None


def _network(pid: int) -> str:
    return _link(f"/proc/{pid}/ns/net")


def _link(path: str) -> str:
    """Where a link leads to; empty when it is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _read(path: str) -> str:
    """Empty when the process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
