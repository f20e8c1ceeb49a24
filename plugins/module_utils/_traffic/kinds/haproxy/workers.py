# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The old worker processes after a reload of HAProxy: they accept no new connections, and finish those that they have.

The runtime API of the new worker knows nothing of them; the master process does, and passes commands on to each of them. What they refuse is to have the
state of a server changed ("Proxy is disabled"). So a connection that a client keeps open there can bring one more request, and to a member that has left
since: as long as there are such connections, no member that left after the reload is out of traffic.
Source: HAProxy's management guide, "Master CLI", ``show stat``, ``show sess``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Callable, NamedTuple

from ...._host.patience import UnavailableError
from ...interface import Member, View
from .stats import AnswerError, parse_stat

_CURRENT, _OLD, _HEADING = "# workers", "# old workers", "#"
_FRONTEND, _SERVER = "0", "2"
_NOBODY = "<none>"
_STREAM = re.compile(r"^(?P<id>0x[0-9a-f]+): proto=\S+ src=(?P<source>\S+) fe=(?P<frontend>\S+) be=(?P<backend>\S+) srv=(?P<server>\S+) ", re.MULTILINE)


class Stream(NamedTuple):
    """A request in flight in a worker; `server` is ``<none>`` as long as none is chosen."""

    id: str
    source: str
    frontend: str
    backend: str
    server: str


class Workers(NamedTuple):
    """Process ids: of those that take new connections, and of those that a reload has left."""

    current: tuple[int, ...]
    old: tuple[int, ...]


def parse_workers(answer: str) -> Workers:
    """The workers in what the master answers to ``show proc``."""
    if not answer.startswith("#<PID>"):
        raise AnswerError(f"it answers {' '.join(answer.split())[:80]!r} instead of its processes: is this the master's socket (haproxy -W -S)?")
    found: dict[str, list[int]] = {_CURRENT: [], _OLD: []}
    heading = ""
    for line in answer.splitlines():
        if line.startswith(_HEADING):
            heading = line.strip()
        elif heading in found and line.split():
            found[heading].append(int(line.split()[0]))
    return Workers(tuple(found[_CURRENT]), tuple(found[_OLD]))


def parse_streams(answer: str) -> list[Stream]:
    """The lines of ``show sess``."""
    return [Stream(**match.groupdict()) for match in _STREAM.finditer(answer)]


def connections(rows: Iterable[Mapping[str, str]]) -> int:
    """How many connections of clients a worker has, from the rows of its statistics."""
    return sum(int(row["scur"]) for row in rows if row["type"] == _FRONTEND)


def unbound(rows: Iterable[Mapping[str, str]], streams: Callable[[], Iterable[Stream]]) -> int:
    """How many of them are not busy with a server: the next request of each can go anywhere.

    :param streams: called where the numbers alone are ambiguous, because one connection has several requests in flight (HTTP/2).
    """
    rows = list(rows)
    all_of_them = connections(rows)
    idle = all_of_them - sum(int(row["scur"]) for row in rows if row["type"] == _SERVER)
    if idle > 0 or not all_of_them:
        return max(0, idle)
    return max(0, all_of_them - len({stream.source for stream in streams() if stream.server != _NOBODY}))


class OldWorkers:
    """`ask` sends one line of commands that only read to the master process and returns its answer, `tell` one that changes something.

    Each method tries once. A worker that ends in this moment is an UnavailableError: the caller tries again, from the beginning.
    """

    def __init__(self, ask: Callable[[str], str], tell: Callable[[str], str]) -> None:
        self._ask, self._tell = ask, tell

    def added_to(self, view: View, backend: str) -> View:
        """The view with the sessions of the old workers counted too, and the connections there that may bring a member more.

        Only the view of a worker that takes new connections counts: a change that another worker received is lost.
        """
        workers = self.require_current(view.process)
        members = dict(view.backends[backend].members)
        for pid in workers.old:
            rows = self._rows(pid)
            lingering = unbound(rows, partial(self._streams, pid))
            for row in rows:
                if row["type"] == _SERVER and row["pxname"] == backend and row["svname"] in members:
                    members[row["svname"]] = _with_more(members[row["svname"]], row, lingering)
        return replace(view, backends={**view.backends, backend: replace(view.backends[backend], members=members)})

    def require_current(self, process: int) -> Workers:
        """Refuse what another process has answered than a worker that takes new connections."""
        workers = self._workers()
        if process and process not in workers.current:
            raise UnavailableError(f"process {process} answered, and the master has {_shown(workers)}: is it being reloaded, "
                                   "or is the master's endpoint another HAProxy's?")
        return workers

    def tell(self, line: str) -> None:
        """Have every old worker carry out a command that may be carried out twice."""
        for pid in self._workers().old:
            self._tell(f"@!{pid} {line}")

    def cut(self, backend: str, members: Iterable[str]) -> None:
        """Have every old worker close the sessions of these members: one by one, as it takes no command for a server."""
        wanted = {(backend, member) for member in members}
        for pid in self._workers().old:
            for stream in self._streams(pid):
                if (stream.backend, stream.server) in wanted:
                    self._tell(f"@!{pid} shutdown session {stream.id}")

    def _workers(self) -> Workers:
        return parse_workers(self._ask("show proc"))

    def _streams(self, pid: int) -> list[Stream]:
        return parse_streams(self._ask(f"@!{pid} show sess"))

    def _rows(self, pid: int) -> list[dict[str, str]]:
        """The statistics of one old worker; none when it has ended."""
        try:
            return parse_stat(self._ask(f"@!{pid} show stat -1 7 -1").strip("\n"))
        except AnswerError as error:
            if pid not in self._workers().old:
                return []
            raise UnavailableError(f"process {pid} is an old worker that cannot be asked: {error}") from error


def _shown(workers: Workers) -> str:
    return f"process {', '.join(map(str, workers.current)) or 'none'} at work"


def _with_more(member: Member, row: Mapping[str, str], lingering: int) -> Member:
    """One that was in maintenance before the reload has nothing to expect."""
    is_out = row["status"].startswith("MAINT")
    return replace(member, sessions=member.sessions + int(row["scur"]), queued=member.queued + int(row["qcur"] or 0),
                   lingering=member.lingering + (0 if is_out else lingering))
