# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a primary has died: its standby is promoted. While no standby can be: clients read from a standby, and writes are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..._host.waiting import wait_for
from ..session import PostgresqlError
from .node import LISTENS, Node
from .survey import SYNCHRONOUS, after_failover, failover, why_not_everything
from .window import FAILOVER, REDIRECTION, SwitchoverError, Window

# How long a standby may take to notice that its primary's host was started again; and how often it is looked at.
RECEIVER_SECONDS, RECEIVER_PAUSE, READERS_PAUSE = 12.0, 0.1, 0.1


class Failover(Window):
    """`old` is the primary that is dead, `new` its standby.

    :param accept_loss: whether it may be promoted although writes may have been acknowledged that it never got.
    :param is_lost: whether an operator has made sure that the old primary does not run, where its host does not refuse connections.
    """

    KIND = FAILOVER
    accept_loss = is_lost = _takes_writes = needs_all_poolers = False
    _look_for_readers = 0.0
    is_old_dead = True

    def survey(self) -> bool:
        """See `Window.survey`."""
        with self.new.opened():
            self.result.system_identifier = self.new.system_identifier()
            self._takes_writes = not self.new.is_in_recovery()
            if self._takes_writes and (not self._is_named_by_a_pooler(self.old) or self._is_demoted()):
                self._require_followed()
                return False
            # A standby notices the death of its primary at once, and that of its host when it is started again.
            wait_for(lambda: self.is_lost or not self.old.is_refusing() or not self.new.is_fed(), RECEIVER_SECONDS, RECEIVER_PAUSE,
                     self.clock.steady, self.clock.sleep)
            self._require_dead()
            if self._takes_writes:
                return self._require_accepted()
            self._survey_new()
        for pooler in self.poolers:
            # A failover that did not get to its end may have left clients reading from the new one.
            if not {self.old.address, self.new.address} & set(pooler.servers().values()):
                raise self._misled(pooler, self.old)
        return True

    def _finish(self) -> None:
        """Fence an old primary that has returned as a primary, now and whenever this is run again."""
        with self.new.opened():
            self.result.timeline = timeline = self.new.timeline()
            if self.result.changed:
                self._require_none(after_failover(replace(self.new.facts(), unlogged=self.new.unlogged_tables())))
        self._keep_old_away(timeline)

    def _survey_new(self) -> None:
        """Whether the new one has what is needed to take over, in its own session."""
        self._require_everything(*self.new.streams_as_named())

    def _require_everything(self, name: str, has_own_name: bool = True) -> None:
        facts = self.new.facts()
        # Kept before the process is doubled: whichever of the two finds no way puts it back, for the next one to find it.
        self._names = facts.settings[SYNCHRONOUS]
        self._require_none(failover(facts))
        why = why_not_everything(facts, name, has_own_name)
        self.result.synchronous = not why
        if why and not self.accept_loss:
            raise SwitchoverError(f"{why}, so {self.old} may have acknowledged writes that {self.new} never got. Bring {self.old} back, or accept that loss "
                                  "(data_loss=accept)")

    def _keep_old_away(self, timeline: int) -> None:
        if self.old.knock() != LISTENS:
            return
        try:
            with self.old.opened():
                is_another = self.old.system_identifier() != self.result.system_identifier
                if is_another or self.old.is_in_recovery() or self.old.is_fenced() or self.old.timeline() >= timeline:
                    return
                self.old.fence()
        except PostgresqlError as error:
            self.result.warnings.append(f"{self.old} runs again and could not be made read only ({error}): stop it, it must not take writes beside {self.new}")
            return
        self.result.changed = True
        self.result.warnings.append(f"{self.old} ran again beside {self.new} and was made read only: its later writes are lost when it becomes a standby")

    def _is_named_by_a_pooler(self, node: Node) -> bool:
        # Readers that were sent to it on purpose, beside others that are led already, are not meant.
        return any(node.address in self._targets(pooler) and self.new.address not in self._targets(pooler) for pooler in self.poolers)

    def _require_accepted(self) -> bool:
        """Another program promoted it from a standby or a backup, so what it lacks is unknown."""
        if not self.accept_loss:
            raise SwitchoverError(f"{self.new} takes writes already, so it may lack what {self.old} acknowledged: bring {self.old} back, or accept that loss "
                                  "(data_loss=accept) to send the poolers to it")
        return True

    def _require_dead(self) -> None:
        if self.is_lost:
            return
        if self.old.is_refusing():
            if self.new.is_fed():
                raise SwitchoverError(f"{self.new} still streams from its primary, so {self.old} is alive, although connections to it are refused here: "
                                      "repair the network to it")
            return
        try:
            with self.old.opened():
                raise SwitchoverError(f"{self.old} runs: replace it by state=switched")
        except PostgresqlError as error:
            raise SwitchoverError(f"{self.old} does not answer, and its host does not confirm that it is dead ({error}). Make sure that it does not run: "
                                  "two servers that take writes diverge. Then set old_is_lost=true") from error

    def _nodes(self) -> Sequence[Node]:
        return (self.new,)

    def _is_complete(self) -> bool:
        return True

    def _prepare(self) -> None:
        if not self.new.claim_promotion():
            raise SwitchoverError(f"{self.old} is being started now: its guard has asked {self.new}, which let it start. "
                                  "Wait until it has started, and try again in some seconds")
        self._wait_for_nobody()
        self.result.warnings.append(f"{self.old} must not be started as it was: make it a standby of {self.new}")

    def _act(self) -> None:
        self._hold()
        # Again: no guard lets it start any more, but one may have done so shortly before this promotion was claimed.
        self._require_dead()
        if not self._takes_writes:
            self._complete()
            self._promote()

    def _has_become_primary(self) -> bool:
        """Whether it was promoted. Until then no client can write, so readers that block replay are ended."""
        if super()._has_become_primary():
            return True
        if self.clock.steady() >= self._look_for_readers:
            self._look_for_readers = self.clock.steady() + READERS_PAUSE
            if ended := self.new.end_readers_in_the_way():
                self.result.warnings.append(f"replay on {self.new} waited for readers, whose sessions were ended: {'; '.join(ended)}")
        return False

    def _complete(self) -> None:
        """Have the new one get what it does not have yet."""


class Redirection(Window):
    """Clients of `old` are sent to `new`: to a standby, where they only read, or back to a primary.

    :param to_standby: which of the two it is.
    """

    KIND = REDIRECTION
    to_standby, needs_all_poolers = True, False

    def survey(self) -> bool:
        """See `Window.survey`."""
        with self.new.opened():
            if self.new.is_in_recovery() != self.to_standby:
                raise SwitchoverError(f"{self.new} {'takes writes' if self.to_standby else 'is a standby'}: give the primary and a standby of it")
        there = {server for pooler in self.poolers for server in pooler.servers().values()}
        if self.old.address not in there:
            self._require_pointed(self.new, self.old)
            return False
        return True

    def _nodes(self) -> Sequence[Node]:
        return (self.new,)

    def _is_complete(self) -> bool:
        return False

    def _act(self) -> None:
        self._hold()
