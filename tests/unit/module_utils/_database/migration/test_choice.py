# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.batch import (
    Batch, Column, cursor_after, doubts, next_batch, until_nothing_is_left,
)
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.choice import plan_of, reads_what_it_changes
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import Locks, MigrationError, Pace, Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration.dialect import MARIADB
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration.step import MariadbStep
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.dialect import POSTGRESQL
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.step import PostgresqlStep
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.migration.dialect import SQLITE
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.migration.step import SqliteStep

SOME = "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL LIMIT 10)"
MOVE = "WITH moved AS (DELETE FROM old WHERE id IN (SELECT id FROM old ORDER BY id LIMIT 9) RETURNING *) INSERT INTO new SELECT * FROM moved"
COPY = "INSERT INTO new SELECT id, v FROM old WHERE id > :after ORDER BY id LIMIT 9"
PAIR = "SELECT id FROM t WHERE id > :after ORDER BY id LIMIT 9;\nUPDATE t SET a = 1 WHERE id > :after AND id <= :last"
KEY = Column(True, True, True)


@pytest.mark.parametrize(
    ("script", "dialect", "query"),
    [
        (SOME, POSTGRESQL, "SELECT id FROM t WHERE a IS NULL LIMIT 10"),
        (SOME.replace("10)", "10 FOR UPDATE SKIP LOCKED)"), POSTGRESQL, "SELECT id FROM t WHERE a IS NULL LIMIT 10 FOR UPDATE"),
        (SOME.replace("IN (SELECT", "= ANY (SELECT").replace("LIMIT 10", "FETCH FIRST 10 ROWS ONLY"), POSTGRESQL,
         "SELECT id FROM t WHERE a IS NULL FETCH FIRST 10 ROWS ONLY"),
        # The value of a column is not what chooses the rows.
        (SOME.replace("a = 1", "a = (SELECT b FROM c ORDER BY b LIMIT 1)"), POSTGRESQL, "SELECT id FROM t WHERE a IS NULL LIMIT 10"),
        (MOVE + " ON CONFLICT DO NOTHING", POSTGRESQL, "SELECT id FROM old ORDER BY id LIMIT 9"),
        ("INSERT INTO n SELECT o.* FROM o JOIN p ON p.id = o.id WHERE NOT EXISTS (SELECT FROM n LIMIT 1) LIMIT 9 ON CONFLICT DO NOTHING RETURNING 1",
         POSTGRESQL, "SELECT o.* FROM o JOIN p ON p.id = o.id WHERE NOT EXISTS (SELECT FROM n LIMIT 1) LIMIT 9"),
        ("WITH a AS (SELECT 1 AS id), x AS (SELECT 2), c AS MATERIALIZED (SELECT t.id FROM t JOIN a USING (id) LIMIT 9) UPDATE t SET b = 1 FROM c",
         POSTGRESQL, "WITH a AS (SELECT 1 AS id) SELECT t.id FROM t JOIN a USING (id) LIMIT 9"),
        ("WITH RECURSIVE a AS (SELECT 1 AS id) INSERT INTO n SELECT * FROM a LIMIT 9", POSTGRESQL,
         "WITH RECURSIVE a AS (SELECT 1 AS id) SELECT * FROM a LIMIT 9"),
        ("MERGE INTO t USING (SELECT * FROM s WHERE done IS NULL LIMIT 9) AS s ON s.id = t.id WHEN MATCHED THEN UPDATE SET a = s.a", POSTGRESQL,
         "SELECT * FROM s WHERE done IS NULL LIMIT 9"),
        ("UPDATE LOW_PRIORITY t SET a = 1, b = 2 WHERE a IS NULL ORDER BY id LIMIT 9", MARIADB, "SELECT * FROM t WHERE a IS NULL ORDER BY id LIMIT 9"),
        ("DELETE IGNORE FROM t WHERE `limit` > 5 LIMIT 9", MARIADB, "SELECT * FROM t WHERE `limit` > 5 LIMIT 9"),
        ("INSERT IGNORE INTO n SELECT * FROM o WHERE a LIMIT 9 ON DUPLICATE KEY UPDATE b = 1", MARIADB, "SELECT * FROM o WHERE a LIMIT 9"),
        ("INSERT OR IGNORE INTO n SELECT * FROM o LIMIT 9", SQLITE, "SELECT * FROM o LIMIT 9"),
    ],
)
def test_what_chooses_the_rows_of_a_batch(script, dialect, query):
    assert plan_of(f"-- why\n{script};", dialect).choice.sql == query


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE t SET a = (SELECT b FROM c LIMIT 1) WHERE a IS NULL",
        "UPDATE t SET a = 1 WHERE EXISTS (SELECT 1 FROM c LIMIT 1)",
        "UPDATE t SET a = 1 WHERE id NOT IN (SELECT id FROM c LIMIT 9)",
        "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM a LIMIT 5) OR id IN (SELECT id FROM b LIMIT 5)",
        "WITH gone AS (DELETE FROM o RETURNING id), c AS (SELECT id FROM gone LIMIT 9) UPDATE t SET a = 1 FROM c WHERE c.id = t.id",
    ],
)
def test_what_cannot_be_reported_is_said_with_the_cure(script):
    assert plan_of(script, POSTGRESQL) is None
    (why,) = doubts([PostgresqlStep("2.0.0", "backfill", "001_a", f"-- alwayson: batch\n{script}")], None)
    assert "the query that chooses the rows of a batch cannot be identified" in why and "-- alwayson: batch after 0, and two statements" in why


def test_rows_are_stable_when_they_are_locked_as_they_are_chosen():
    locked = SOME.replace("10)", "10 FOR NO KEY UPDATE)")
    assert plan_of(locked, POSTGRESQL).is_stable and not plan_of(SOME, POSTGRESQL).is_stable
    for other in (locked.replace("NO KEY UPDATE", "SHARE"), locked.replace("UPDATE)", "UPDATE OF u)"), locked.replace("FROM t WHERE", "FROM u AS t WHERE"),
                  locked.replace("FROM t WHERE", "FROM t, u WHERE")):
        assert not plan_of(other, POSTGRESQL).is_stable


@pytest.mark.parametrize(
    ("script", "is_so"),
    [
        (SOME, True),
        (SOME.replace("LIMIT 10", "FOR UPDATE"), False),
        ("UPDATE t SET a = 1 WHERE a IS NULL", False),
        ("SELECT 1; DELETE FROM s.t AS x WHERE id NOT IN (SELECT min(id) FROM t GROUP BY a)", True),
        ("DELETE FROM t WHERE id IN (SELECT id FROM u)", False),
        ("UPDATE t SET a = x.a FROM (SELECT id, count(*) AS a FROM u JOIN t USING (id) GROUP BY id) AS x WHERE x.id = t.id", True),
        ("UPDATE t SET a = 1; SELECT * FROM t", False),
        ("INSERT INTO t SELECT * FROM t WHERE a ON CONFLICT (id) DO UPDATE SET a = 2", True),
    ],
)
def test_a_statement_that_changes_what_it_has_read(script, is_so):
    assert reads_what_it_changes(script, POSTGRESQL) is is_so


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (COPY, ""),
        (PAIR, ""),
        (SOME.replace("a IS NULL", "t.id > :after AND b ORDER BY t.id"), ""),
        (SOME.replace("a IS NULL", "id > :after"), "is not sorted by its cursor"),
        (SOME.replace("a IS NULL", "id > :after ORDER BY id DESC"), "is not sorted by its cursor"),
        (SOME.replace("a IS NULL", "id > :after ORDER BY b, id"), "is not sorted by its cursor"),
        (SOME.replace("a IS NULL", "id >= :after ORDER BY id"), "has to be a plain column that is larger than :after"),
        (SOME.replace("a IS NULL", "id + 0 > :after ORDER BY id"), "has to be a plain column that is larger than :after"),
        (SOME.replace("a IS NULL", "b OR id > :after ORDER BY id"), "has to be a plain column that is larger than :after"),
        (SOME.replace("10)", "10) AND id > :after"), "has to compare one column with :after, once"),
        (SOME.replace("a IS NULL", "at > :after ORDER BY at"), "has to select its cursor, the column at"),
        (SOME.replace("SELECT id FROM t WHERE a IS NULL", "SELECT order_id, id FROM l WHERE id > :after ORDER BY id"), "so one key can be in two batches"),
        (COPY.replace("FROM old WHERE", "FROM old JOIN x USING (id) WHERE").replace("id > :after", "old.id > :after"), "its query joins tables"),
        (COPY.replace("FROM old WHERE", "FROM old JOIN x USING (id) WHERE"), "the table of the column id is not clear"),
        (PAIR.replace("id > :after AND id <=", "id <="), "has to change the rows behind :after up to :last"),
        (PAIR.replace("<= :last", "< :last"), "has to change the rows behind :after up to :last"),
        (PAIR.replace("> :after ORDER", "> :after AND a IS NULL ORDER"), "rows that the first one has not chosen: repeat the condition in it (a is null)"),
        (PAIR.replace("> :after", "> :after AND a IS NULL"), ""),
    ],
)
@pytest.mark.parametrize("kind", [PostgresqlStep, SqliteStep])
def test_a_cursor_that_could_pass_rows_by_is_refused(kind, script, why):
    reported = doubts([kind("2.0.0", "backfill", "001_a", f"-- alwayson: batch after 0\n{script}")], lambda _table, _column: KEY)
    assert [why in text and text.startswith("backfill step 001_a of 2.0.0: ") for text in reported] == ([True] if why else [])


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (KEY, None),
        (None, "is no column of a table"),
        (KEY._replace(is_unique=False), "has no unique index of its own"),
        (KEY._replace(is_never_null=False), "may be null"),
        (KEY._replace(is_ordered=False, type="timestamp"), "is timestamp, which a clock sets"),
    ],
)
@pytest.mark.parametrize("kind", [PostgresqlStep, SqliteStep, MariadbStep])
def test_a_cursor_is_a_unique_column(kind, column, why):
    script = PAIR if kind is MariadbStep else SOME.replace("a IS NULL", "id > :after ORDER BY id")
    step = kind("2.0.0", "backfill", "001_a", f"-- alwayson: batch after 0\n{script}")
    if kind is MariadbStep and column and not column.is_unique:
        # Two statements change all rows up to a value, so that none is cut off.
        why = None
    reported = doubts([step], lambda table, name: column if (table, name) == (("t",), "id") else KEY)
    assert len(reported) == bool(why) and all(f"cursor-not-unique: its cursor t.id {why}" in text for text in reported)
    accepted = kind("2.0.0", "backfill", "001_a", f"-- alwayson: batch after 0\n-- alwayson: accept cursor-not-unique\n{script}")
    # What a step before makes, is looked at when that step is applied.
    before = kind("2.0.0", "backfill", "000_a", "CREATE UNIQUE INDEX i ON t (id)")
    assert doubts([accepted], lambda _table, _name: column) == doubts([before, step], lambda _table, _name: column) == []


class Rows:
    """A table in which a statement changes these numbers of rows, one after the other, while the query finds these."""

    def __init__(self, changes, chosen):
        self.changes, self.chosen, self.said = list(changes), list(chosen), []

    def rows(self, sql):
        self.said.append(sql)
        return [] if sql.startswith("EXPLAIN") else self.chosen.pop(0)

    def count(self, sql):
        self.said.append(sql)
        return self.changes.pop(0)

    def run(self, script, after=None):
        """Batches until nothing is left: what they are."""
        directive = "batch" if after is None else f"batch after {after}"
        step, done, progress = PostgresqlStep("2.0.0", "backfill", "001_a", f"-- alwayson: {directive}\n{script}"), [], {}

        def batch(before):
            done.append(next_batch(step, progress, self.rows, self.count, before))
            progress.update({} if done[-1].after is None else {"after": done[-1].after})
            return done[-1]

        until_nothing_is_left(step, Pace(Policy(batch_pause_ms=0)), None, batch)
        return done


def test_a_step_ends_when_nothing_is_chosen_and_not_when_nothing_was_changed():
    # The rows that were moved are there already, twice; then some are not.
    table = Rows([0, 0, 5, 0], [[(10,)], [(20,)], []])
    assert table.run(MOVE) == [Batch(left=table_sum((10,))), Batch(left=table_sum((20,))), Batch(5), Batch(is_last=True)]


def table_sum(*rows):
    return hashlib.sha256(repr(list(rows)).encode()).hexdigest()


def test_a_step_that_chooses_rows_and_changes_none_is_ended_by_name():
    table = Rows([3, 0, 0], [[(1,)], [(1,)]])
    with pytest.raises(MigrationError, match=r"backfill step 001_a of 2.0.0 chooses rows and changes none of them.*Put the condition into that query"):
        table.run(SOME)


def test_a_cursor_goes_on_by_what_was_chosen():
    table = Rows([0, 7, 0], [[(9,)], [(18,)], [(20,)], []])
    assert [(batch.rows, batch.after, batch.is_last) for batch in table.run(COPY, 0)] == [(0, "9", False), (7, "18", False), (0, "20", False), (0, "20", True)]
    assert [sql for sql in table.said if sql.startswith("SELECT")][1] == (
        'SELECT chosen."id" FROM (SELECT id, v FROM old WHERE id > 9 ORDER BY id LIMIT 9) AS chosen ORDER BY 1 DESC LIMIT 1')
    table = Rows([4], [[(9,)], []])
    table.run(PAIR, 0)
    assert "UPDATE t SET a = 1 WHERE id > 0 AND id <= 9" in table.said


def test_what_a_cursor_goes_on_by():
    step = PostgresqlStep("2.0.0", "backfill", "001_a", "x")
    uuid = "0b5a5f0e-5c1b-4f5e-9d7a-0123456789ab"
    assert cursor_after(step, [7]) == "7" and cursor_after(step, [uuid]) == uuid
    for value in (None, "a", b"b"):
        with pytest.raises(MigrationError, match="has a cursor of texts or nulls"):
            cursor_after(step, [value])


def test_a_conflict_is_tried_again_at_once_and_told_with_its_cure():
    class Conflicts(Locks):
        is_worth_another_attempt = is_conflict = staticmethod(lambda _error: True)

    def fail(_attempt, _timeout):
        raise PostgresqlError("could not serialize access", "40001")

    slept = []
    pace = Pace(Policy(attempts=3, retry_delay_ms=500, batch_pause_ms=20), sleep=slept.append)
    with pytest.raises(MigrationError, match="Other sessions change the same rows: change fewer at a time, or lock the rows when they are chosen"):
        pace.until_it_gets_its_locks(Conflicts(), "a step", fail)
    assert slept == [0.02, 0.02]
