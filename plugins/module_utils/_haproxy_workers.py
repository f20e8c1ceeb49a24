# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker processes that a reload of HAProxy has left at work: they accept nobody new, and finish what they have.

The runtime API of the new worker knows nothing of them; the master process does, and passes commands on to each of them.
Source: HAProxy's management guide, "Master CLI".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy_stat import AnswerError, parse_stat
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import Backend, Member, View

_OLD, _HEADING = "# old workers", "#"
_NO_SUCH_PROXY = "No such proxy"


def parse_old_workers(answer: str) -> list[int]:
    """The process ids below the heading of the old workers in what the master answers to ``show proc``."""
    if not answer.startswith("#<PID>"):
        raise AnswerError(f"it answers {' '.join(answer.split())[:80]!r} instead of its processes: is this the master's socket (haproxy -W -S)?")
    found: list[int] = []
    is_old = False
    for line in answer.splitlines():
        if line.startswith(_HEADING):
            is_old = line.strip() == _OLD
        elif is_old and line.split():
            found.append(int(line.split()[0]))
    return found


class OldWorkers:
    """`ask` sends one line of commands to the master process and returns its answer."""

    def __init__(self, ask: Callable[[str], str]) -> None:
        self._ask = ask

    def added_to(self, view: View, backend: str) -> View:
        """The view with the sessions of the old workers counted too."""
        members = dict(view.backends[backend].members)
        for pid in self._pids():
            for name, (sessions, queued) in self._sessions(pid, backend).items():
                if name in members:
                    members[name] = _with_more(members[name], sessions, queued)
        return replace(view, backends={**view.backends, backend: Backend(members, view.backends[backend].cookie_name)})

    def tell(self, line: str) -> None:
        """Have every old worker carry out a line of commands; one that has ended meanwhile has nothing left to do."""
        for pid in self._pids():
            self._ask(f"@!{pid} {line}")

    def _pids(self) -> list[int]:
        return parse_old_workers(self._ask("show proc"))

    def _sessions(self, pid: int, backend: str) -> dict[str, tuple[int, int]]:
        """Server to its sessions and those queued for it in one old worker; none when the worker has ended, or never had the backend."""
        answer = self._ask(f"@!{pid} show stat {backend} 4 -1")
        if answer.startswith(_NO_SUCH_PROXY):
            return {}
        try:
            return {row["svname"]: (int(row["scur"]), int(row["qcur"] or 0)) for row in parse_stat(answer.strip("\n") + "\n")}
        except AnswerError:
            if pid in self._pids():
                raise
            return {}


def _with_more(member: Member, sessions: int, queued: int) -> Member:
    return replace(member, sessions=member.sessions + sessions, queued=member.queued + queued)
