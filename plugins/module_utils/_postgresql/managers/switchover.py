# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switchover where another program runs the cluster: that exchanges the roles, and the poolers hold their clients meanwhile."""

from __future__ import annotations

import threading

from ..._host.waiting import wait_for
from ..session import PostgresqlError
from ..switchover.planned import Switchover
from ..switchover.recovery import PAUSE_SECONDS, recover
from ..switchover.window import SwitchoverError


class ManagedSwitchover(Switchover):
    """`old` and `new` have the names that the program gives them. A program is a subclass."""

    # The program stops it.
    IS_FENCED = False
    _refusal = ""
    _exchanging: threading.Thread | None = None

    def _require_manager_ready(self) -> None:
        """SwitchoverError says why the program would not exchange the roles now."""
        raise NotImplementedError

    def _exchange(self) -> str:
        """Have the program exchange the roles; returns why it does not, in a sentence, empty when it does or when that is not known. It may take long."""
        raise NotImplementedError

    def _require_ready(self) -> None:
        super()._require_ready()
        self._require_manager_ready()

    def _prepare(self) -> None:
        """Run CHECKPOINT, so that the program's shutdown of the old primary is short. The program manages synchronous_standby_names."""
        self.old.checkpoint()

    def _act(self) -> None:
        self._hold()
        self._look_again()
        self._is_promoted.set(True)
        # Its answer is not waited for: the new primary takes writes before that.
        self._exchanging = threading.Thread(target=self._ask, daemon=True)
        self._exchanging.start()
        self._wait(self._takes_writes, f"{self.new} does not become a primary")
        self._reached("promoted")

    def _ask(self) -> None:
        self._refusal = self._exchange()

    def _takes_writes(self) -> bool:
        if not self.new.is_in_recovery():
            return True
        if self._refusal:
            self._is_promoted.set(False)
            raise SwitchoverError(self._refusal)
        return False

    def _recover(self) -> tuple[str, list[str]]:
        """The cluster manager ensures that one server takes writes, so no other one is promoted here. Its promotion may complete a little later."""
        if self._is_promoted:
            wait_for(self._is_taken_over, self.limits.window_seconds, PAUSE_SECONDS, self.clock.steady, self.clock.sleep)
        return recover(self.old, self.new, self.poolers, may_promote=False, may_unfence=False)

    def _is_taken_over(self) -> bool:
        try:
            with self.new.opened():
                return not self.new.is_in_recovery()
        except PostgresqlError:
            return False
