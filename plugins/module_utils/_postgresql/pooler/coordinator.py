# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The leader of a switchover and those who hold and lead poolers on other hosts, see `_postgresql.pooler.agent`: it calls them, and waits for them."""

from __future__ import annotations

from typing import Callable, Sequence

from ..._host.clock import Clock
from ..._host.waiting import wait_for
from ..switchover.advisory_signals import HELD, HOLD, LEADER, LED, LOOK_SECONDS, READY, of
from ..switchover.node import Node
from .pgbouncer import PoolerError

# How long those who come late are waited for, to be told that nothing is begun.
SEND_AWAY_SECONDS = 5.0


class Companions:
    """What a leader sees of them. They meet on the server that takes over, whose session is open.

    :param names: of their poolers.
    :param patience: seconds that they have to come.
    """

    def __init__(self, names: Sequence[str] = (), patience: float = 0.0, clock: Clock = Clock()) -> None:
        if len(set(names)) < len(names):
            raise PoolerError(f"companions has a name twice: {', '.join(names)}")
        self.names, self.patience, self._clock = tuple(names), patience, clock

    def gather(self, server: Node) -> None:
        """Wait until each one is there. PoolerError names those that are not."""
        if not self.names:
            return
        if not server.say(LEADER):
            raise PoolerError(f"another switchover to {server} is under way: wait for its end")
        if not self._wait(lambda: not self._without(server, READY), self.patience):
            raise PoolerError(f"nobody has come for the poolers {', '.join(self._without(server, READY))} within {self.patience:g} s: run "
                              "alwayson.upgrade.database_pooler on their hosts at the same time as this, and see its results")

    def hold(self, server: Node) -> None:
        """Have each one hold its clients from now on."""
        if self.names:
            server.say(HOLD)

    def are_holding(self, server: Node) -> bool:
        """Whether all do so. PoolerError when one of them has gone."""
        gone = self._without(server, READY)
        if gone:
            raise PoolerError(f"whoever held the clients of {', '.join(gone)} has gone: see the result of alwayson.upgrade.database_pooler there")
        return not self._without(server, HELD)

    def not_led(self, server: Node, seconds: float) -> list[str]:
        """The poolers whose clients do not go on with the new server, still after so many seconds."""
        self._wait(lambda: not self._without(server, LED), seconds)
        return self._without(server, LED)

    def send_away(self, server: Node) -> None:
        """Tell those who are there, and those who come a little later, that nothing is begun."""
        come: set[str] = set()

        def have_come() -> bool:
            come.update(set(self.names) - set(self._without(server, READY)))
            return come == set(self.names)

        if self.names and server.say(LEADER):
            self._wait(have_come, SEND_AWAY_SECONDS)
            # They look as often.
            self._clock.sleep(10 * LOOK_SECONDS)

    def _without(self, server: Node, what: str) -> list[str]:
        if not self.names:
            return []
        there = server.said(of(what, name) for name in self.names)
        return [name for name in self.names if of(what, name) not in there]

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        return wait_for(is_so, seconds, LOOK_SECONDS, self._clock.steady, self._clock.sleep)
