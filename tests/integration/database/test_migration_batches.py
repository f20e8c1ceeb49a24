# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches in each kind of database: done when nothing is left to choose, no row passed by, and nothing overwritten that others commit meanwhile."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import MigrationError, Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of

QUICK = Policy(attempts=5, retry_delay_ms=20, batch_pause_ms=0, wait_seconds=5)
# A statement may wait for a row for as long as a writer holds it here.
PATIENT = Policy(lock_timeout_ms=5000, max_lock_timeout_ms=5000, attempts=20, retry_delay_ms=20, batch_pause_ms=10)
HOLD_SECONDS = 0.6
AFTER, BATCH = "-- alwayson: batch after 0\n", "-- alwayson: batch\n"
QUERY = "SELECT id, quantity FROM orders WHERE id > :after ORDER BY id LIMIT 40"
PAIR = AFTER + QUERY + ";\nINSERT {0} INTO copied SELECT id, quantity FROM orders WHERE id > :after AND id <= :last{1}"
COPIES = {
    "postgresql": (f"{AFTER}INSERT INTO copied {QUERY} ON CONFLICT DO NOTHING RETURNING id", PAIR.format("", " ON CONFLICT DO NOTHING")),
    "mariadb": (PAIR.format("IGNORE", ""),),
    "sqlite": (f"{AFTER}INSERT OR IGNORE INTO copied {QUERY} RETURNING id", PAIR.format("OR IGNORE", "")),
}
NULLS = "SELECT id FROM orders WHERE channel IS NULL ORDER BY id LIMIT 1000"
FILL = "UPDATE orders SET channel = 'unknown' WHERE id IN ({0})"
OVERWRITING = {
    "postgresql": (FILL.format(NULLS), FILL.format(NULLS + " FOR UPDATE"), FILL.format(NULLS + " FOR UPDATE SKIP LOCKED"),
                   f"WITH chosen AS ({NULLS}) UPDATE orders SET channel = 'unknown' FROM chosen WHERE chosen.id = orders.id"),
    "mariadb": (FILL.format(f"SELECT id FROM ({NULLS}) AS chosen"), FILL.format(f"SELECT id FROM ({NULLS} FOR UPDATE) AS chosen"),
                "UPDATE orders SET channel = 'unknown' WHERE channel IS NULL LIMIT 1000"),
}


def migrate(place, name, sql, policy=QUICK):
    planned = steps_of("2.0.0", "expand", [{"name": "001_step", "sql": sql}], place.engine.step)
    return Migrator(place.engine, planned, policy).migrate_all(survey(place.engine, [name], planned), 1)


@pytest.fixture
def places(request):
    """A tenant of a kind of database with a table in which the first 150 rows are already."""

    def make(kind):
        place = request.getfixturevalue(f"{kind}_place")
        (name,) = place.make(1)
        place.run("CREATE TABLE copied (id integer PRIMARY KEY, quantity integer)", name)
        place.run("INSERT INTO copied SELECT id, quantity FROM orders WHERE id <= 150", name)
        return place, name

    return make


@pytest.mark.parametrize(("kind", "sql"), [(kind, sql) for kind, scripts in COPIES.items() for sql in scripts])
def test_batches_whose_rows_are_there_already_do_not_end_the_step(places, kind, sql):
    place, name = places(kind)
    outcomes = migrate(place, name, sql)
    assert report(outcomes) == "" and place.value("SELECT count(*) FROM copied", name) == 500
    ((row,),) = [outcome.rows for outcome in outcomes.values()]
    assert (row["batches"], row["rows"]) == (13, 350)


def test_rows_that_are_moved_onto_others_do_not_end_the_step(places):
    place, name = places("postgresql")
    assert report(migrate(place, name, f"{BATCH}WITH moved AS (DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 100) RETURNING *) "
                                       "INSERT INTO copied SELECT id, quantity FROM moved ON CONFLICT DO NOTHING")) == ""
    assert place.rows("SELECT count(*), (SELECT count(*) FROM orders) FROM copied", name) == [(500, 0)]


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("postgresql", "UPDATE orders SET channel = 'x' WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 100) AND channel IS NULL"),
        ("sqlite", "UPDATE orders SET channel = 'x' WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 100) AND channel IS NULL"),
        ("mariadb", "UPDATE orders SET channel = 'x' WHERE id > 0 LIMIT 100"),
    ],
)
def test_a_step_that_leaves_rows_as_they_are_is_not_recorded_as_applied(places, kind, sql):
    place, name = places(kind)
    message = report(migrate(place, name, BATCH + sql))
    assert "expand step 001_step of 2.0.0 chooses rows and changes none of them" in message
    table = "alwayson.migration" if kind == "postgresql" else "alwayson_migration"
    assert place.rows(f"SELECT status, (SELECT count(*) FROM orders WHERE channel IS NOT NULL) FROM {table}", name) == [("begun", 100)]


@pytest.mark.parametrize("kind", sorted(COPIES))
@pytest.mark.parametrize(("column", "why"), [("code", "cursor-not-unique: its cursor orders.code has no unique index of its own"), ("number", "may be null"),
                                             ("at", "which a clock sets")])
def test_a_cursor_that_is_not_unique_is_refused_before_anything_is_done(places, kind, column, why):
    place, name = places(kind)
    place.run("ALTER TABLE orders ADD COLUMN code integer DEFAULT 1 NOT NULL", name)
    place.run("ALTER TABLE orders ADD COLUMN number integer", name)
    place.run("ALTER TABLE orders ADD COLUMN at timestamp NULL", name)
    for other in ("number", "at"):
        place.run(f"CREATE UNIQUE INDEX unique_{other} ON orders ({other})", name)
    query = f"SELECT {column} FROM orders WHERE {column} > :after ORDER BY {column} LIMIT 40"
    sql = f"{AFTER}UPDATE orders SET quantity = 0 WHERE {column} IN ({query})"
    if kind == "mariadb":
        sql = f"{AFTER}{query};\nUPDATE orders SET quantity = 0 WHERE {column} > :after AND {column} <= :last"
        if column == "code":
            place.run("ALTER TABLE orders MODIFY code integer", name)
            why = "may be null"
    with pytest.raises(MigrationError, match=f"nothing was applied anywhere.*{why}"):
        migrate(place, name, sql)
    assert place.value("SELECT count(*) FROM orders WHERE quantity = 0", name) == 0


@pytest.mark.parametrize("kind", sorted(COPIES))
def test_rows_that_share_a_value_are_changed_once_by_a_range(places, kind):
    place, name = places(kind)
    place.run("ALTER TABLE orders ADD COLUMN code integer DEFAULT 1 NOT NULL", name)
    place.run("UPDATE orders SET code = (id - 1) / 70 + 1, quantity = 0", name)
    outcomes = migrate(place, name, f"{AFTER}SELECT code FROM orders WHERE code > :after ORDER BY code LIMIT 100;\n"
                                    "UPDATE orders SET quantity = quantity + 1 WHERE code > :after AND code <= :last")
    assert report(outcomes) == "" and place.rows("SELECT quantity, count(*) FROM orders GROUP BY quantity", name) == [(1, 500)]


@pytest.mark.parametrize("kind", ["mariadb", "sqlite"])
def test_if_not_exists_does_not_take_another_index_of_that_name(places, kind):
    """PostgreSQL's are in test_migration_kinds."""
    place, name = places(kind)
    place.run("CREATE INDEX by_channel ON orders (channel)", name)
    sql = "-- why\nCREATE UNIQUE INDEX IF NOT EXISTS by_channel ON orders (channel);"
    message = report(migrate(place, name, sql))
    assert "expand step 001_step of 2.0.0: the index by_channel is there and is another one" in message
    drop = "DROP INDEX by_channel" + (" ON orders" if kind == "mariadb" else "")
    for statement in (drop, "CREATE UNIQUE INDEX `by_channel` on orders(channel)"):
        place.run(statement, name)
    assert report(migrate(place, name, sql)) == ""


@pytest.mark.parametrize("directive", [BATCH, "-- in one transaction\n"], ids=["batch", "transaction"])
@pytest.mark.parametrize(("kind", "sql"), [(kind, sql) for kind, scripts in OVERWRITING.items() for sql in scripts])
def test_what_somebody_commits_while_a_step_waits_for_the_row_is_not_overwritten(places, kind, sql, directive):
    place, name = places(kind)
    with contextlib.closing(place.server.connect(name)) as writer, contextlib.closing(writer.cursor()) as cursor, ThreadPoolExecutor() as pool:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE orders SET channel = 'web' WHERE id = 7")
        step = pool.submit(migrate, place, name, directive + sql, PATIENT)
        time.sleep(HOLD_SECONDS)
        cursor.execute("COMMIT")
        if directive != BATCH and "SKIP LOCKED" in sql:
            return
        assert report(step.result()) == ""
    assert place.rows("SELECT channel, count(*) FROM orders GROUP BY channel ORDER BY channel", name) == [("unknown", 499), ("web", 1)]


def test_a_row_that_is_held_is_not_left_out_by_skipping_it(places):
    place, name = places("postgresql")
    sql = BATCH + FILL.format(NULLS + " FOR UPDATE SKIP LOCKED")
    with place.server.connect(name) as holder:
        holder.execute("BEGIN; UPDATE orders SET quantity = 0 WHERE id = 7")
        message = report(migrate(place, name, sql, Policy(lock_timeout_ms=10, attempts=3, retry_delay_ms=10, batch_pause_ms=0)))
        assert "did not get its locks in 3 attempts" in message
        holder.execute("ROLLBACK")
    assert report(migrate(place, name, sql)) == "" and place.value("SELECT count(*) FROM orders WHERE channel = 'unknown'", name) == 500
