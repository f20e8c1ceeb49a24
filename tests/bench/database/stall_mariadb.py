# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long others wait in MariaDB while a migration does not get its lock, as in stall.py: its driver knows no asyncio, so each session is a thread."""

from __future__ import annotations

import queue
import threading
import time

import pymysql

from .stall import SESSIONS, WARM_UP_SECONDS, SLOW_MS, STATEMENTS, Stall, begin_controller
from .tenancy import MariadbTenancy

READ_ALL, HOW = "SELECT count(*) FROM orders", "SELECT attempts FROM alwayson_migration WHERE step = '001_blocked' AND status = 'applied'"


def measure_stall(tenancy: MariadbTenancy, database: str, seconds: float, rate: float) -> Stall:
    """Block the ALTER by a transaction of so many seconds."""
    with _Service(tenancy, database, rate) as service:
        time.sleep(WARM_UP_SECONDS)
        with tenancy.session(database) as blocker, blocker.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(READ_ALL)
            controller = begin_controller(tenancy.login_options(), database, seconds)
            began = time.monotonic()
            time.sleep(seconds)
            cursor.execute("COMMIT")
        freed = time.monotonic()
        said = controller.communicate()
        ended = time.monotonic()
    if controller.returncode:
        raise SystemExit(f"the migration failed: {said[1]}")
    rest = [wait for at, wait in service.waits if at < began]
    beside = [wait for at, wait in service.waits if began <= at <= ended]
    ((attempts,),) = tenancy.rows(database, HOW)
    return Stall(len(beside), service.errors, max(rest), max(beside), sum(wait > SLOW_MS for wait in beside), attempts, ended - freed)


class _Service:
    """Statements at a fixed rate, in `SESSIONS` sessions, while the block runs. `waits`: when each was to begin, and milliseconds from then to its end."""

    def __init__(self, tenancy: MariadbTenancy, database: str, rate: float) -> None:
        self._sessions = [tenancy.session(database) for _session in range(SESSIONS)]
        self._rate = rate
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._schedule), *[threading.Thread(target=self._work, args=(one,)) for one in self._sessions]]
        self.waits: list[tuple[float, float]] = []
        self.errors = 0

    def __enter__(self) -> _Service:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _schedule(self) -> None:
        started, number = time.monotonic(), 0
        while not self._over.is_set():
            due = started + number / self._rate
            time.sleep(max(0.0, due - time.monotonic()))
            self._queue.put((due, STATEMENTS[number % len(STATEMENTS)].format(number=number % 200 + 1)))
            number += 1
        for _session in self._sessions:
            self._queue.put(None)

    def _work(self, one: pymysql.Connection) -> None:
        with one, one.cursor() as cursor:
            while (task := self._queue.get()) is not None:
                due, statement = task
                try:
                    cursor.execute(statement)
                except pymysql.MySQLError:
                    self.errors += 1
                self.waits.append((due, (time.monotonic() - due) * 1000))
