# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent of one pooler on another host, while the coordinator has a standby take over: it holds the pooler's clients, and sends them to the new server.

Only this process and its watchdog send commands to the pooler: a RESUME beside the PAUSE of another process could make that hang. Agent and coordinator
exchange signals on the server that takes over, see `_postgresql.switchover.advisory_signals`, and decide by the state of that server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ..._host.clock import Clock
from ..._host.waiting import wait_for
from ..session import PostgresqlError
from ..switchover.advisory_signals import HELD, HOLD, COORDINATOR, LED, LOOK_SECONDS, READY, of
from ..switchover.node import Node
from ..switchover.recovery import NEW, PAUSE_SECONDS, recover
from ..switchover.window import GRACE_SECONDS, Limits, SwitchoverError, Window
from .coordinator import PoolerAgents
from .pgbouncer import PgBouncer, PoolerError


class PoolerAgent(Window):
    """Holds and redirects one pooler. `old` and `new` as the coordinator has them.

    :param patience: seconds to wait for the coordinator.
    :param may_go_back: whether clients may go on with the old server when the coordinator has exited; not when that server was declared dead.
    """

    knows_all_poolers = False

    def __init__(self, old: Node, new: Node, pooler: PgBouncer, limits: Limits, patience: float, may_go_back: bool = True, clock: Clock = Clock()) -> None:
        super().__init__(old, new, [pooler], limits, PoolerAgents((), patience), clock)
        self._name = pooler.name
        # A pooler that is down does not keep a standby from taking the place of a primary that is dead.
        self._may_go_back = self.needs_all_poolers = may_go_back
        self.is_old_dead = not may_go_back

    def survey(self) -> bool:
        """See `Window.survey`."""
        with self.new.opened():
            takes_writes = not self.new.is_in_recovery()
        if takes_writes:
            self._require_followed()
            return False
        self._require_pointed(self.old, self.new)
        return True

    def _nodes(self) -> Sequence[Node]:
        return (self.new,)

    def _is_complete(self) -> bool:
        return False

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """The coordinator holds the lock for all."""
        return contextlib.nullcontext()

    def _prepare(self) -> None:
        """Signal that the agent is ready, and wait for the coordinator and for its signal to hold the clients."""
        if not self.new.signal(of(READY, self._name)):
            raise SwitchoverError(f"another database_pooler has joined for pooler {self._name} already: wait for its end")
        if not wait_for(lambda: self._is_taken_over() or self._sees(COORDINATOR), self.agents.patience, LOOK_SECONDS, self.clock.steady, self.clock.sleep):
            raise SwitchoverError(f"no database_switchover to {self.new} has started within {self.agents.patience:g} s: run it with {self._name} among its "
                                  "pooler_agents at the same time. Nothing has changed")
        while not self._is_taken_over() and not self._sees(HOLD):
            if not self._sees(COORDINATOR):
                raise SwitchoverError("the coordinator gave up before clients were paused: see the result of alwayson.upgrade.database_switchover")
            self.clock.sleep(LOOK_SECONDS)

    def _act(self) -> None:
        try:
            self._pause_and_point()
        except PoolerError:
            # The coordinator need not wait for this pooler.
            with contextlib.suppress(PostgresqlError):
                self.new.clear(of(READY, self._name))
            raise
        self._reached("paused")
        self.new.signal(of(HELD, self._name))
        self._wait(self._is_promoted_or_left, f"{self.new} does not become a primary")
        self._reached("promoted")

    def _lead(self) -> None:
        super()._lead()
        self._signal_that_it_is_led()

    def _is_taken_over(self) -> bool:
        return not self.new.is_in_recovery()

    def _is_promoted_or_left(self) -> bool:
        if self._is_taken_over():
            return True
        if not self._sees(COORDINATOR):
            raise SwitchoverError(f"the coordinator exited while pooler {self._name} was paused")
        return False

    def _sees(self, what: str) -> bool:
        return bool(self.new.signals([what]))

    def _signal_that_it_is_led(self) -> None:
        """Until the coordinator has seen it."""
        self.new.signal(of(LED, self._name))
        wait_for(lambda: not self._sees(COORDINATOR), self.limits.window_seconds, LOOK_SECONDS, self.clock.steady, self.clock.sleep)

    def _recover(self) -> tuple[str, list[str]]:
        """While there is a coordinator, or its watchdog, it decides. When neither has decided within the window, the agent does."""
        is_decided = wait_for(self._is_decided, self.limits.window_seconds + GRACE_SECONDS, PAUSE_SECONDS, self.clock.steady, self.clock.sleep)
        recovered = recover(self.old, self.new, self.poolers, may_promote=False, may_unfence=not is_decided)
        if recovered == (NEW, []):
            with contextlib.suppress(PostgresqlError), self.new.opened():
                self._signal_that_it_is_led()
        return recovered

    def _is_decided(self) -> bool:
        """Whether it is certain with which server clients go on."""
        with contextlib.suppress(PostgresqlError), self.new.opened():
            if self._is_taken_over():
                return True
            if self._sees(COORDINATOR):
                return False
        if not self._may_go_back:
            return False
        with contextlib.suppress(PostgresqlError), self.old.opened():
            return not self.old.is_in_recovery() and not self.old.is_fenced()
        return False
