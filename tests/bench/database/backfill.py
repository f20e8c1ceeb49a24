# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backfill beside writers of the same rows: how many of their committed writes does it overwrite?

    build/venv/bin/python tests/bench/database/backfill.py --writes 10000
    build/venv/bin/python tests/bench/database/backfill.py --writes 10000 --engine mariadb

For each form of the batch step, writers set single rows in transactions that last some milliseconds, while the step fills in what has no value. It ends with
1 when a write is not there in the end. The control runs the same statement as a plain program would, in READ COMMITTED: it ends with 1 as well when that
overwrites nothing, for then nothing was measured. SQLite has one writer at a time, and no control.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import psycopg
import pymysql

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_engines
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_engines import ARGUMENTS
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration import apply as migration_apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration.engine import MariadbEngine
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration import batch as migration_batch
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.migration.engine import SqliteEngine
from bench.database.migrations import PLACES
from bench.database.tenancy import BUSY_SECONDS, Tenancy

ROWS, WRITERS, HOLD_SECONDS = 20_000, 4, 0.005
# SQLite has one writer at a time: the step has to come in between them.
SQLITE_HOLD_SECONDS, SQLITE_PAUSE_SECONDS = 0.001, 0.02
POLICY = Policy(attempts=600, retry_delay_ms=50, batch_pause_ms=20)
FILL = "-- alwayson: batch\nUPDATE orders SET channel = 'unknown'"
CHOSEN = "SELECT id FROM orders WHERE channel IS NULL ORDER BY id LIMIT 500"
AS_DOCUMENTED = f"{FILL} WHERE id IN ({CHOSEN} FOR UPDATE SKIP LOCKED)"
WITHOUT_LOCK = f"{FILL} WHERE id IN ({CHOSEN})"
DERIVED = f"{FILL} WHERE id IN (SELECT id FROM ({CHOSEN}) AS chosen)"
BY_CURSOR = ("-- alwayson: batch after 0\nSELECT id FROM orders WHERE id > :after AND channel IS NULL ORDER BY id LIMIT 500;\n"
             "UPDATE orders SET channel = 'unknown' WHERE id > :after AND id <= :last AND channel IS NULL")
OF_ITS_OWN = f"{FILL} WHERE channel IS NULL ORDER BY id LIMIT 500"
FORMS = {
    "postgresql": {"locked as they are chosen": AS_DOCUMENTED, "not locked": WITHOUT_LOCK, "cursor": BY_CURSOR},
    "mariadb": {"LIMIT of its own": OF_ITS_OWN, "sub-select": DERIVED, "cursor": BY_CURSOR},
    "sqlite": {"sub-select": WITHOUT_LOCK, "cursor": BY_CURSOR},
}
CONTROLS = {
    "postgresql": (WITHOUT_LOCK, lambda: mock.patch.object(migration_batch, "REPEATABLE_READ", "READ COMMITTED")),
    "mariadb": (DERIVED, lambda: mock.patch.object(migration_apply, "reads_what_it_changes", lambda *_script: False)),
}
BUSY = (psycopg.errors.OperationalError, pymysql.err.OperationalError, sqlite3.OperationalError)


class Count(NamedTuple):
    """Committed writes, and those that are not there in the end."""

    written: int
    overwritten: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--writes", type=int, default=10_000, help="committed writes beside each form of the step")
    parser.add_argument("--engine", choices=list(FORMS), default="postgresql")
    parser.add_argument("--seed", type=int, default=1, help="of the rows that are written")
    options = parser.parse_args()
    folder = REPOSITORY / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="backfill-", dir=folder) as place, PLACES[options.engine](Path(place)) as tenancy:
        name = str(Path(place) / "tenant.db") if options.engine == "sqlite" else "tenant"
        tenancy.create([name])
        scene = Scene(tenancy, options.engine, name, random.Random(options.seed))
        wrong = 0
        for form, sql in FORMS[options.engine].items():
            wrong += bool(printed(options.engine, form, scene.measure(sql, options.writes)).overwritten)
        if options.engine in CONTROLS:
            sql, as_it_was = CONTROLS[options.engine]
            with as_it_was():
                wrong += not printed(options.engine, "control, READ COMMITTED", scene.measure(sql, options.writes)).overwritten
        return int(bool(wrong))


def printed(engine: str, form: str, count: Count) -> Count:
    print(f"{engine}, {form}: {count.overwritten:,} of {count.written:,} committed writes overwritten", flush=True)
    return count


class Scene:
    """A tenant whose rows are filled in, round after round, while others write them."""

    def __init__(self, tenancy: Tenancy, engine: str, name: str, chance: random.Random) -> None:
        self.tenancy, self.name, self.chance, self.rounds = tenancy, name, chance, 0
        options = {key: value.get("default") for key, value in ARGUMENTS.items()}
        self.engine = _database_engines.of({**options, "engine": engine, **tenancy.login_options()}).migrations()

    def measure(self, sql: str, writes: int) -> Count:
        """Rounds until there were so many writes."""
        counts: list[Count] = []
        while sum(count.written for count in counts) < writes:
            counts.append(self._round(sql))
        return Count(*map(sum, zip(*counts)))

    def _round(self, sql: str) -> Count:
        self.rounds += 1
        self.tenancy.rows(self.name, "DROP TABLE IF EXISTS orders")
        self.tenancy.rows(self.name, "CREATE TABLE orders (id integer PRIMARY KEY, channel varchar(20))")
        self.tenancy.rows(self.name, f"INSERT INTO orders (id) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
                                     f"SELECT a.i + 1000 * (b.i - 1) FROM n AS a, n AS b WHERE b.i <= {ROWS // 1000}")
        steps = steps_of(f"{self.rounds}.0.0", "backfill", [{"name": "fill", "sql": sql}], self.engine.step)
        with self._writers() as committed:
            outcomes = Migrator(self.engine, steps, POLICY).migrate_all(survey(self.engine, [self.name], steps), 1)
        if report(outcomes):
            raise SystemExit(report(outcomes))
        kept = {number for (number,) in self.tenancy.rows(self.name, "SELECT id FROM orders WHERE channel = 'web'")}
        if self.tenancy.rows(self.name, "SELECT count(*) FROM orders WHERE channel IS NULL")[0][0]:
            raise SystemExit("rows are left without a value")
        return Count(len(committed), len(set(committed) - kept))

    @contextlib.contextmanager
    def _writers(self) -> Iterator[list[int]]:
        """Writers for the block; yields the rows that they have written and committed, which grow."""
        rows = list(range(1, ROWS + 1))
        self.chance.shuffle(rows)
        ended, committed = threading.Event(), []
        threads = [threading.Thread(target=_write, args=(self._session(), rows[number::WRITERS], ended, committed)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            yield committed
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def _session(self) -> Callable[[], Any]:
        """Opens a session that commits when it is told to."""
        login = getattr(self.tenancy, "login", None)
        if isinstance(self.engine, SqliteEngine):
            return lambda: sqlite3.connect(self.name, isolation_level=None, timeout=BUSY_SECONDS)
        if isinstance(self.engine, MariadbEngine):
            return lambda: pymysql.connect(**login.keywords(), database=self.name, autocommit=True)
        return lambda: psycopg.connect(**login.keywords(self.name), password=login.password, autocommit=True)


def _write(connect: Callable[[], Any], rows: list[int], ended: threading.Event, committed: list[int]) -> None:
    with contextlib.closing(connect()) as session, contextlib.closing(session.cursor()) as cursor:
        is_sqlite = isinstance(session, sqlite3.Connection)
        for row in rows:
            if ended.is_set():
                return
            try:
                cursor.execute("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
                cursor.execute(f"UPDATE orders SET channel = 'web' WHERE id = {row}")
                time.sleep(SQLITE_HOLD_SECONDS if is_sqlite else HOLD_SECONDS)
                cursor.execute("COMMIT")
                committed.append(row)
                time.sleep(SQLITE_PAUSE_SECONDS if is_sqlite else 0)
            except BUSY:
                with contextlib.suppress(*BUSY):
                    cursor.execute("ROLLBACK")


if __name__ == "__main__":
    sys.exit(main())
