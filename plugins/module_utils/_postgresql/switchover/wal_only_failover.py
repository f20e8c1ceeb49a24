# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the primary and its standby have died: a third server takes over that lives from the log that ``pg_receivewal --synchronous`` has received for it.

Its recovery copies finished segments only, so it lacks what is in the last one. The receiver is ended, that segment is shown to recovery, and the server is
promoted when it has replayed the last record in it, and never before: see `WarmNode.promote`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..pooler.coordinator import PoolerAgents
from ..pooler.pgbouncer import PgBouncer
from ..pooler.pgbouncer_file import Server
from ..session import Login, PostgresqlError
from .failover import Failover
from .node import Node
from .received_wal import ReceivedLog, ReceivedLogError
from .recovery import NEW
from .window import Limits

END_SECONDS = 5.0
# The SQLSTATE of a promotion that was not asked for: nothing was sent to the server.
NOT_READY = "55000"


class WarmNode(Node):
    """A server in recovery from a received log."""

    def __init__(self, name: str, login: Login, address: Server, log: ReceivedLog) -> None:
        super().__init__(name, login, address)
        self.log = log

    @classmethod
    def living_from(cls, log: ReceivedLog, node: Node) -> WarmNode:
        """The same server."""
        return cls(node.name, node._login, node.address, log)

    def has_all(self) -> bool:
        """Whether it has replayed the last record that was received. Only when the receiver has ended and the last segment is exposed."""
        return bool(self._session.value("SELECT pg_last_wal_replay_lsn() > %s::pg_lsn", (self.log.last_record(),)))

    def promote(self) -> None:
        """See `Node.promote`; PostgresqlError as long as it lacks something."""
        try:
            self.log.end_receiver(END_SECONDS)
            self.log.expose()
            has_all = self.has_all()
        except ReceivedLogError as error:
            raise PostgresqlError(str(error), NOT_READY) from error
        if not has_all:
            raise PostgresqlError(f"{self} has not replayed all that was received in {self.log.directory}", NOT_READY)
        super().promote()


class WarmFailover(Failover):
    """`new` lives from a received log.

    :param receiver: the name under which its receiver is known to the primary.
    """

    new: WarmNode

    def __init__(self, old: Node, new: WarmNode, poolers: Sequence[PgBouncer], limits: Limits, receiver: str, agents: PoolerAgents = PoolerAgents()) -> None:
        super().__init__(old, new, poolers, limits, agents)
        self._receiver = receiver

    def _survey_new(self) -> None:
        self.new.log.require_usable(self.new.system_identifier())
        self._require_everything(self._receiver)

    def _complete(self) -> None:
        log = self.new.log
        log.end_receiver(END_SECONDS)
        self._reached("received")
        log.expose()
        self.result.lsn = log.last_record()
        self._wait(self.new.has_all, f"{self.new} does not replay the record at {self.result.lsn}, the last that was received in {log.directory}: "
                                     "see its log, and whether its restore_command reads that folder")
        self._reached("replayed")

    def _recover(self) -> tuple[str, list[str]]:
        target, problems = super()._recover()
        if target == NEW:
            return target, problems
        log = self.new.log
        try:
            log.hide()
            is_received = bool(log.receivers())
        except ReceivedLogError as error:
            return target, [*problems, str(error)]
        return target, problems if is_received else [*problems, f"no process receives the log into {log.directory}: start that service again"]
