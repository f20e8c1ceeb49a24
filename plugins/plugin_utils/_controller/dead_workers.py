# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's worker processes that ended without an answer, or that are to end. Each leads a process group: what it runs on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Callable, NamedTuple
from weakref import WeakSet


class DeadWorker(NamedTuple):
    """A worker that ended with `exitcode` while it ran `task` for `host`."""

    host: Any
    task: Any
    pid: int
    exitcode: int
    seen: float


class DeadWorkers:
    """Notices workers that died, and ends what they left behind.

    :param patience: seconds that a process has to end after SIGTERM before it is killed, and that an answer may still be on its way.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._known: WeakSet[Any] = WeakSet()
        self._dead: list[DeadWorker] = []
        self._asked_to_end: dict[int, float] = {}

    def __contains__(self, host_name: object) -> bool:
        """Whether a worker that died ran a task for this host, and may still have answered."""
        return any(dead.host.name == host_name for dead in self._dead)

    def end(self, worker: Any) -> None:
        """Ask the worker to end, and the programs that it waits for on this machine with it."""
        self._asked_to_end[worker.pid] = self._clock()
        worker.terminate()

    def look(self, workers: Iterable[Any]) -> None:
        """Notice who has died, before the engine gives the place to another worker; kill who does not end when asked to."""
        now = self._clock()
        for worker in workers:
            if worker is None or worker in self._known:
                continue
            if worker.exitcode is None:
                if now - self._asked_to_end.get(worker.pid, now) > self._patience:
                    worker.kill()
            elif worker.exitcode != 0:
                self._known.add(worker)
                self._dead.append(DeadWorker(worker._host, worker._task, worker.pid, worker.exitcode, now))
                self._asked_to_end.pop(worker.pid, None)
                _signal_group(worker.pid, signal.SIGTERM)

    def gone(self) -> list[DeadWorker]:
        """Those that have been dead for long enough, each once; nothing of their process groups remains."""
        now = self._clock()
        ripe = [dead for dead in self._dead if now - dead.seen > self._patience]
        self._dead = [dead for dead in self._dead if dead not in ripe]
        for dead in ripe:
            _signal_group(dead.pid, signal.SIGKILL)
        return ripe


def _signal_group(leader: int, number: int) -> None:
    """What is left of a process group; its number is not given to another process as long as anything is."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
