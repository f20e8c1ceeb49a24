# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One switchover or failover at a time: each run holds an advisory lock on the servers that it changes, in a separate session.

The process that outlives a run inherits that session, so the lock lasts until both have ended. A standby has such locks too, and keeps them when it is
promoted. An advisory lock counts in one database: its holder looks for others in every database, so two runs with different databases refuse each other.
Source: PostgreSQL's documentation of advisory locks and of ``pg_locks``.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..._host.clock import Clock
from ..._host.waiting import wait_for
from ..session import APPLICATION, Connection, PostgresqlError, literal
from .node import Node

KEY = 4_909_207_133_502
# A run that is about to end is waited for.
PATIENCE_SECONDS, PAUSE_SECONDS = 1.0, 0.05
EXCLUSIVE = "ExclusiveLock"
HOLDERS = f"""
SELECT pid, mode, coalesce(application_name, ''), coalesce(host(client_addr), 'the host itself'),
       coalesce(to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), 'unknown')
  FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
 WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = {KEY}
"""
# So that the lock of a controller whose host was lost is free within half a minute.
KEEPALIVE = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"


class RunLockError(PostgresqlError):
    """Another run is at work on a server, or this one has lost its lock there."""


class Holder(NamedTuple):
    """Who holds the lock on a server. `pid` is the server's process of that session; `since` is the server's time, in UTC."""

    pid: int
    mode: str
    application: str
    address: str
    since: str


class RunLock:
    """The lock of one run.

    :param nodes: the servers that it changes.
    :param purpose: what it does, for the message that another run is refused with.
    :param is_shared: whether runs of the same kind may go on beside it, because they change no server's role.
    """

    def __init__(self, nodes: Sequence[Node], purpose: str, is_shared: bool = False, clock: Clock = Clock()) -> None:
        # In one order, so that of two runs one gets all of them.
        self._nodes = sorted(nodes, key=str)
        self._name = f"{APPLICATION} {os.getpid()}@{platform.node()} {purpose}"
        self._is_shared, self._clock = is_shared, clock
        self._pids: dict[Node, int] = {}

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Hold it on all servers while the block runs. RunLockError names the run that is at work."""
        with contextlib.ExitStack() as stack:
            for node in self._nodes:
                session = stack.enter_context(node.with_spare())
                stack.callback(_release, session)
                self._take(node, session)
            yield

    def require_held(self) -> None:
        """RunLockError when a server does not know of it any more, or of another one beside it. The nodes' sessions are open."""
        for node, pid in self._pids.items():
            holders = holders_of(node)
            if pid not in [holder.pid for holder in holders] or self._against(holders, pid):
                raise RunLockError(f"this run has lost its lock on {node}, so another one may be at work there")

    def _take(self, node: Node, session: Connection) -> None:
        session.run(f"SET application_name = {literal(self._name)}; {KEEPALIVE}")
        how = "_shared" if self._is_shared else ""

        def has_it() -> bool:
            return bool(session.value(f"SELECT pg_try_advisory_lock{how}({KEY})"))

        if not wait_for(has_it, PATIENCE_SECONDS, PAUSE_SECONDS, self._clock.steady, self._clock.sleep):
            raise _refusal(node, _holders(session))
        pid = self._pids[node] = session.value("SELECT pg_backend_pid()")
        if not wait_for(lambda: not self._against(_holders(session), pid), PATIENCE_SECONDS, PAUSE_SECONDS, self._clock.steady, self._clock.sleep):
            raise _refusal(node, self._against(_holders(session), pid))

    def _against(self, holders: Sequence[Holder], pid: int) -> list[Holder]:
        """Those that exclude this run, in whichever database they hold the lock."""
        return [holder for holder in holders if holder.pid != pid and (not self._is_shared or holder.mode == EXCLUSIVE)]


def holders_of(node: Node) -> list[Holder]:
    """Which runs hold the lock on a server, whose session is open."""
    return [Holder(*row) for row in node.rows(HOLDERS)]


def _holders(session: Connection) -> list[Holder]:
    return [Holder(*row) for row in session.rows(HOLDERS)]


def _refusal(node: Node, holders: Sequence[Holder]) -> RunLockError:
    described = "; ".join(f"{holder.application or 'a session'} from {holder.address}, since {holder.since}, server process {holder.pid}" for holder in holders)
    again = "Nothing was changed. Wait until that run has ended, then run this again"
    if not holders:
        return RunLockError(f"another run was at work on {node} and has just ended. {again}")
    return RunLockError(f"another run is at work on {node}: {described}. {again}; if its controller is dead, the lock is freed by "
                        f"SELECT pg_terminate_backend({holders[0].pid}) there")


def _release(session: Connection) -> None:
    """At once: a server notices a bit later that a session was closed."""
    with contextlib.suppress(PostgresqlError):
        session.run("SELECT pg_advisory_unlock_all()")
