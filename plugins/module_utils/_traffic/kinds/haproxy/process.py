# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of an HAProxy that takes new connections, and with a master process the old workers that a reload has left."""

from __future__ import annotations

from ...._host.patience import Patience, UnavailableError
from . import words
from .runtime import ANSWER_SECONDS, CONNECT_SECONDS, HaproxyUnavailableError, Master, Runtime
from .stats import process_of
from .workers import OldWorkers


class Process(Runtime):
    """The process that answers at `endpoint`.

    :param master_endpoint: the master process's socket, where reloads leave old workers.
    """

    def __init__(self, name: str, endpoint: str, master_endpoint: str | None = None, connect_seconds: float = CONNECT_SECONDS,
                 answer_seconds: float = ANSWER_SECONDS, patience: Patience | None = None) -> None:
        super().__init__(name, endpoint, connect_seconds, answer_seconds, patience)
        master = Master(f"the master process of {name}", master_endpoint, answer_seconds=answer_seconds) if master_endpoint else None
        self._old_workers = OldWorkers(master.ask_once, master.tell_once) if master else None

    def ask_current(self, line: str) -> str:
        """The answer of the process that takes new connections to a line that only reads. The master, where there is one, shows which process that is."""
        if self._old_workers is None:
            return self.ask(line)
        old_workers = self._old_workers
        return self.patience.call(lambda: self._ask_current_once(line, old_workers))

    def _ask_current_once(self, line: str, old_workers: OldWorkers) -> str:
        answer, info = words.first_answer(self.ask_once(f"{line};show info"))
        try:
            old_workers.require_current(process_of(info))
        except HaproxyUnavailableError:
            raise
        except UnavailableError as error:
            raise self.unavailable(str(error)) from error
        return answer

    def tell_old_workers(self, line: str) -> None:
        """Have the workers that a reload left carry out a command on a map: each connection that they keep open may bring a last request."""
        old_workers = self._old_workers
        if old_workers:
            self.patience.call(lambda: old_workers.tell(line))
