# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby takes over from its primary while the poolers hold the clients: they wait for a moment, and lose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..._host.waiting import wait_for
from .node import Node
from .survey import switchover, why_not_everything
from .window import POLL_SECONDS, SWITCHOVER, SwitchoverError, Window

# How long to wait for a reader that is about to end, before clients are held and in the window, and for a session that still writes past a fence.
READERS_SECONDS, READERS_PAUSE, WRITERS_SECONDS = 2.0, 0.1, 2.0


class Switchover(Window):
    """`old` is the primary, `new` the standby that takes over."""

    KIND = SWITCHOVER
    _seen = ""
    # Whether the old primary goes on as a server that is read only.
    IS_FENCED = True

    def survey(self) -> bool:
        """See `Window.survey`."""
        with self.old.opened(), self.new.opened():
            return self._survey()

    def _nodes(self) -> Sequence[Node]:
        return self.old, self.new

    def _look_again(self) -> None:
        super()._look_again()
        if self.IS_FENCED and (self.old.is_in_recovery() or not self.old.is_fenced() or self.old.snapshot() != self._seen):
            raise SwitchoverError(f"{self.old} was written to although it was read only, or no longer is: {self.new} may lack what it has acknowledged")

    def _is_complete(self) -> bool:
        return self.result.synchronous or "replayed" in self.result.steps

    def _act(self) -> None:
        self._hold()
        self.old.fence()
        self._reached("fenced")
        give_up = self.clock.steady() + WRITERS_SECONDS
        while not self._has_everything():
            if self.clock.steady() > give_up:
                who = "; ".join(self.old.writers()) or "processes that end at once"
                raise SwitchoverError(f"{self.old} is written to although it is read only. The writers are {who}: stop them first")
        self._reached("replayed")
        self._promote()

    def _has_everything(self) -> bool:
        """Whether the new primary has replayed the log up to its end, and no session has written after that."""
        self.result.lsn = end = self.old.end_of_log()
        self._seen = self.old.snapshot()
        self._wait(lambda: self._has_replayed(end), f"{self.new} has not replayed up to {end}, the end of the log of {self.old} ends")
        return not self.old.writers() and self.old.snapshot() == self._seen

    def _has_replayed(self, end: str) -> bool:
        if self.new.has_replayed(end):
            return True
        if self.clock.steady() - self._began > READERS_SECONDS and (readers := self.new.readers_in_the_way()):
            raise SwitchoverError(f"replay on {self.new} waits for readers: {'; '.join(readers)}. Wait for their end, or end them")
        return False

    def _survey(self) -> bool:
        was, follows = self.old.position(), self.new.position()
        if was.system_identifier != follows.system_identifier:
            raise SwitchoverError(f"{self.new} is no copy of {self.old}: their system identifiers differ. Give a standby of it")
        if was.in_recovery and not follows.in_recovery:
            self._require_followed()
            return False
        if not was.in_recovery and not follows.in_recovery:
            return self._require_fenced()
        if was.in_recovery:
            raise SwitchoverError(f"both are standbys: {self.old} and {self.new}. Give the primary, and a standby of it")
        self._require_pointed(self.old, self.new)
        self._require_ready()
        return True

    def _require_fenced(self) -> bool:
        """Both are primaries: accept that if the old one is fenced, after a switchover that did not make it a standby. Raises SwitchoverError otherwise."""
        if not self.old.is_fenced() and self.new.is_fenced():
            raise SwitchoverError(f"{self.new} was replaced by {self.old} and is no standby: make it one (alwayson.upgrade.database_rejoin), then it "
                                  "can take over again")
        if not self.old.is_fenced():
            raise SwitchoverError(f"both take writes: {self.old} and {self.new}. Stop one of them before they diverge further")
        self._require_followed()
        self.result.warnings.append(f"{self.old} takes no writes and is no standby: make it a standby of {self.new}")
        return False

    def _require_ready(self) -> None:
        was, follows = self.old.facts(self.limits.transaction_seconds), self.new.facts()
        was = replace(was, unlogged=self.old.unlogged_tables())
        follows = replace(follows, behind=self.new.bytes_behind(self.old.position().lsn), readers=self._readers())
        self._require_none(switchover(was, follows, self.limits.lag_bytes, self.IS_FENCED))
        self.result.synchronous = not why_not_everything(was, follows.streams_as or "", follows.has_own_name)

    def _readers(self) -> list[str]:
        """Whom replay waits for, and has waited for a while."""
        wait_for(lambda: not self.new.readers_in_the_way(), READERS_SECONDS, READERS_PAUSE, self.clock.steady, self.clock.sleep)
        return self.new.readers_in_the_way()

    def _prepare(self) -> None:
        """What both have in common is as young as can be, for the old one to follow later. And what is written now gets there in a moment."""
        self.old.checkpoint()
        lsn = self.old.end_of_log()
        if not wait_for(lambda: self.new.has_replayed(lsn), self.limits.pause_seconds, POLL_SECONDS, self.clock.steady, self.clock.sleep):
            raise SwitchoverError(f"{self.new} has not replayed within {self.limits.pause_seconds:g} s what {self.old} has written before: no client was held. "
                                  f"See pg_stat_replication on {self.old}, and the log of {self.new}")
        self._wait_for_nobody()
