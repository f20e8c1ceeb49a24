# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a primary has died: its standby takes its place. And while nobody can: clients read from a standby, and writes are refused."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_node import LISTENS, Node
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_window import FAILOVER, REDIRECTION, SYNCHRONOUS, SwitchoverError, Window
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._synchronous_names import always_waits_for, waits_for


class Failover(Window):
    """`old` is the primary that is dead, `new` its standby.

    :param accept_loss: whether it may be promoted although writes may have been acknowledged that it never got.
    :param is_lost: whether somebody has made sure that the old one does not run, where its host does not say so.
    """

    KIND = FAILOVER
    accept_loss = is_lost = _takes_writes = needs_all_poolers = False

    def survey(self) -> bool:
        """See `Window.survey`."""
        with self.new.opened():
            self.result.system_identifier = self.new.system_identifier()
            self._takes_writes = not self.new.is_in_recovery()
            if self._takes_writes and (not self._is_named_by_a_pooler(self.old) or self._is_relieved()):
                self._require_followed()
                return False
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
        """An old primary that has come back as it was is fenced, now and whenever this is run again."""
        with self.new.opened():
            self.result.timeline = self.new.timeline()
        self._keep_old_away()

    def _survey_new(self) -> None:
        """Whether the new one has what is needed to take over, in its own session."""
        self._require_synchronous(self.new.streams_as_named())

    def _require_synchronous(self, name: str) -> None:
        # Kept before the process is doubled: whichever of the two finds no way puts it back, for the next one to find it.
        names = self._names = self.new.setting(SYNCHRONOUS)
        self.result.synchronous = always_waits_for(names, name)
        if self.result.synchronous or self.accept_loss:
            return
        why = f"{SYNCHRONOUS} of {self.new} is {names!r}, which has not every commit wait for {name}" if name.lower() in waits_for(names)[1] else (
            f"{self.new} is not named in {SYNCHRONOUS}")
        raise SwitchoverError(f"{why}, so {self.old} may have acknowledged writes that it never got. Bring {self.old} back, or accept that loss "
                              "(data_loss=accept)")

    def _keep_old_away(self) -> None:
        if self.old.knock() != LISTENS:
            return
        try:
            with self.old.opened():
                is_another = self.old.system_identifier() != self.result.system_identifier
                if is_another or self.old.is_in_recovery() or self.old.is_fenced() or self.old.timeline() >= self.result.timeline:
                    return
                self.old.fence()
        except PostgresqlError as error:
            self.result.warnings.append(f"{self.old} runs again and could not be made read only ({error}): stop it, it must not take writes beside {self.new}")
            return
        self.result.changed = True
        self.result.warnings.append(f"{self.old} ran again beside {self.new} and was made read only: what it took meanwhile is lost when it follows {self.new}")

    def _is_named_by_a_pooler(self, node: Node) -> bool:
        return any(node.address in pooler.servers().values() for pooler in self.poolers)

    def _require_accepted(self) -> bool:
        """Somebody else made it a primary, of a standby or of a backup: nobody here can tell what it lacks."""
        if not self.accept_loss:
            raise SwitchoverError(f"{self.new} takes writes already, so it may lack what {self.old} acknowledged: bring {self.old} back, or accept that loss "
                                  "(data_loss=accept) to send the poolers to it")
        return True

    def _require_dead(self) -> None:
        if self.is_lost or self.old.is_refusing():
            return
        try:
            with self.old.opened():
                raise SwitchoverError(f"{self.old} runs: relieve it by state=switched")
        except PostgresqlError as error:
            raise SwitchoverError(f"{self.old} does not answer, and its host does not say that it is dead ({error}). Make sure that it does not run: "
                                  "two servers that take writes go their own ways. Then say so (old_is_lost=true)") from error

    def _nodes(self) -> Sequence[Node]:
        return (self.new,)

    def _is_complete(self) -> bool:
        return True

    def _prepare(self) -> None:
        if not self.new.claim_promotion():
            raise SwitchoverError(f"{self.old} is being started at this moment: its guard has asked {self.new} and was told that it may. "
                                  "See what becomes of it, and try again in some seconds")
        self._wait_for_nobody()
        self.result.warnings.append(f"{self.old} must not come back as it was: have it follow {self.new}")

    def _act(self) -> None:
        self._hold()
        # Again: no guard lets it start any more, but one may have done so shortly before this promotion was claimed.
        self._require_dead()
        if not self._takes_writes:
            self._complete()
            self._promote()

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
