# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is MariaDB's own: changes of the schema that commit by themselves, locks that are waited for in whole seconds, tables without transactions."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import MigrationError, Pace, Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.scratch_names import new_name
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration import apply as migration_apply, ledger_rows, locks
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration.fingerprint import fingerprint
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration.locks import open_session, reset, transaction
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.session import MariadbError
from integration.database.test_migration_engines import CURRENCY

QUICK = Policy(attempts=5, retry_delay_ms=20, batch_pause_ms=0, wait_seconds=5)
# A reader waits for much less beside a step that gives up its lock and tries again.
LONG_SECONDS = 0.3


@pytest.fixture
def place(mariadb_place):
    return mariadb_place


@pytest.fixture
def tenant(place):
    return place.make(1)[0]


def migrate(place, name, *steps, policy=QUICK):
    planned = steps_of("2.0.0", "expand", steps, place.engine.step)
    return Migrator(place.engine, planned, policy).migrate_all(survey(place.engine, [name], planned), 1)


def only_row(outcomes):
    assert report(outcomes) == ""
    ((row,),) = [outcome.rows for outcome in outcomes.values()]
    return row


@contextlib.contextmanager
def open_transaction(place, name, *statements):
    """A transaction that has read the table, or done something else, and does not end. The number of its connection."""
    with contextlib.closing(place.server.connect(name)) as session, session.cursor() as cursor:
        for statement in ("START TRANSACTION", *(statements or ("SELECT count(*) FROM orders",))):
            cursor.execute(statement)
        yield session.thread_id()
        session.rollback()


class Reader(threading.Thread):
    """Reads the table all the time, as the application does, and adds up the time of the reads that took long: one may, on a busy machine."""

    def __init__(self, place, name):
        super().__init__()
        self.session = place.server.connect(name)
        self.stalled, self.reads = 0.0, 0
        self.done = threading.Event()

    def run(self):
        with self.session.cursor() as cursor:
            while not self.done.is_set():
                started = time.monotonic()
                cursor.execute("SELECT count(*) FROM orders")
                took = time.monotonic() - started
                self.stalled, self.reads = self.stalled + (took if took > LONG_SECONDS else 0.0), self.reads + 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_error):
        self.done.set()
        self.join()
        self.session.close()


def test_a_blocked_change_is_tried_again_and_nobody_queues_behind_it(place, tenant):
    blocked = 3.0
    with Reader(place, tenant) as reader, ThreadPoolExecutor() as pool:
        with open_transaction(place, tenant):
            future = pool.submit(migrate, place, tenant, CURRENCY, policy=Policy(attempts=400, retry_delay_ms=20))
            time.sleep(blocked)
            assert not future.done() and not place.has("currency", tenant)
        row = only_row(future.result())
    assert row["status"] == "applied" and row["attempts"] > 4 and place.has("currency", tenant)
    with place.engine.open(tenant) as session:
        assert session.database.value("SELECT attempts FROM alwayson_migration") == row["attempts"]
    # With the server's limit alone, a second, a reader waits again and again; without one, as long as the step does. The bound leaves room for a busy machine.
    assert reader.reads > 20 and reader.stalled < blocked / 2


def test_a_change_that_never_gets_its_lock_fails_names_who_has_it_and_leaves_nothing(place, tenant):
    with open_transaction(place, tenant) as number:
        time.sleep(2.1)
        message = report(migrate(place, tenant, CURRENCY))
    assert "001_currency of 2.0.0 did not get its locks in 5 attempts, of at most 50 ms each: Query execution was interrupted" in message
    assert f"connection {number} (root, Sleep) has a transaction open for " in message
    with place.engine.open(tenant) as session:
        assert ledger_rows.read(session.database) == []
    assert only_row(migrate(place, tenant, CURRENCY))["status"] == "applied"


def test_a_row_that_somebody_holds_is_not_waited_for_until_at_last(place, tenant):
    step = {"name": "001_rows", "sql": "UPDATE orders SET quantity = 0 WHERE id IN (7, 8)"}
    with open_transaction(place, tenant, "UPDATE orders SET quantity = 1 WHERE id = 8"):
        # Of several, because one may take its time on a busy machine.
        assert min(waited_for_a_row(place, tenant, step["sql"], False) for _try in range(5)) < 0.9 <= waited_for_a_row(place, tenant, step["sql"], True)
        assert "001_rows of 2.0.0 did not get its locks in 5 attempts" in report(migrate(place, tenant, step))
    assert only_row(migrate(place, tenant, step))["status"] == "applied"
    assert place.value("SELECT sum(quantity) FROM orders WHERE id IN (7, 8)", tenant) == 0


def waited_for_a_row(place, name, sql, waits: bool) -> float:
    """For how many seconds a transaction that does or does not wait for rows waited before it gave up."""
    with open_session(place.engine.login, name) as session:
        reset(session.database)
        began = time.monotonic()
        with pytest.raises(MariadbError, match="Lock wait timeout exceeded"), transaction(session, 50, waits):
            session.database.run(sql)
        return time.monotonic() - began


def test_a_watch_that_comes_too_late_ends_nothing_else(place, tenant, monkeypatch):
    monkeypatch.setattr(locks, "IS_WAITING", "SELECT 1 FROM DUAL WHERE %s <> %s")
    with open_session(place.engine.login, tenant) as session:
        with session.watch.limit(1):
            assert wait_for(lambda: session.watch.has_ended_one, 60, 0.02)
        assert session.watch.has_ended_one and session.database.value("SELECT 5") == 5


def test_another_runner_is_named(place, tenant):
    with place.engine.open(tenant) as holder, place.engine.open(tenant) as other:
        place.engine.become_only_runner(holder, Pace(QUICK))
        with pytest.raises(MariadbError, match=rf"another runner still migrates this database.*connection {holder.database.id} of the server \(upgrade from"):
            place.engine.become_only_runner(other, Pace(Policy(wait_seconds=0)))


@pytest.fixture
def died(place, monkeypatch):
    """Applies a step up to its change of the schema, made or not, and dies."""

    def die(name, step, is_made=True):
        with monkeypatch.context() as patched:
            patched.setattr(migration_apply.ledger, "finish" if is_made else "begin", dying(place.ledger, is_made))
            assert "run this again" in report(migrate(place, name, step))

    def dying(module, is_made):
        begin = module.begin

        def act(database, *arguments):
            if not is_made:
                begin(database, *arguments)
            database.close()
            raise MariadbError("the session was lost")

        return act

    return die


def test_a_file_that_was_corrected_after_its_change_was_made_is_not_taken_for_it(place, tenant, died):
    died(tenant, CURRENCY)
    other = {**CURRENCY, "sql": "ALTER TABLE orders ADD COLUMN valuta char(3)"}
    message = report(migrate(place, tenant, other))
    assert "001_currency of 2.0.0 was begun with another script, and the schema is not as it was before that" in message
    assert only_row(migrate(place, tenant, CURRENCY))["status"] == "applied" and not place.has("valuta", tenant)


def test_a_file_that_was_corrected_before_its_change_was_made_is_run(place, tenant, died):
    died(tenant, CURRENCY, is_made=False)
    other = {**CURRENCY, "sql": "ALTER TABLE orders ADD COLUMN valuta char(3)"}
    assert only_row(migrate(place, tenant, other))["status"] == "applied"
    assert place.has("valuta", tenant) and not place.has("currency", tenant)


CHANGES = [
    "ALTER TABLE orders ADD COLUMN a integer", "ALTER TABLE orders ALTER COLUMN quantity SET DEFAULT 4", "ALTER TABLE orders COMMENT 'x'",
    "CREATE INDEX i ON orders (quantity)", "ALTER TABLE orders RENAME INDEX i TO j", "DROP INDEX j ON orders", "RENAME TABLE seen TO known",
    "CREATE VIEW v AS SELECT id FROM orders", "CREATE OR REPLACE VIEW v AS SELECT quantity FROM orders", "DROP VIEW v",
    "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW BEGIN SET NEW.quantity = 1; END",
    "CREATE OR REPLACE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.quantity = 1", "DROP TRIGGER t",
    "CREATE PROCEDURE p() BEGIN DECLARE n int; IF n IS NULL THEN SET n = 1; END IF; SELECT CASE n WHEN 1 THEN 2 END; END", "DROP PROCEDURE p",
    "CREATE SEQUENCE s START 5", "ALTER SEQUENCE s MAXVALUE 900", "DROP SEQUENCE s", "CREATE TABLE more LIKE orders", "DROP TABLE more",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders WHERE id < 0", "ALTER EVENT e DISABLE", "DROP EVENT e",
]


def test_each_kind_of_change_is_seen_by_its_fingerprint_and_rows_are_not(place, tenant):
    for number, sql in enumerate(CHANGES):
        (step,) = steps_of("2.0.0", "expand", [{"name": str(number), "sql": sql}], place.engine.step)
        with place.engine.open(tenant) as session:
            before = fingerprint(session.database, step.names())
            session.database.run("UPDATE orders SET quantity = quantity + 1")
            assert fingerprint(session.database, step.names()) == before
            session.database.run(step.runnable())
            assert fingerprint(session.database, step.names()) != before, sql
    place.run("ALTER TABLE orders MODIFY id integer AUTO_INCREMENT", tenant)
    with place.engine.open(tenant) as session:
        before = fingerprint(session.database, ["orders"])
        session.database.run("INSERT INTO orders (quantity) VALUES (1)")
        assert fingerprint(session.database, ["orders"]) == before


def test_a_change_that_would_keep_writers_waiting_is_refused_unless_it_is_accepted(place, tenant):
    step = {"name": "001_wide", "sql": "ALTER TABLE orders MODIFY quantity bigint NOT NULL;"}
    message = report(migrate(place, tenant, step))
    assert "LOCK=NONE is not supported. Reason: Cannot change column type" in message and "-- alwayson: accept blocking-alter" in message
    accepted = {**step, "sql": "-- alwayson: accept blocking-alter\n" + step["sql"]}
    assert only_row(migrate(place, tenant, accepted))["status"] == "applied"
    assert place.rows("SHOW COLUMNS FROM orders LIKE 'quantity'", tenant)[0][1].startswith("bigint")


@pytest.mark.parametrize("sql", ["INSERT INTO plain VALUES (1)", "-- alwayson: batch\nDELETE FROM plain LIMIT 5"])
def test_a_table_without_transactions_is_refused(place, tenant, sql):
    place.run("CREATE TABLE plain (n integer) ENGINE=MyISAM", tenant)
    with pytest.raises(MigrationError, match="the table plain has the engine MyISAM, without transactions"):
        migrate(place, tenant, {"name": "001_plain", "sql": sql})


def test_a_routine_that_ends_the_transaction_is_found_out(place, tenant):
    place.run("CREATE FUNCTION sly() RETURNS int BEGIN DELETE FROM alwayson_migration; RETURN 1; END", tenant)
    message = report(migrate(place, tenant, {"name": "001_sly", "sql": "INSERT INTO seen VALUES (sly())"}))
    assert "ended its transaction by itself, or changed the ledger" in message and place.value("SELECT count(*) FROM seen", tenant) == 0


def test_what_a_script_means_does_not_depend_on_the_server(place, tenant):
    with contextlib.closing(place.server.connect()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT @@global.sql_mode")
        ((mode,),) = cursor.fetchall()
        cursor.execute("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
        try:
            step = {"name": "001_quotes", "sql": "UPDATE orders SET channel = \"it's\" WHERE id = 1; UPDATE orders SET channel = 'a\\'; b' WHERE id = 2"}
            assert only_row(migrate(place, tenant, step))["status"] == "applied"
        finally:
            cursor.execute("SET GLOBAL sql_mode = %s", (mode,))
    assert place.rows("SELECT channel FROM orders WHERE id IN (1, 2) ORDER BY id", tenant) == [("it's",), ("a'; b",)]


def test_the_databases_of_a_server_are_its_users(place, tenant):
    scratch = new_name(tenant, 1)
    place.server.run(f"CREATE DATABASE {scratch}")
    found = place.engine.choose_databases([])
    assert tenant in found and not {"mysql", "sys", "information_schema", "performance_schema", scratch} & set(found)
    place.server.run(f"DROP DATABASE {scratch}")
    with pytest.raises(MariadbError, match="no such database, or one of the server's own: nowhere; there are: "):
        place.engine.choose_databases([tenant, "nowhere"])
    place.server.run("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(MariadbError, match="the server is a replica or read-only"):
            place.engine.choose_databases([tenant])
    finally:
        place.server.run("SET GLOBAL read_only = 0")
