# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long others wait while a migration does not get its lock: statements at a fixed rate beside an ALTER that a long transaction blocks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login

from .tenancy import PostgresqlTenancy
from .tenants import session

CONTROLLER = Path(__file__).with_name("controller.py")
SESSIONS = 16
SLOW_MS = 100
WARM_UP_SECONDS = 3
STATEMENTS = ("SELECT count(*) FROM orders WHERE id <= 20", "INSERT INTO orders (product, quantity) VALUES (1, 1)",
              "UPDATE orders SET taken = now() WHERE id = {number}")


@dataclass(frozen=True)
class Stall:
    """`rest_ms`: the longest wait of a statement before the migration began, `longest_ms` beside it. The ALTER was applied so many seconds after its way
    was free, at that attempt."""

    statements: int
    errors: int
    rest_ms: float
    longest_ms: float
    slow: int
    attempts: int
    seconds_after: float

    def __str__(self) -> str:
        return (f"{self.statements:,} statements beside a blocked ALTER, {self.errors} failed: longest wait {self.longest_ms:.0f} ms ({self.rest_ms:.0f} ms "
                f"before it), {self.slow} over {SLOW_MS} ms; applied at attempt {self.attempts}, {self.seconds_after:.1f} s after the way was free")


def measure_stall(login: Login, database: str, seconds: float, rate: float) -> Stall:
    """Block the ALTER by a transaction of so many seconds."""
    return asyncio.run(_Stalling(login, database, seconds, rate).run())


class _Stalling:
    def __init__(self, login: Login, database: str, seconds: float, rate: float) -> None:
        self.login, self.database, self.seconds, self.rate = login, database, seconds, rate
        # (when it was to begin, milliseconds from then to its end)
        self.waits: list[tuple[float, float]] = []
        self.errors = 0
        self.over = False

    async def run(self) -> Stall:
        queue: asyncio.Queue = asyncio.Queue()
        sessions = [await psycopg.AsyncConnection.connect(**self.login.keywords(self.database), password=self.login.password, autocommit=True)
                    for _session in range(SESSIONS)]
        work = [asyncio.create_task(self._work(queue, one)) for one in sessions]
        schedule = asyncio.create_task(self._schedule(queue))
        await asyncio.sleep(WARM_UP_SECONDS)
        # One that only has read is enough, and as it is what nobody thinks of.
        with session(self.login, self.database) as blocker:
            blocker.execute("BEGIN; SELECT count(*) FROM orders")
            controller = await asyncio.to_thread(begin_controller, PostgresqlTenancy(self.login).login_options(), self.database, self.seconds)
            began = time.monotonic()
            await asyncio.sleep(max(0.0, self.seconds - (time.monotonic() - began)))
            blocker.execute("COMMIT")
        freed = time.monotonic()
        said = await asyncio.to_thread(controller.communicate)
        ended = time.monotonic()
        self.over = True
        await schedule
        for _session in sessions:
            queue.put_nowait(None)
        await asyncio.gather(*work)
        for one in sessions:
            await one.close()
        if controller.returncode:
            raise SystemExit(f"the migration failed: {said[1]}")
        return self._result(began, ended, ended - freed)

    def _result(self, began: float, ended: float, seconds_after: float) -> Stall:
        rest = [wait for at, wait in self.waits if at < began]
        beside = [wait for at, wait in self.waits if began <= at <= ended]
        with session(self.login, self.database) as tenant:
            (attempts,) = tenant.execute("SELECT attempts FROM alwayson.migration WHERE step = '001_blocked' AND status = 'applied'").fetchone()
        return Stall(len(beside), self.errors, max(rest), max(beside), sum(wait > SLOW_MS for wait in beside), attempts, seconds_after)

    async def _schedule(self, queue: asyncio.Queue) -> None:
        """Hand out statements at their times, however long those before them take."""
        started, number = time.monotonic(), 0
        while not self.over:
            due = started + number / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            queue.put_nowait((due, STATEMENTS[number % len(STATEMENTS)].format(number=number % 200 + 1)))
            number += 1

    async def _work(self, queue: asyncio.Queue, one: psycopg.AsyncConnection) -> None:
        while (task := await queue.get()) is not None:
            due, statement = task
            try:
                await one.execute(statement)
            except psycopg.Error:
                self.errors += 1
            self.waits.append((due, (time.monotonic() - due) * 1000))


def begin_controller(login_options: dict, database: str, seconds: float) -> subprocess.Popen:
    """A controller that is at work on the ALTER, and tries for longer than so many seconds."""
    options = {
        **login_options, "databases": [database],
        "release": "9.0.0", "phase": "expand", "attempts": int(seconds * 2) + 150,
        "steps": [{"name": "001_blocked", "sql": "ALTER TABLE orders ADD COLUMN blocked integer"}],
    }
    process = subprocess.Popen([sys.executable, str(CONTROLLER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write(json.dumps([options]))
    process.stdin.flush()
    process.stdin.close()
    # communicate() would write to it otherwise.
    process.stdin = None
    process.stdout.readline()
    return process
