# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a primary has died: its standby takes its place. And while nobody can: clients read from a standby, and writes are refused."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_node import Node
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_window import SYNCHRONOUS, SwitchoverError, Window
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import PostgresqlError


class Failover(Window):
    """`old` is the primary that is dead, `new` its standby.

    :param accept_loss: whether it may be promoted although writes may have been acknowledged that it never got.
    :param is_lost: whether somebody has made sure that the old one does not run, where its host does not say so.
    """

    accept_loss = is_lost = _takes_writes = False

    def survey(self) -> bool:
        """See `Window.survey`."""
        with self.new.opened():
            self._takes_writes = not self.new.is_in_recovery()
            if self._takes_writes and (not self._is_named_by_a_pooler(self.old) or self._is_relieved()):
                self._require_followed()
                return False
            self._require_dead()
            if self._takes_writes:
                return self._require_accepted()
            self.result.synchronous = self.new.is_named_in(self.new.setting(SYNCHRONOUS))
        self._require_pointed(self.old, self.new)
        if not self.result.synchronous and not self.accept_loss:
            raise SwitchoverError(f"{self.new} is not named in {SYNCHRONOUS}, so {self.old} may have acknowledged writes that it never got. "
                                  f"Bring {self.old} back, or accept that loss (data_loss=accept)")
        return True

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
        self._wait_for_nobody()
        self.result.warnings.append(f"{self.old} must not come back as it was: have it follow {self.new}")

    def _act(self) -> None:
        self._hold()
        if not self._takes_writes:
            self._promote()


class Redirection(Window):
    """Clients of `old` are sent to `new`: to a standby, where they only read, or back to a primary.

    :param to_standby: which of the two it is.
    """

    to_standby = True

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
