# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether other processes of this host get a share of a load balancer's requests: those that listen on one of its ports, too (``SO_REUSEPORT``).

Such a process is not driven, and sends to members that the driven one has drained. The kernel shows which sockets listen, and which process has which of them;
a process that this account may not inspect, such as another account's, is not found. Source: Linux' ``/proc/net/tcp``, ``/proc/net/unix``,
``/proc/PID/fd``, socket(7).
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Callable, NamedTuple
from urllib.parse import urlsplit

from .._host import proc
from .._host.address import host_port
from .._host.waiting import wait_for

_TCP_LISTENS, _UNIX_LISTENS, _SOCKET = "0A", "00010000", re.compile(r"socket:\[(\d+)\]")
# A reload without a master process has the old one listen for a moment beside the new one.
RELOAD_SECONDS, RELOAD_PAUSE_SECONDS = 1.0, 0.1


class Listening(NamedTuple):
    """A socket that listens: ``address:port``, or the path of a UNIX socket as it was bound, and its inode."""

    place: str
    inode: int


class Process(NamedTuple):
    """A process: the name of its command, its parent, and the inodes of those of the sockets in question that it has."""

    name: str
    parent: int
    inodes: frozenset[int]


class Listeners:
    """Who shares ports with the load balancers at `endpoints`, all that are driven: those may share with one another."""

    def __init__(self, endpoints: Iterable[str], steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._endpoints = [endpoint for endpoint in endpoints if may_be_local(endpoint)]
        self._steady, self._sleep = steady, sleep
        # The sockets of TCP that were seen the last time, and what they meant for each endpoint.
        self._seen: tuple[Listening, ...] | None = None
        self._found: dict[str, list[str]] = {}

    def refusals(self, endpoint: str) -> tuple[str, ...]:
        """A sentence for each port of a load balancer on which a process that is not driven listens, too; none where that is not seen."""
        if endpoint not in self._endpoints:
            return ()
        if listening_tcp() != self._seen:
            wait_for(lambda: not any(self._look().values()), RELOAD_SECONDS, RELOAD_PAUSE_SECONDS, self._steady, self._sleep)
        return tuple(self._found[endpoint])

    def _look(self) -> dict[str, list[str]]:
        self._seen = tcp = listening_tcp()
        self._found = {endpoint: [] for endpoint in self._endpoints}
        if shared(tcp):
            unix = listening_unix()
            processes = processes_with({each.inode for each in (*tcp, *unix)})
            families = {endpoint: family_of(servers_of(endpoint, tcp, unix, processes), processes) for endpoint in self._endpoints}
            driven = set().union(*families.values())
            self._found = {endpoint: [_described(place, processes, others) for place, others in sharers(family, driven, tcp, processes)]
                           for endpoint, family in families.items()}
        return self._found


def may_be_local(endpoint: str) -> bool:
    """Whether an endpoint has a place that a process of this host may listen at: a UNIX socket, or an address."""
    return endpoint.startswith("unix:") or _place(endpoint) is not None


def shared(sockets: Sequence[Listening]) -> set[str]:
    """The places at which several sockets listen."""
    places = [each.place for each in sockets]
    return {place for place in places if places.count(place) > 1}


def servers_of(endpoint: str, tcp: Sequence[Listening], unix: Sequence[Listening], processes: Mapping[int, Process]) -> set[int]:
    """The processes that listen at an endpoint. HAProxy binds a UNIX socket under another name, which it gives its path afterwards."""
    if endpoint.startswith("unix:"):
        bound = re.compile(re.escape(endpoint[len("unix:"):]) + r"(\.\d+\.tmp)?")
        inodes = {each.inode for each in unix if bound.fullmatch(each.place)}
    elif place := _place(endpoint):
        host, port = place
        places = {host_port(host, port), *(host_port(anywhere, port) for anywhere in ("0.0.0.0", "::") if host.startswith("127."))}
        inodes = {each.inode for each in tcp if each.place in places}
    else:
        inodes = set()
    return {pid for pid, process in processes.items() if process.inodes & inodes}


def family_of(pids: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    """Processes with those that began them and those that they or these began, as far as they have the same name: a master and all its workers."""
    family = set(pids)
    size = 0
    while len(family) > size:
        size = len(family)
        parents = {processes[pid].parent for pid in family if _same_name(pid, processes[pid].parent, processes)}
        family |= parents | {pid for pid, process in processes.items() if process.parent in family and _same_name(pid, process.parent, processes)}
    return family


def sharers(family: set[int], driven: set[int], tcp: Sequence[Listening], processes: Mapping[int, Process]) -> Iterator[tuple[str, list[int]]]:
    """Each place of a family at which sockets listen that no process has that is driven, with the processes that have them, where these are seen."""
    known = {inode for pid in driven for inode in processes[pid].inodes}
    ours = {inode for pid in family for inode in processes[pid].inodes}
    for place in sorted({each.place for each in tcp if each.inode in ours}):
        foreign = {each.inode for each in tcp if each.place == place} - known
        if foreign:
            yield place, sorted(pid for pid, process in processes.items() if process.inodes & foreign)


def processes_with(inodes: set[int]) -> dict[int, Process]:
    """The processes of this host that this account may look at, each with those of the sockets that it has."""
    pids = map(int, filter(str.isdecimal, os.listdir("/proc")))
    return {pid: process for pid in pids if (process := _process_with(inodes, pid))}


def _process_with(inodes: set[int], pid: int) -> Process | None:
    """One process; None when it has ended, or may not be looked at."""
    try:
        name, _state, parent, _began = proc.stat(pid)
        return Process(name, parent, frozenset(inodes & set(_sockets_of(pid))))
    except (OSError, ValueError, IndexError):
        return None


def listening_tcp() -> tuple[Listening, ...]:
    """The sockets of TCP that listen in this network. The kernel shows them before all others, of which there may be very many."""
    return tuple(Listening(_place_of(row[1]), int(row[9])) for table in ("tcp", "tcp6") for row in _rows(table, lambda row: row[3] == _TCP_LISTENS))


def listening_unix() -> tuple[Listening, ...]:
    """The UNIX sockets with a path that listen in this network."""
    return tuple(Listening(row[7], int(row[6])) for row in _rows("unix", lambda row: True) if len(row) == 8 and row[3] == _UNIX_LISTENS)


def _rows(table: str, goes_on: Callable[[list[str]], bool]) -> Iterator[list[str]]:
    try:
        with open(f"/proc/net/{table}", encoding="utf-8", errors="surrogateescape") as file:
            next(file, None)
            for row in (line.rstrip("\n").split(None, 7 if table == "unix" else -1) for line in file):
                if not goes_on(row):
                    return
                yield row
    except OSError:
        return


@lru_cache(maxsize=4096)
def _place_of(words: str) -> str:
    """``address:port`` of what the kernel writes, such as ``0100007F:1F90``. Cached, because each look parses the same few."""
    address, _colon, port = words.partition(":")
    return host_port(_address(address), int(port, 16))


def _address(words: str) -> str:
    """An address as the kernel writes it: words of four bytes, each in this machine's order."""
    parts = (bytes.fromhex(words[at:at + 8]) for at in range(0, len(words), 8))
    return str(ip_address(b"".join(part[::-1] if sys.byteorder == "little" else part for part in parts)))


def _sockets_of(pid: int) -> Iterator[int]:
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found = _SOCKET.fullmatch(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            continue
        if found:
            yield int(found[1])


def _same_name(pid: int, parent: int, processes: Mapping[int, Process]) -> bool:
    return parent in processes and processes[parent].name == processes[pid].name


def _place(endpoint: str) -> tuple[str, int] | None:
    """The address and port of an endpoint that has an address, or this host's own name."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return (str(ip_address("127.0.0.1" if host == "localhost" else host)), port) if port else None
    except ValueError:
        return None


def _described(place: str, processes: Mapping[int, Process], others: Sequence[int]) -> str:
    who = ", ".join(f"{processes[pid].name} {pid}" for pid in others) or "one that this account may not see"
    return (f"another process ({who}) listens at {place}, too, and sends its share of the requests to drained members: end it, or make it a load "
            "balancer of its own")
