# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old primary that another server has replaced: however it is started from now on, it comes up in recovery and takes no write.

``standby.signal`` in its data directory does that. A target of recovery that was left in its configuration, by a restore perhaps, could end the recovery:
the server is shut down there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..._host import programs
from ..._host.clock import Clock
from ..._host.waiting import wait_for
from ..auto_conf import FILE as AUTO
from ..data_directory import IN_RECOVERY, STANDBY, Control, DataDirectory

ACTION = re.compile(r"\s*recovery_target_action\b", re.IGNORECASE)
NO_PROMOTION = "recovery_target_action = 'shutdown'\n"
PAUSE_SECONDS = 0.05


class DatabaseFenceError(Exception):
    """The server was not fenced; the message says why, and what is left."""


@dataclass(frozen=True)
class Wanted:
    """Which server is meant. What is None is not compared; `below_timeline`: the new primary's, which an old one is never on."""

    system_identifier: str | None = None
    port: int | None = None
    below_timeline: int | None = None


class DatabaseFence:
    """:param stop_command: what stops the server when it runs as a primary; without it such a server is left alone."""

    def __init__(self, directory: DataDirectory, wanted: Wanted, stop_command: Sequence[str], timeout: float, clock: Clock = Clock()) -> None:
        self.directory, self.wanted, self.stop_command, self.timeout, self.clock = directory, wanted, list(stop_command), timeout, clock

    def survey(self) -> bool:
        """Whether it has to be fenced. DatabaseFenceError when it is another server, or runs as a primary and is not to be stopped; changes nothing."""
        control = self.directory.control()
        self._require_meant(control)
        if not self._takes_writes(control):
            return self.directory.server() is None and not self._is_fenced()
        if not self.stop_command:
            raise DatabaseFenceError(f"{self._named()} runs ({control.state}, process {self.directory.server()}) and is not a standby: stop it first, "
                                     "or give the stop_command of its service")
        return True

    def apply(self) -> None:
        """Have it fenced. First the files, so that a service manager that starts it again does no harm."""
        self.directory.write_text(STANDBY, "")
        self.directory.write_text(AUTO, without_promotion(self.directory.read_text(AUTO)))
        if self._takes_writes_after_a_while():
            self._stop()
        self._require_proof()

    def _require_meant(self, control: Control) -> None:
        wanted, named = self.wanted, self._named()
        if wanted.system_identifier is not None and wanted.system_identifier != control.system_identifier:
            raise DatabaseFenceError(f"{named} has the system identifier {control.system_identifier}, and {wanted.system_identifier} is to be fenced: "
                                     "it is another cluster. Correct data_directory or system_identifier")
        if wanted.port is not None:
            port = self.directory.port()
            if port is None:
                raise DatabaseFenceError(f"{named} does not tell its port, {wanted.port} or another one: it was stopped in order, and had none on its command "
                                         "line. Give system_identifier in place of port")
            if port != wanted.port:
                raise DatabaseFenceError(f"{named} listens on port {port}, and that on port {wanted.port} is to be fenced: correct data_directory or port")
        if wanted.below_timeline is not None and control.timeline >= wanted.below_timeline:
            raise DatabaseFenceError(f"{named} is on timeline {control.timeline}, and the new primary's is {wanted.below_timeline}: this is the new primary, "
                                     "or follows it. Run this on the host of the old one")

    def _takes_writes(self, control: Control) -> bool:
        """Whether its server runs, and is not seen to be a standby."""
        return self.directory.server() is not None and not (control.state == IN_RECOVERY and self.directory.is_standby())

    def _takes_writes_after_a_while(self) -> bool:
        """One that was just started has not got to its recovery yet; one that is a primary stays one."""
        if self.directory.server() is None:
            return False
        if self.stop_command:
            return self._takes_writes(self.directory.control())
        return not wait_for(lambda: not self._takes_writes(self.directory.control()), self.timeout, PAUSE_SECONDS, self.clock.steady, self.clock.sleep)

    def _stop(self) -> None:
        named = self._named()
        if not self.stop_command:
            raise DatabaseFenceError(f"{named} was started while it was being fenced, as a primary. Stop it: when it is started again it takes no writes")
        done = programs.run(self.stop_command)
        if done.status:
            raise DatabaseFenceError(f"stop_command ended with {done.status}: {done.said}. {named} runs on as a primary, "
                                     "and is a standby when it is started the next time. Stop it")
        if not wait_for(lambda: not self._takes_writes(self.directory.control()), self.timeout, PAUSE_SECONDS, self.clock.steady, self.clock.sleep):
            raise DatabaseFenceError(f"{named} did not stop within {self.timeout:g} s: end it. When it is started again it takes no writes")

    def _require_proof(self) -> None:
        if not self._is_fenced() or self._takes_writes(self.directory.control()):
            raise DatabaseFenceError(f"{self._named()} has lost {STANDBY} while it was being fenced: another program or account works on it. "
                                     "Keep its server stopped")

    def _is_fenced(self) -> bool:
        actions = [line for line in self.directory.read_text(AUTO).splitlines(keepends=True) if ACTION.match(line)]
        return self.directory.is_standby() and actions == [NO_PROMOTION]

    def _named(self) -> str:
        return f"the server in {self.directory.path}"


def without_promotion(text: str) -> str:
    """The text of postgresql.auto.conf with which no target of recovery makes a primary."""
    lines = [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]
    return "".join(line for line in lines if not ACTION.match(line)) + NO_PROMOTION
