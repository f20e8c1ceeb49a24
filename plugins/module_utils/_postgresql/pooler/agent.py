# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pooler on a host of its own, while another process, the leader, has a standby take over: its clients are held and led from here.

Nobody but this process, or the one that outlives it, speaks with the pooler: a RESUME beside somebody else's PAUSE could make that hang. The two sides know of
each other by what they say on the server that takes over, see `_postgresql.switchover.advisory_signals`, and decide by what that server is.
"""

from __future__ import annotations

import contextlib
from typing import ContextManager, Sequence

from ..._host.clock import Clock
from ..._host.waiting import wait_for
from ..session import PostgresqlError
from ..switchover.advisory_signals import HELD, HOLD, LEADER, LED, LOOK_SECONDS, READY, of
from ..switchover.node import Node
from ..switchover.recovery import NEW, PAUSE_SECONDS, settle
from ..switchover.window import GRACE_SECONDS, Limits, SwitchoverError, Window
from .coordinator import Companions
from .pgbouncer import PgBouncer, PoolerError


class Companion(Window):
    """Holds and leads one pooler. `old` and `new` as the leader has them.

    :param patience: seconds that the leader has to come.
    :param may_go_back: whether clients may go on with the old one when the leader has gone; not when it was given up for dead.
    """

    knows_all_poolers = False

    def __init__(self, old: Node, new: Node, pooler: PgBouncer, limits: Limits, patience: float, may_go_back: bool = True, clock: Clock = Clock()) -> None:
        super().__init__(old, new, [pooler], limits, Companions((), patience), clock)
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

    def _alone(self) -> ContextManager[None]:
        """The leader holds the lock for all."""
        return contextlib.nullcontext()

    def _prepare(self) -> None:
        """Be there, and wait for the leader, and for its word."""
        if not self.new.say(of(READY, self._name)):
            raise SwitchoverError(f"somebody else is there for pooler {self._name} already: wait for its end")
        if not wait_for(lambda: self._is_taken_over() or self._says(LEADER), self.companions.patience, LOOK_SECONDS, self.clock.steady, self.clock.sleep):
            raise SwitchoverError(f"nobody has {self.new} take over within {self.companions.patience:g} s: run alwayson.upgrade.database_switchover with "
                                  f"{self._name} among its companions at the same time. Nothing has changed")
        while not self._is_taken_over() and not self._says(HOLD):
            if not self._says(LEADER):
                raise SwitchoverError("whoever was to lead has given up before anybody was held: see the result of alwayson.upgrade.database_switchover")
            self.clock.sleep(LOOK_SECONDS)

    def _act(self) -> None:
        try:
            self._pause_and_point()
        except PoolerError:
            # Whoever leads need not wait for it.
            with contextlib.suppress(PostgresqlError):
                self.new.unsay(of(READY, self._name))
            raise
        self._reached("paused")
        self.new.say(of(HELD, self._name))
        self._wait(self._is_promoted_or_left, f"{self.new} does not become a primary")
        self._reached("promoted")

    def _lead(self) -> None:
        super()._lead()
        self._say_that_it_is_led()

    def _is_taken_over(self) -> bool:
        return not self.new.is_in_recovery()

    def _is_promoted_or_left(self) -> bool:
        if self._is_taken_over():
            return True
        if not self._says(LEADER):
            raise SwitchoverError(f"whoever leads has gone while the clients of pooler {self._name} were held")
        return False

    def _says(self, what: str) -> bool:
        return bool(self.new.said([what]))

    def _say_that_it_is_led(self) -> None:
        """Until the leader has heard it."""
        self.new.say(of(LED, self._name))
        wait_for(lambda: not self._says(LEADER), self.limits.window_seconds, LOOK_SECONDS, self.clock.steady, self.clock.sleep)

    def _settle(self) -> tuple[str, list[str]]:
        """As long as somebody leads, that one decides, or the one that outlives it. When nobody has for longer than it may take, it is decided here."""
        is_decided = wait_for(self._is_decided, self.limits.window_seconds + GRACE_SECONDS, PAUSE_SECONDS, self.clock.steady, self.clock.sleep)
        settled = settle(self.old, self.new, self.poolers, may_promote=False, may_unfence=not is_decided)
        if settled == (NEW, []):
            with contextlib.suppress(PostgresqlError), self.new.opened():
                self._say_that_it_is_led()
        return settled

    def _is_decided(self) -> bool:
        """Whether it is plain with whom clients go on."""
        with contextlib.suppress(PostgresqlError), self.new.opened():
            if self._is_taken_over():
                return True
            if self._says(LEADER):
                return False
        if not self._may_go_back:
            return False
        with contextlib.suppress(PostgresqlError), self.old.opened():
            return not self.old.is_in_recovery() and not self.old.is_fenced()
        return False
