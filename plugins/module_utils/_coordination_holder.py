# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process on the controller that holds a coordination lock for as long as the controller's process lives.

It gets its order as one line of JSON on its standard input, so that no password is on a command line, and answers with one line:
{"taken": true}, {"taken": false}, {"missing": "tooz"} or {"error": "..."}. Only after the first of these it stays.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from ansible_collections.alwayson.upgrade.plugins.module_utils._controller import has_ended

POLL_SECONDS = 1.0
# How often it is made sure that the lock is still held. Others who find it free wait for longer, see _coordination.
CHECK_SECONDS = 2.0
# How long giving it back may take before the process ends anyway, which gives it back too.
END_SECONDS = 10
# What libpq, PostgreSQL's client, reads. Its server finds a dead controller within half a minute, and does not end a session that only holds a lock.
LIBPQ = {
    "PGCONNECT_TIMEOUT": "10",
    "PGAPPNAME": "alwayson.upgrade",
    "PGOPTIONS": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c idle_in_transaction_session_timeout=0",
}


class Keeper:
    """The lock called `name` at `url`, under two names made of `member`: while one holds it, the other can tell whether it is held."""

    def __init__(self, coordination: Any, url: str, name: str, member: str) -> None:
        self._name = name.encode("utf-8")
        self._coordinators = [coordination.get_coordinator(url, f"{member}-{number}".encode("ascii")) for number in (0, 1)]
        self._holds = 0
        self._lock: Any = None

    def take(self) -> bool:
        """Take the lock; False when somebody else has it."""
        for coordinator in self._coordinators:
            coordinator.start(start_heart=True)
        return self._try(0)

    def look(self) -> None:
        """Take the lock again if it is free, because a service that was restarted has forgotten it."""
        self._try(1 - self._holds)

    def end(self) -> None:
        self._lock.release()
        for coordinator in self._coordinators:
            coordinator.stop()

    def _try(self, number: int) -> bool:
        lock = self._coordinators[number].get_lock(self._name)
        if not lock.acquire(blocking=False):
            return False
        self._lock, self._holds = lock, number
        return True


def main() -> None:
    """Take the order, answer, hold the lock. Never returns: a driver's threads must not keep the process, and with it the lock."""
    try:
        _serve(json.loads(sys.stdin.readline()))
    finally:
        os._exit(0)


def _serve(order: dict) -> None:
    for name, value in LIBPQ.items():
        os.environ.setdefault(name, value)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: ended.set())
    try:
        from tooz import coordination
    except ImportError:
        _answer(missing="tooz")
        return
    try:
        keeper = Keeper(coordination, order["url"], order["name"], order["member"])
        taken = keeper.take()
    # What a driver of any coordination service can raise is not known here; all of it means that the lock was not taken.
    except Exception as error:
        _answer(error=" ".join(f"{type(error).__name__}: {error}".split()))
        return
    _answer(taken=taken)
    if taken:
        _hold(keeper, order, ended)


def _hold(keeper: Keeper, order: dict, ended: threading.Event) -> None:
    """Hold the lock until somebody ends this, the controller has ended, or the time is over."""
    last_look = time.monotonic()
    give_up = last_look + order["seconds"]
    while not ended.wait(POLL_SECONDS) and time.monotonic() < give_up and not has_ended(order["pid"], order["started"]):
        if time.monotonic() - last_look >= CHECK_SECONDS:
            try:
                keeper.look()
            except Exception:
                # The service is away: the next look may find it again. Ending would give the lock up for good.
                pass
            last_look = time.monotonic()
    signal.alarm(END_SECONDS)
    try:
        keeper.end()
    except Exception:
        # The end of the process gives the lock back too.
        pass


def _answer(**answer: Any) -> None:
    """The one line to the controller, which then is not listened to any more, nor written to."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
