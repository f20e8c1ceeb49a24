# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations on a real server: each step once, nobody waits for long, and a failure names what it must."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import MigrationError, Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration import engine, ledger, ledger_rows
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.locks import become_only_runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.step import PostgresqlStep
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError, connect

CURRENCY = {"name": "001_currency", "sql": "-- what 2.0.0 needs\nALTER TABLE orders ADD COLUMN currency char(3) NOT NULL DEFAULT 'EUR';\n"}
TWICE_SEEN = {"name": "002_seen", "sql": "CREATE TABLE IF NOT EXISTS seen (n int); INSERT INTO seen VALUES (1); SELECT pg_sleep(0.3)"}
IMPATIENT = Policy(attempts=3, retry_delay_ms=20)
# A reader waits for much less beside a step that gives up its lock and tries again.
LONG_SECONDS = 0.3


def migrate(server, databases, *steps, phase="expand", policy=IMPATIENT, parallel=1):
    """As the module does: the outcomes by database."""
    planned = steps_of("2.0.0", phase, steps, PostgresqlStep)
    return Migrator(server.engine, planned, policy).migrate_all(survey(server.engine, databases, planned), parallel)


def statuses(outcomes) -> dict[str, list[str]]:
    return {name: [row["status"] for row in outcome.rows] for name, outcome in outcomes.items()}


def ledger_of(server, database):
    with connect(server.login, database) as session:
        return [(row.phase, row.step, row.status) for row in ledger_rows.read(session)]


def columns(server, database) -> int:
    return server.value("SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'currency'", database)


def test_a_step_is_applied_once(server, tenants):
    names = tenants(2)
    first = migrate(server, names, CURRENCY, TWICE_SEEN, parallel=2)
    assert report(first) == "" and statuses(first) == {name: ["applied", "applied"] for name in names}
    again = migrate(server, names, CURRENCY, TWICE_SEEN)
    assert statuses(again) == {name: ["already", "already"] for name in names}
    for name in names:
        assert columns(server, name) == 1 and server.value("SELECT count(*) FROM seen", name) == 1
        assert ledger_of(server, name) == [("expand", "001_currency", "applied"), ("expand", "002_seen", "applied")]


def test_a_step_that_changed_after_it_was_applied_is_refused_before_anything_else(server, tenants):
    names = tenants(2)
    migrate(server, names[1:], CURRENCY)
    changed = {**CURRENCY, "sql": CURRENCY["sql"].replace("EUR", "USD")}
    with pytest.raises(MigrationError, match=f"nothing was applied anywhere. {names[1]}: expand step 001_currency of 2.0.0 was applied with the checksum"):
        migrate(server, names, changed)
    assert ledger_of(server, names[0]) == [] and columns(server, names[0]) == 0


def test_a_step_that_vanished_is_refused(server, tenant):
    migrate(server, [tenant], CURRENCY)
    with pytest.raises(MigrationError, match=r"step 001_currency of 2.0.0, which is not among the steps given"):
        migrate(server, [tenant], {**CURRENCY, "name": "001_renamed"})


@contextlib.contextmanager
def open_transaction(server, database):
    """A transaction that has read the table, and does not end. Its process id on the server."""
    with server.connect(database) as session:
        session.execute("BEGIN; SELECT count(*) FROM orders")
        yield session.info.backend_pid


class Reader(threading.Thread):
    """Reads the table all the time, as the application does, and adds up the time of the reads that took long: one may, on a busy machine."""

    def __init__(self, server, database):
        super().__init__()
        self.session = server.connect(database)
        self.stalled = 0.0
        self.reads = 0
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            started = time.monotonic()
            self.session.execute("SELECT count(*) FROM orders")
            took = time.monotonic() - started
            self.stalled += took if took > LONG_SECONDS else 0.0
            self.reads += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_error):
        self.done.set()
        self.join()
        self.session.close()


def test_a_blocked_step_is_tried_again_and_nobody_queues_behind_it(server, tenant):
    blocked = 2.0
    with Reader(server, tenant) as reader, ThreadPoolExecutor() as pool:
        with open_transaction(server, tenant):
            future = pool.submit(migrate, server, [tenant], CURRENCY, policy=Policy(attempts=200, retry_delay_ms=50))
            time.sleep(blocked)
            assert not future.done() and columns(server, tenant) == 0
        row = future.result()[tenant].rows[0]
    assert row["status"] == "applied" and row["attempts"] > 4 and columns(server, tenant) == 1
    # Without a lock_timeout, a reader waits as long as the step does. The bound leaves room for a busy machine.
    assert reader.reads > 20 and reader.stalled < blocked / 2


def test_a_step_that_never_gets_its_lock_fails_and_names_who_has_it(server, tenant):
    with open_transaction(server, tenant) as process:
        time.sleep(0.15)
        outcomes = migrate(server, [tenant], CURRENCY, policy=Policy(attempts=5, retry_delay_ms=20))
    message = report(outcomes)
    assert statuses(outcomes) == {tenant: ["failed"]}
    assert "001_currency of 2.0.0 did not get its locks in 5 attempts, of at most 50 ms" in message and f"process {process} (postgres" in message
    assert ledger_of(server, tenant) == [] and columns(server, tenant) == 0


def test_against_locks_that_cannot_be_seen_the_timeout_grows_to_its_maximum(server, tenant):
    hidden = {"name": "001_hidden", "sql": "DO $$ BEGIN ALTER TABLE orders ADD COLUMN currency text; END $$"}
    with open_transaction(server, tenant):
        outcomes = migrate(server, [tenant], hidden, policy=Policy(lock_timeout_ms=20, max_lock_timeout_ms=60, attempts=5, retry_delay_ms=0))
    assert "of at most 60 ms each: canceling statement due to lock timeout [SQLSTATE 55P03]" in report(outcomes)


@pytest.mark.parametrize("guarded", [True, False], ids=["advisory lock", "ledger alone"])
def test_two_runners_at_once_apply_a_step_once(server, tenant, monkeypatch, guarded):
    if not guarded:
        # As through a pooler, where both runners seem to get the lock.
        for module, name in ((engine, "become_only_runner"), (engine, "require_only_runner"), (ledger, "require_only_runner")):
            monkeypatch.setattr(module, name, lambda *_arguments: None)
        with connect(server.login, tenant) as session:
            ledger.create(session)
    patient = Policy(attempts=100, retry_delay_ms=20)
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(migrate, server, [tenant], TWICE_SEEN, policy=patient) for _runner in range(2)]
        outcomes = [future.result() for future in both]
    assert [report(outcome) for outcome in outcomes] == ["", ""]
    assert sorted(statuses(outcome)[tenant][0] for outcome in outcomes) == ["already", "applied"]
    assert server.value("SELECT count(*) FROM seen", tenant) == 1


def test_a_runner_that_keeps_the_database_too_long_is_named(server, tenant):
    with connect(server.login, tenant) as holder, connect(server.login, tenant) as other:
        become_only_runner(holder, 0)
        process = holder.value("SELECT pg_backend_pid()")
        with pytest.raises(PostgresqlError, match=rf"another runner still migrates this database.*process {process} of the server \(upgrade from 127.0.0.1"):
            become_only_runner(other, 0)


def test_a_killed_step_left_nothing_and_the_next_run_finishes_it_once(server, tenant):
    server.run("CREATE TABLE pace (seconds float); INSERT INTO pace VALUES (30)", tenant)
    slow = {"name": "001_slow", "sql": "ALTER TABLE orders ADD COLUMN currency text; SELECT pg_sleep(seconds) FROM pace"}
    with ThreadPoolExecutor() as pool:
        future = pool.submit(migrate, server, [tenant], slow)
        kill_when_asleep(server, tenant)
        outcomes = future.result()
    assert statuses(outcomes) == {tenant: ["failed"]} and "the ledger knows whether the step is applied: run this again" in report(outcomes)
    assert ledger_of(server, tenant) == [] and columns(server, tenant) == 0
    server.run("UPDATE pace SET seconds = 0", tenant)
    assert statuses(migrate(server, [tenant], slow)) == {tenant: ["applied"]}
    assert columns(server, tenant) == 1


def kill_when_asleep(server, database):
    deadline = time.monotonic() + 60
    found = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event = 'PgSleep'"
    while not server.value(found):
        assert time.monotonic() < deadline, "the step did not begin"
        time.sleep(0.02)


def test_a_failing_database_is_named_with_step_line_and_the_state_of_the_others(server, tenants):
    names = tenants(3)
    server.run("CREATE VIEW uses_it AS SELECT 1 AS currency; CREATE TABLE wide (a int)", names[1])
    second = {"name": "002_wide", "sql": "CREATE TABLE narrow (a int);\nSELECT 1;\nCREATE TABLE wide (a int)"}
    third = {"name": "003_never", "sql": "SELECT 1"}
    outcomes = migrate(server, names, CURRENCY, second, third)
    assert statuses(outcomes) == {names[0]: ["applied"] * 3, names[1]: ["applied", "failed", "pending"], names[2]: ["pending"] * 3}
    message = report(outcomes)
    assert f"failed in {names[1]}: expand step 002_wide of 2.0.0: relation \"wide\" already exists" in message
    assert f"{names[0]}: complete (3 applied now), {names[2]}: not begun" in message
    assert server.value("SELECT to_regclass('narrow') IS NULL", names[1])
    server.run("DROP TABLE wide", names[1])
    finished = migrate(server, names, CURRENCY, second, third)
    assert statuses(finished) == {names[0]: ["already"] * 3, names[1]: ["already", "applied", "applied"], names[2]: ["applied"] * 3}


def test_a_syntax_error_is_reported_with_its_line(server, tenant):
    outcomes = migrate(server, [tenant], {"name": "001_typo", "sql": "SELECT 1;\n\nALTR TABLE orders"})
    assert 'syntax error at or near "ALTR" [SQLSTATE 42601] in line 3' in report(outcomes)


def test_contract_comes_only_after_expand(server, tenants):
    names = tenants(2)
    migrate(server, names[:1], CURRENCY)
    expand = steps_of("2.0.0", "expand", [CURRENCY], PostgresqlStep)
    contract = steps_of("2.0.0", "contract", [{"name": "001_drop", "sql": "DROP TABLE orders"}], PostgresqlStep)
    with pytest.raises(MigrationError, match=rf"anywhere. {names[1]}: not applied yet: expand step 001_currency of 2.0.0; run the expand phase"):
        survey(server.engine, names, contract, [expand])
    assert survey(server.engine, names[:1], contract, [expand]) == {names[0]: contract}


def test_a_step_does_not_leave_its_settings_to_the_next_one(server, tenant):
    first = {"name": "001_settings", "sql": "SET search_path TO nowhere; SET ROLE upgrade; SET statement_timeout = 1000; SET timezone = 'Asia/Tokyo'"}
    uses = "SELECT pg_sleep(1.1); CREATE TABLE here AS SELECT current_setting('timezone') AS zone, current_setting('lock_timeout') AS lock_timeout"
    second = {"name": "002_uses", "sql": uses}
    assert report(migrate(server, [tenant], first, second)) == ""
    assert server.value("SELECT lock_timeout FROM public.here", tenant) == "50ms"
    assert server.value("SELECT zone FROM public.here", tenant) != "Asia/Tokyo"


def test_a_step_that_ends_its_transaction_unseen_is_found_out(server, tenant):
    """What the scan of the script cannot see: the server's own view has the last word."""
    hidden = {"name": "001_hidden", "sql": "CREATE PROCEDURE sly() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM alwayson.migration; END $$; CALL sly()"}
    outcomes = migrate(server, [tenant], hidden)
    assert "ended its transaction by itself, or changed the ledger" in report(outcomes)
    assert ledger_of(server, tenant) == [] and server.value("SELECT count(*) FROM pg_proc WHERE proname = 'sly'", tenant) == 0


def test_the_server_watches_the_runner(server, tenant):
    step = {"name": "001_watch", "sql": "CREATE TABLE watched AS SELECT current_setting('client_connection_check_interval') AS often"}
    migrate(server, [tenant], step)
    assert server.value("SELECT often FROM watched", tenant) == "1s"
