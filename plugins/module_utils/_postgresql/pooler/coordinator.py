# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The coordinator's view of the agents of poolers on other hosts, see `_postgresql.pooler.agent`: it sends them signals, and waits for theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from ..._host.clock import Clock
from ..._host.waiting import wait_for
from ..switchover.advisory_signals import HELD, HOLD, COORDINATOR, LED, LOOK_SECONDS, READY, of
from ..switchover.node import Node
from .pgbouncer import PoolerError

# How long to wait for agents that join late, so that they see that nothing is begun.
SEND_AWAY_SECONDS = 5.0


class PoolerAgents:
    """The agents, seen from the coordinator. All of them have a session open on the server that takes over.

    :param names: the names of their poolers.
    :param patience: seconds to wait for them.
    """

    def __init__(self, names: Sequence[str] = (), patience: float = 0.0, clock: Clock = Clock()) -> None:
        if len(set(names)) < len(names):
            raise PoolerError(f"pooler_agents has a name twice: {', '.join(names)}")
        self.names, self.patience, self._clock = tuple(names), patience, clock

    def gather(self, server: Node) -> None:
        """Wait until each one has joined. PoolerError names those that have not."""
        if not self.names:
            return
        if not server.signal(COORDINATOR):
            raise PoolerError(f"another switchover to {server} is in progress: wait for its end")
        if not self._wait(lambda: not self._without(server, READY), self.patience):
            raise PoolerError(f"no database_pooler joined for the poolers {', '.join(self._without(server, READY))} within {self.patience:g} s: run "
                              "alwayson.upgrade.database_pooler on their hosts at the same time as this, and see its results")

    def hold(self, server: Node) -> None:
        """Have each one hold its clients from now on."""
        if self.names:
            server.signal(HOLD)

    def are_holding(self, server: Node) -> bool:
        """Whether all of them hold their clients. PoolerError names those that have exited."""
        gone = self._without(server, READY)
        if gone:
            raise PoolerError(f"the database_pooler of {', '.join(gone)} has exited: see the result of alwayson.upgrade.database_pooler there")
        return not self._without(server, HELD)

    def not_led(self, server: Node, seconds: float) -> list[str]:
        """The poolers whose clients do not go on with the new server, still after so many seconds."""
        self._wait(lambda: not self._without(server, LED), seconds)
        return self._without(server, LED)

    def send_away(self, server: Node) -> None:
        """Show the agents that have joined, and those that join a little later, that nothing is begun."""
        joined: set[str] = set()

        def have_joined() -> bool:
            joined.update(set(self.names) - set(self._without(server, READY)))
            return joined == set(self.names)

        if self.names and server.signal(COORDINATOR):
            self._wait(have_joined, SEND_AWAY_SECONDS)
            # Agents look this often.
            self._clock.sleep(10 * LOOK_SECONDS)

    def _without(self, server: Node, what: str) -> list[str]:
        if not self.names:
            return []
        found = server.signals(of(what, name) for name in self.names)
        return [name for name in self.names if of(what, name) not in found]

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        return wait_for(is_so, seconds, LOOK_SECONDS, self._clock.steady, self._clock.sleep)
