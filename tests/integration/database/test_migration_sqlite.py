# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is SQLite's own: one lock for all writers, foreign keys that a rebuild must not follow, databases that are files."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.command import command_step
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.session import SqliteError

QUICK = Policy(lock_timeout_ms=10, max_lock_timeout_ms=20, attempts=4, retry_delay_ms=10, batch_pause_ms=0)
FAMILY = """
CREATE TABLE parent (id integer PRIMARY KEY, name text); CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1, 1), (2, 2), (3, 2);
"""
REBUILD = """CREATE TABLE new_parent (id integer PRIMARY KEY, name text NOT NULL);
INSERT INTO new_parent SELECT * FROM parent{where};
DROP TABLE parent;
ALTER TABLE new_parent RENAME TO parent;"""


@pytest.fixture
def tenant(sqlite_place):
    (name,) = sqlite_place.make(1)
    with contextlib.closing(sqlite3.connect(name)) as session:
        session.executescript(FAMILY)
    return name


def migrate(place, name, sql, policy=QUICK):
    planned = steps_of("2.0.0", "expand", [{"name": "001_step", "sql": sql}], place.engine.step)
    return Migrator(place.engine, planned, policy).migrate_all(survey(place.engine, [name], planned), 1)


def only_row(outcomes):
    assert report(outcomes) == ""
    ((row,),) = [outcome.rows for outcome in outcomes.values()]
    return row


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_another_writer_is_waited_for_and_a_step_that_never_gets_the_lock_leaves_nothing(sqlite_place, tenant, mode):
    sqlite_place.run(f"PRAGMA journal_mode = {mode}", tenant)
    assert only_row(migrate(sqlite_place, tenant, "UPDATE orders SET channel = 'x' WHERE id = 1"))["status"] == "applied"
    with contextlib.closing(sqlite3.connect(tenant, isolation_level=None, check_same_thread=False)) as writer, ThreadPoolExecutor() as pool:
        writer.execute("BEGIN IMMEDIATE")
        planned = steps_of("3.0.0", "expand", [{"name": "001_step", "sql": "CREATE TABLE more (a int); INSERT INTO seen VALUES (1)"}], sqlite_place.engine.step)
        failed = Migrator(sqlite_place.engine, planned, QUICK).migrate_all({tenant: planned}, 1)
        assert "expand step 001_step of 3.0.0 did not get its locks in 4 attempts, of at most 20 ms each: " in report(failed)
        patient = Policy(lock_timeout_ms=10, attempts=1000, retry_delay_ms=10)
        future = pool.submit(Migrator(sqlite_place.engine, planned, patient).migrate_all, {tenant: planned}, 1)
        assert threading.Event().wait(0.5) is False and not future.done()
        writer.execute("COMMIT")
        assert only_row(future.result())["attempts"] > 1
    assert sqlite_place.value("SELECT count(*) FROM seen", tenant) == 1


def test_a_reader_does_not_keep_a_step_out_for_ever(sqlite_place, tenant):
    """Without WAL, the end of a transaction waits for those who read."""
    sqlite_place.run("PRAGMA journal_mode = DELETE", tenant)
    with contextlib.closing(sqlite3.connect(tenant, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM orders").fetchone() == (500,)
        assert "did not get its locks in 4 attempts" in report(migrate(sqlite_place, tenant, "INSERT INTO seen VALUES (1)"))
        reader.execute("COMMIT")
    assert only_row(migrate(sqlite_place, tenant, "INSERT INTO seen VALUES (1)"))["status"] == "applied"
    assert sqlite_place.value("SELECT count(*) FROM seen", tenant) == 1


def test_a_table_is_rebuilt_without_what_refers_to_it_being_deleted(sqlite_place, tenant):
    assert only_row(migrate(sqlite_place, tenant, REBUILD.format(where="")))["status"] == "applied"
    assert sqlite_place.value("SELECT count(*) FROM child", tenant) == 3 and sqlite_place.value("SELECT count(*) FROM parent", tenant) == 2


def test_a_rebuild_that_loses_what_others_refer_to_is_undone_unless_it_is_accepted(sqlite_place, tenant):
    script = REBUILD.format(where=" WHERE id = 1")
    message = report(migrate(sqlite_place, tenant, script))
    assert "leaves rows that refer to others which are not there, in child" in message and "-- alwayson: accept foreign-keys" in message
    assert sqlite_place.value("SELECT count(*) FROM parent", tenant) == 2
    assert only_row(migrate(sqlite_place, tenant, "-- alwayson: accept foreign-keys\n" + script))["status"] == "applied"
    assert sqlite_place.value("SELECT count(*) FROM parent", tenant) == 1 and sqlite_place.value("SELECT count(*) FROM child", tenant) == 3


BATCH = "-- alwayson: batch\nDELETE FROM parent WHERE id IN (SELECT id FROM parent WHERE id > 1 LIMIT 1)"


@pytest.mark.parametrize("sql", ["DELETE FROM parent WHERE id = 2", BATCH], ids=["script", "batch"])
def test_rows_are_changed_with_their_foreign_keys_kept(sqlite_place, tenant, sql):
    assert only_row(migrate(sqlite_place, tenant, sql))["status"] == "applied"
    assert sqlite_place.rows("SELECT id FROM child", tenant) == [(1,)]


def test_a_statement_that_fails_is_reported_with_its_line(sqlite_place, tenant):
    assert "no such table: nowhere in line 3" in report(migrate(sqlite_place, tenant, "SELECT 1;\n\nUPDATE nowhere SET a = 1"))


def test_databases_are_existing_files_by_their_whole_paths(sqlite_place, tenant, tmp_path):
    other = tmp_path / "link"
    other.symlink_to(tenant)
    assert sqlite_place.engine.choose_databases([tenant, str(other)]) == [tenant]
    (tmp_path / "text").write_text("no database", encoding="utf-8")
    for names, why in (([], "name their files as databases"), (["shop.db"], "shop.db is no absolute path"), ([str(tmp_path / "none")], "cannot be read"),
                       ([str(tmp_path / "text")], "is no SQLite database")):
        with pytest.raises(SqliteError, match=why):
            sqlite_place.engine.choose_databases(names)


def test_a_tool_is_run_by_one_runner_at_a_time(sqlite_place, tenant, tmp_path):
    """Its own sessions write, so that no transaction keeps other runners out."""
    tool = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(1)"
    step = command_step("2.0.0", "expand", [sys.executable, "-c", tool, str(tmp_path / "runs")], [], {}, None)

    def run():
        return Migrator(sqlite_place.engine, [step], Policy(wait_seconds=60, attempts=100, retry_delay_ms=20)).migrate_all({tenant: [step]}, 1)

    with ThreadPoolExecutor() as pool:
        both = [pool.submit(run) for _runner in range(2)]
        assert sorted(only_row(future.result())["status"] for future in both) == ["already", "applied"]
    assert (tmp_path / "runs").read_text() == "x" and os.path.exists(tenant + "-alwayson.lock")
