# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where repmgr runs the cluster: it exchanges the roles, or promotes the standby after a crash, and the poolers hold their clients meanwhile.

What it says is shown and not read: its exit status counts, and what the servers say of themselves.
Source: repmgr's documentation of ``standby switchover``, ``standby promote``, ``node check`` and ``node status``.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence

from ..._host import programs
from ..pooler.pgbouncer import PgBouncer
from ..pooler.pgbouncer_file import Server
from ..session import Login, PostgresqlError
from ..switchover.failover import Failover
from ..switchover.node import Node
from ..switchover.window import Limits, SwitchoverError
from .switchover import ManagedSwitchover

ARGUMENTS = {
    "repmgr": {
        "type": "dict",
        "options": {
            "command": {"type": "list", "elements": "str", "required": True},
        },
    },
}
SWITCH, PROMOTE, STATUS, DAEMON = ("standby", "switchover", "--siblings-follow"), ("standby", "promote"), ("node", "status", "--csv"), (
    "node", "check", "--repmgrd")
# The new primary leads, and something was left undone: the old one does not follow, as a rule.
INCOMPLETE = 22
ACTIVE = 0
# How long a check may take; and the whole exchange with the old primary's return, which repmgr's own timeouts end before.
CHECK_SECONDS, WHOLE_SECONDS, PAUSE_SECONDS = 60.0, 300.0, 0.05
# The SQLSTATE of a promotion that was refused: nothing was sent to the server.
NOT_READY = "55000"


class Repmgr:
    """:param command: the words that run repmgr on the host of the new primary."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def run(self, *words: str, seconds: float = CHECK_SECONDS) -> tuple[int, str]:
        """Exit status and what it said; SwitchoverError when it has not ended in time, or cannot be run. It goes on when this process is ended."""
        try:
            status, said = programs.run([*self._command, *words], seconds, goes_on=True)
        except OSError as error:
            raise SwitchoverError(f"repmgr.command cannot be run: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise SwitchoverError(f"repmgr {' '.join(words)} has not ended within {seconds:g} s") from error
        return status, " ".join(said.split())

    def require(self, *words: str) -> str:
        """What it said; SwitchoverError when it ended with another status than 0."""
        status, said = self.run(*words)
        if status:
            raise SwitchoverError(f"repmgr {' '.join(words)} ended with {status}: {said}")
        return said

    def require_of(self, node: Node) -> None:
        """SwitchoverError unless the command runs on the host of this server, where repmgr gives it this name."""
        said = self.require(*STATUS)
        if f'"Node name","{node.name}"' not in said:
            raise SwitchoverError(f"repmgr.command does not run on the host of {node}, or repmgr gives that another name: node status says {said}")


class RepmgrSwitchover(ManagedSwitchover):
    """`old` and `new` have the names of repmgr's nodes."""

    def __init__(self, old: Node, new: Node, poolers: Sequence[PgBouncer], limits: Limits, repmgr: Repmgr) -> None:
        super().__init__(old, new, poolers, limits)
        self._repmgr = repmgr
        self._incomplete = ""

    def _require_manager_ready(self) -> None:
        self._repmgr.require_of(self.new)
        self._repmgr.require(*SWITCH, "--dry-run")

    def _exchange(self) -> str:
        try:
            status, said = self._repmgr.run(*SWITCH, seconds=WHOLE_SECONDS)
        except SwitchoverError as error:
            status, said = INCOMPLETE, str(error)
        self._incomplete = f"repmgr ended with {status}: {said}" if status else ""
        return "" if status in (0, INCOMPLETE) else self._incomplete

    def _finish(self) -> None:
        """Clients go on already. repmgr has the old primary follow."""
        if self._exchanging is not None:
            self._exchanging.join(WHOLE_SECONDS)
        if self._incomplete:
            self.result.warnings.append(f"{self._incomplete}. See repmgr cluster show, and make {self.old} a standby with repmgr node rejoin")


class RepmgrNode(Node):
    """A standby that repmgr promotes."""

    def __init__(self, name: str, login: Login, address: Server, repmgr: Repmgr) -> None:
        super().__init__(name, login, address)
        self.repmgr, self.failed = repmgr, ""
        self._promoting: threading.Thread | None = None

    @classmethod
    def driven_by(cls, repmgr: Repmgr, node: Node) -> RepmgrNode:
        """The same server."""
        return cls(node.name, node.login(), node.address, repmgr)

    def promote(self) -> None:
        """See `Node.promote`. repmgr notifies other nodes after this server takes writes, which no client waits for."""
        self._promoting = threading.Thread(target=self._promote, daemon=True)
        self._promoting.start()
        while self._promoting.is_alive() and self.is_in_recovery():
            time.sleep(PAUSE_SECONDS)
        if self.failed and self.is_in_recovery():
            raise PostgresqlError(self.failed, NOT_READY)

    def wait_for_repmgr(self) -> None:
        """Until it has reconfigured the other standbys."""
        if self._promoting is not None:
            self._promoting.join(WHOLE_SECONDS)

    def _promote(self) -> None:
        self.failed = ""
        try:
            self.repmgr.require(*PROMOTE, "--siblings-follow")
        except SwitchoverError as error:
            self.failed = str(error)


class RepmgrFailover(Failover):
    """`new` is a `RepmgrNode`."""

    new: RepmgrNode

    def _survey_new(self) -> None:
        super()._survey_new()
        repmgr = self.new.repmgr
        repmgr.require_of(self.new)
        if repmgr.run(*DAEMON)[0] == ACTIVE:
            raise SwitchoverError(f"repmgrd runs beside {self.new} and may promote a standby by itself: wait for it, or pause it (repmgr service pause)")
        repmgr.require(*PROMOTE, "--dry-run")

    def _finish(self) -> None:
        super()._finish()
        self.new.wait_for_repmgr()
        if self.new.failed:
            self.result.warnings.append(f"{self.new} takes writes, and {self.new.failed}: see repmgr cluster show")
