# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batch steps and index steps on a real server: resumed after every way to die, and each row and index changed exactly once."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration import batch as migration_batch
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import MigrationError, Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration import batch as postgresql_batch, ledger_rows
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.step import PostgresqlStep
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import connect

QUICK = Policy(attempts=5, retry_delay_ms=20, batch_pause_ms=0, wait_seconds=5)
DOUBLE = {"name": "001_double", "sql": "-- alwayson: batch after 0\nUPDATE orders SET quantity = quantity * 2\n"
          " WHERE id IN (SELECT id FROM orders WHERE id > :after ORDER BY id LIMIT 40) RETURNING id"}
EVEN = {"name": "001_even", "sql": "-- alwayson: batch\nUPDATE orders SET quantity = quantity + 1"
        " WHERE id IN (SELECT id FROM orders WHERE quantity % 2 = 1 LIMIT 100)"}
INDEX = {"name": "002_index", "sql": "-- alwayson: concurrently\nCREATE INDEX CONCURRENTLY by_quantity ON orders (quantity)"}
SUM = "SELECT sum(quantity) FROM orders"
STATE = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{0}')"
# The ledger as release 0.1.0 made it.
OLD_LEDGER = """
CREATE SCHEMA alwayson;
CREATE TABLE alwayson.migration (
    release text NOT NULL, phase text NOT NULL CHECK (phase IN ('expand', 'contract')), step text NOT NULL, checksum text NOT NULL, status text NOT NULL,
    attempts integer NOT NULL, owner text NOT NULL DEFAULT session_user, backend_pid integer NOT NULL DEFAULT pg_backend_pid(),
    begun timestamptz NOT NULL DEFAULT clock_timestamp(), applied timestamptz, PRIMARY KEY (release, phase, step)
);
INSERT INTO alwayson.migration VALUES ('1.0.0', 'expand', '001_old', 'x', 'applied', 1)
"""


def migrate(server, databases, *steps, phase="backfill", policy=QUICK, parallel=1):
    planned = steps_of("2.0.0", phase, steps, PostgresqlStep)
    return Migrator(server.engine, planned, policy).migrate_all(survey(server.engine, databases, planned, parallel=parallel), parallel)


def ledger_of(server, database):
    with connect(server.login, database) as session:
        return {row.step: row for row in ledger_rows.read(session)}


def only_row(outcomes):
    assert report(outcomes) == ""
    ((row,),) = [outcome.rows for outcome in outcomes.values()]
    return row


def is_valid(server, database, index):
    with server.connect(database) as session:
        found = session.execute(STATE.format(index)).fetchone()
    return found and found[0]


def test_batches_until_nothing_is_left(server, tenant):
    odd = server.value("SELECT count(*) FROM orders WHERE quantity % 2 = 1", tenant)
    row = only_row(migrate(server, [tenant], EVEN))
    assert (row["kind"], row["status"], row["batches"], row["rows"]) == ("batch", "applied", -(-odd // 100), odd)
    assert server.value("SELECT count(*) FROM orders WHERE quantity % 2 = 1", tenant) == 0
    kept = ledger_of(server, tenant)["001_even"]
    assert (kept.status, kept.progress) == ("applied", {"batches": row["batches"], "rows": odd})
    assert only_row(migrate(server, [tenant], EVEN))["status"] == "already"


def test_a_cursor_passes_every_row_once(server, tenant):
    before = server.value(SUM, tenant)
    row = only_row(migrate(server, [tenant], DOUBLE))
    assert (row["batches"], row["rows"]) == (13, 500) and server.value(SUM, tenant) == 2 * before
    assert ledger_of(server, tenant)["001_double"].progress == {"batches": 13, "rows": 500, "after": "500"}


def test_a_batch_step_goes_on_where_it_was_killed(server, tenant, monkeypatch):
    before, kills = server.value(SUM, tenant), 0
    run = migration_batch.next_batch
    calls = iter(range(1000))

    def run_and_die(step, progress, rows, count, before):
        done = run(step, progress, rows, count, before)
        if next(calls) % 3 == 2:
            with server.connect() as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", (rows("SELECT pg_backend_pid()")[0][0],))
        return done

    monkeypatch.setattr(migration_batch, "next_batch", run_and_die)
    while "killed" in (message := report(migrate(server, [tenant], DOUBLE)).replace("terminat", "killed")):
        assert "the ledger knows whether the step is applied: run this again" in message
        assert ledger_of(server, tenant)["001_double"].status == "begun"
        kills += 1
        assert kills < 20
    assert message == "" and kills == 6 and server.value(SUM, tenant) == 2 * before


def test_two_runners_without_a_lock_share_the_batches(server, tenant, monkeypatch):
    """As through a pooler, where both seem to have the lock on the database."""
    for module, name in (("engine", "become_only_runner"), ("engine", "require_only_runner"), ("ledger", "require_only_runner")):
        monkeypatch.setattr(f"ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.{module}.{name}", lambda *_arguments: None)
    before = server.value(SUM, tenant)
    migrate(server, [tenant], {"name": "000_ledger", "sql": "SELECT 1"}, phase="expand")
    patient = Policy(attempts=200, retry_delay_ms=5, batch_pause_ms=1)
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(migrate, server, [tenant], DOUBLE, policy=patient) for _runner in range(2)]
        rows = [only_row(future.result()) for future in both]
    assert sum(row["rows"] for row in rows) == 500 and server.value(SUM, tenant) == 2 * before
    assert ledger_of(server, tenant)["001_double"].progress["batches"] == 13


def test_a_step_that_would_never_end_is_ended(server, tenant):
    endless = {**EVEN, "sql": EVEN["sql"].replace("quantity % 2 = 1", "quantity > 0")}
    message = report(migrate(server, [tenant], endless))
    assert "backfill step 001_even of 2.0.0 does not come to an end: it has changed" in message
    assert 500 < ledger_of(server, tenant)["001_even"].progress["rows"] < 20_000
    server.run("CREATE TABLE parts (id int, a int) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts DEFAULT;"
               "INSERT INTO parts SELECT n FROM generate_series(1, 5000) AS n", tenant)
    parts = {"name": "002_parts", "sql": "-- alwayson: batch\nUPDATE parts SET a = 1 WHERE id IN (SELECT id FROM parts WHERE a IS NULL LIMIT 500)"}
    assert only_row(migrate(server, [tenant], parts, phase="optimise"))["rows"] == 5000


def test_a_failing_batch_keeps_those_before_it_and_may_be_corrected(server, tenant):
    server.run("ALTER TABLE orders ADD CHECK (quantity < 700)", tenant)
    message = report(migrate(server, [tenant], DOUBLE))
    assert "backfill step 001_double of 2.0.0: new row for relation" in message and "[SQLSTATE 23514]" in message
    kept = ledger_of(server, tenant)["001_double"]
    assert (kept.status, kept.progress) == ("begun", {"batches": 8, "rows": 320, "after": "320"}) and kept.error in message
    corrected = {**DOUBLE, "sql": DOUBLE["sql"].replace("quantity * 2", "least(quantity * 2, 699)")}
    row = only_row(migrate(server, [tenant], corrected))
    assert (row["batches"], row["rows"]) == (5, 180)
    kept = ledger_of(server, tenant)["001_double"]
    assert (kept.status, kept.progress["rows"], kept.error) == ("applied", 500, None)
    assert server.value("SELECT count(*) FROM orders WHERE quantity = least(id * 2, 699)", tenant) == 500


def test_rows_that_somebody_holds_are_waited_for(server, tenant):
    with server.connect(tenant) as holder, ThreadPoolExecutor() as pool:
        holder.execute("BEGIN; UPDATE orders SET taken = now() WHERE id = 7")
        future = pool.submit(migrate, server, [tenant], EVEN, policy=Policy(attempts=500, retry_delay_ms=10, batch_pause_ms=0))
        time.sleep(1)
        assert not future.done()
        holder.execute("COMMIT")
        assert only_row(future.result())["rows"] == 250


@pytest.mark.parametrize("lag", [1001, None], ids=["lags", "unknown"])
def test_a_replica_that_lags_is_waited_for_and_named(server, tenant, monkeypatch, lag):
    monkeypatch.setattr(postgresql_batch.catalog, "replicas", lambda _database: [{"name": "standby1", "lag_bytes": lag}])
    policy = Policy(wait_seconds=0.5, max_replica_lag_bytes=1000, batch_pause_ms=0)
    message = report(migrate(server, [tenant], EVEN, policy=policy))
    if lag is None:
        assert message == ""
    else:
        assert "a replica lags by more than 1000 bytes, still after 0.5 s: standby1 (1001 bytes)" in message
        assert ledger_of(server, tenant)["001_even"].progress is None


def test_an_index_is_built_and_dropped_once(server, tenant):
    assert only_row(migrate(server, [tenant], INDEX))["kind"] == "index" and is_valid(server, tenant, "by_quantity")
    drop = {"name": "001_drop", "sql": "-- alwayson: concurrently\nDROP INDEX CONCURRENTLY by_quantity"}
    assert only_row(migrate(server, [tenant], drop, phase="optimise"))["status"] == "applied"
    assert is_valid(server, tenant, "by_quantity") is None
    # Applied is applied: what the index has become since is nobody's concern.
    assert only_row(migrate(server, [tenant], INDEX))["status"] == "already" and is_valid(server, tenant, "by_quantity") is None


def test_a_unique_index_that_cannot_be_leaves_nothing_dead(server, tenant):
    unique = {**INDEX, "sql": INDEX["sql"].replace("INDEX CONC", "UNIQUE INDEX CONC").replace("(quantity)", "((quantity % 10))")}
    assert "could not create unique index" in report(migrate(server, [tenant], unique))
    assert is_valid(server, tenant, "by_quantity") is None and "could not create" in ledger_of(server, tenant)["002_index"].error
    assert only_row(migrate(server, [tenant], INDEX))["status"] == "applied" and is_valid(server, tenant, "by_quantity")


def test_a_stranger_s_index_is_not_taken_for_ours(server, tenant):
    server.run("CREATE INDEX by_quantity ON orders (taken)", tenant)
    for _run in range(2):
        assert "the index public.by_quantity is there, and no run of this step has built it" in report(migrate(server, [tenant], INDEX))
    tolerant = {**INDEX, "sql": INDEX["sql"].replace("CONCURRENTLY by", "CONCURRENTLY IF NOT EXISTS by")}
    message = report(migrate(server, [tenant], tolerant))
    assert "the index public.by_quantity is there and is another one: CREATE INDEX by_quantity ON public.orders USING btree (taken)" in message
    server.run("DROP INDEX by_quantity; CREATE INDEX by_quantity ON orders (quantity)", tenant)
    assert only_row(migrate(server, [tenant], tolerant))["status"] == "applied"


def test_an_index_of_the_same_name_is_not_taken_for_the_one_that_could_not_be_built(server, tenant):
    sql = INDEX["sql"].replace("INDEX CONC", "UNIQUE INDEX CONC").replace("(quantity)", "((orders.quantity % 10)) WHERE note <> ' USING '")
    unique = {**INDEX, "sql": sql}
    server.run("ALTER TABLE orders ADD dropped int, ADD note text DEFAULT ''; ALTER TABLE orders DROP dropped", tenant)
    assert "could not create unique index" in report(migrate(server, [tenant], unique))
    server.run("CREATE INDEX by_quantity ON orders ((quantity % 10)) WHERE note <> ' USING '", tenant)
    assert "the index public.by_quantity is there and is another one: CREATE INDEX" in report(migrate(server, [tenant], unique))
    # What the step would build is as good as built by it, whoever did.
    server.run("DROP INDEX by_quantity; DELETE FROM orders WHERE id > 10", tenant)
    server.run("CREATE UNIQUE INDEX by_quantity ON orders ((quantity % 10)) WHERE note <> ' USING '", tenant)
    assert only_row(migrate(server, [tenant], unique))["status"] == "applied"


LONG = "заказы_по_времени_и_покупателю_индекс"


@pytest.mark.parametrize(("name", "kept"), [(f'"{LONG}"', 1), (f'"{"x" * 70}"', 1), ("Größe_ÄÖ", 1)])
def test_a_name_is_cut_and_spelled_as_the_server_does(server, tenant, name, kept):
    step = {**INDEX, "sql": INDEX["sql"].replace("by_quantity", name)}
    assert only_row(migrate(server, [tenant], step))["status"] == "applied"
    named = "SELECT count(*) FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indisvalid AND relname ~ '^(заказы|xxx|größe_ÄÖ)'"
    assert server.value(named, tenant) == kept


@contextlib.contextmanager
def killed_build(server, database, statement):
    """A build that waits for an older transaction, and whose session is ended then: what it leaves is there in the block."""
    with server.connect(database) as old, ThreadPoolExecutor() as pool:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE orders SET quantity = quantity WHERE id = 1")
        future = pool.submit(server.run, statement, database)
        pid = wait_for(lambda: server.value("SELECT min(pid) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"))
        server.value(f"SELECT pg_terminate_backend({pid}, 5000)")
        assert future.exception() is not None
        old.execute("ROLLBACK")
    yield


def wait_for(look):
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_a_dead_index_is_built_again(server, tenant):
    with killed_build(server, tenant, "CREATE INDEX CONCURRENTLY by_quantity ON orders (quantity)"):
        assert is_valid(server, tenant, "by_quantity") is False
        tolerant = {**INDEX, "sql": INDEX["sql"].replace("CONCURRENTLY by", "CONCURRENTLY IF NOT EXISTS by")}
        assert only_row(migrate(server, [tenant], tolerant))["status"] == "applied" and is_valid(server, tenant, "by_quantity") is True


def test_what_a_dead_reindex_left_is_cleared_away(server, tenant):
    reindex = {"name": "001_reindex", "sql": "-- alwayson: concurrently\nREINDEX INDEX CONCURRENTLY orders_by_time"}
    with killed_build(server, tenant, "REINDEX INDEX CONCURRENTLY orders_by_time"):
        assert is_valid(server, tenant, "orders_by_time_ccnew") is False
        assert only_row(migrate(server, [tenant], reindex))["status"] == "applied"
        assert server.value("SELECT count(*) FROM pg_class WHERE relname ~ '_cc(new|old)'", tenant) == 0 and is_valid(server, tenant, "orders_by_time")


def test_an_index_that_somebody_is_building_is_left_alone(server, tenant):
    with server.connect(tenant) as old, ThreadPoolExecutor() as pool:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE orders SET quantity = quantity WHERE id = 1")
        building = pool.submit(server.run, "CREATE INDEX CONCURRENTLY by_quantity ON orders (quantity)", tenant)
        pid = wait_for(lambda: server.value("SELECT min(pid) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"))
        message = report(migrate(server, [tenant], INDEX, policy=Policy(wait_seconds=1)))
        assert f"process {pid} of the server is building the index public.by_quantity, still after 1 s" in message
        old.execute("ROLLBACK")
        building.result()
    assert "no run of this step has built it" in report(migrate(server, [tenant], INDEX)) and is_valid(server, tenant, "by_quantity")


def test_a_ledger_of_an_older_release_is_widened_even_while_it_is_read(server, tenant):
    server.run(OLD_LEDGER, tenant)
    assert ledger_of(server, tenant)["001_old"].progress is None
    with server.connect(tenant) as reader, ThreadPoolExecutor() as pool:
        reader.execute("BEGIN; SELECT count(*) FROM alwayson.migration")
        future = pool.submit(migrate, server, [tenant], EVEN, policy=Policy(attempts=500, retry_delay_ms=10, batch_pause_ms=0))
        time.sleep(0.5)
        assert not future.done()
        reader.execute("COMMIT")
        assert only_row(future.result())["status"] == "applied"
    assert {name: row.status for name, row in ledger_of(server, tenant).items()} == {"001_old": "applied", "001_even": "applied"}
    assert server.value("SELECT backend_start IS NOT NULL AND kind = 'batch' FROM alwayson.migration WHERE step = '001_even'", tenant)


def test_a_large_table_is_not_changed_at_once(server, tenant):
    server.run("CREATE TABLE large AS SELECT n FROM generate_series(1, 100000) AS n; ANALYZE large", tenant)
    at_once = {"name": "001_all", "sql": "SELECT 1;\nUPDATE public.Large SET n = 0"}
    with pytest.raises(MigrationError, match=r"001_all of 2.0.0: unbatched-change in line 2 \(a table of about 100,000 rows in one"):
        migrate(server, [tenant], at_once, phase="expand")
    accepted = {**at_once, "sql": "-- alwayson: accept unbatched-change\n" + at_once["sql"]}
    assert only_row(migrate(server, [tenant], accepted, phase="expand"))["status"] == "applied"
