# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration tool's command in a real database: once, under the runner's lock, and finished after a kill by what the tool itself knows.

The tool here is a script with psycopg that keeps its version in a table, as Alembic and the others do.
"""

from __future__ import annotations

import json
import os
import sys

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.command import command_step
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.ledger import LedgerError, pending
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.ledger_row import Row
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import StepError, steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration import ledger_rows
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.step import PostgresqlStep
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import connect

TOOL = """
import os, sys, psycopg
with psycopg.connect("") as session:
    session.execute("CREATE TABLE IF NOT EXISTS tool (version int, runs int, who text)")
    there = session.execute("SELECT count(*) FROM tool").fetchone()[0]
    if sys.argv[1] == "status":
        sys.exit(0 if there else 3)
    if not there:
        session.execute("ALTER TABLE orders ADD COLUMN made_by_tool int")
        session.execute("INSERT INTO tool SELECT 1, count(*), %s FROM pg_locks WHERE locktype = 'advisory'", (sys.argv[2] + os.environ.get("EXTRA", ""),))
if os.environ.get("DIE"):
    print("what went wrong\\nand how")
    sys.exit(5)
"""
QUICK = Policy(attempts=3, retry_delay_ms=20)


@pytest.fixture
def migrate(server, tmp_path):
    (tmp_path / "tool.py").write_text(TOOL, encoding="utf-8")

    def run(databases, environment=None, policy=QUICK, status=True, files=()):
        step = command_step("2.0.0", "expand", [sys.executable, "tool.py", "up", "in {database}"],
                            [sys.executable, "tool.py", "status"] if status else [], environment or {}, os.fspath(tmp_path))
        steps = [*steps_of("2.0.0", "expand", files, PostgresqlStep), step]
        return Migrator(server.engine, steps, policy).migrate_all(survey(server.engine, databases, steps), 2)

    return run


def statuses(outcomes):
    return {name: [(row["kind"], row["status"]) for row in outcome.rows] for name, outcome in outcomes.items()}


def test_the_command_runs_once_in_each_database_after_the_files(server, tenants, migrate):
    names = tenants(2)
    file = {"name": "001_a", "sql": "CREATE TABLE tool (version int, runs int, who text)"}
    outcomes = migrate(names, {"EXTRA": "!"}, files=[file])
    assert report(outcomes) == "" and statuses(outcomes) == {name: [("transaction", "applied"), ("command", "applied")] for name in names}
    again = migrate(names, {"EXTRA": "?"}, files=[file])
    assert statuses(again) == {name: [("transaction", "already"), ("command", "already")] for name in names}
    for name in names:
        # The runner's lock was held meanwhile, and the tool ran in the right database.
        assert server.value("SELECT count(*) || who FROM tool WHERE runs > 0 GROUP BY who", name) == f"1in {name}!"
    with connect(server.login, names[0]) as session:
        # A later phase has files of its own, and does not know the command.
        assert pending(steps_of("2.0.0", "expand", [file], PostgresqlStep), ledger_rows.read(session)) == []


@pytest.mark.parametrize("status", [True, False], ids=["with status", "without"])
def test_a_tool_that_failed_is_finished_by_the_next_run(server, tenant, migrate, status):
    failed = migrate([tenant], {"DIE": "1"}, status=status)
    assert f"expand step command of 2.0.0: {sys.executable} ended with 5: what went wrong / and how" in report(failed)
    with connect(server.login, tenant) as session:
        (row,) = ledger_rows.read(session)
    assert (row.status, row.kind) == ("begun", "command") and "ended with 5" in row.error
    (done,) = migrate([tenant], status=status)[tenant].rows
    # With a status command, the tool that has committed before it died is not run again.
    assert (done["status"], done["attempts"]) == ("applied", 0 if status else 1)
    assert server.value("SELECT count(*) FROM tool", tenant) == 1


def test_a_tool_makes_nobody_wait_and_is_run_again(server, tenant, migrate):
    with server.connect(tenant) as blocker:
        blocker.execute("BEGIN; SELECT count(*) FROM orders")
        assert "canceling statement due to lock timeout" in report(migrate([tenant]))
        blocker.execute("COMMIT")
    (row,) = migrate([tenant])[tenant].rows
    assert (row["status"], row["attempts"]) == ("applied", 1)


def test_a_tool_that_says_it_is_done_and_is_not_fails(server, tenant, tmp_path):
    steps = [command_step("2.0.0", "expand", ["true"], ["sh", "-c", "echo two heads; exit 4"], {}, None)]
    outcomes = Migrator(server.engine, steps, QUICK).migrate_all({tenant: steps}, 1)
    assert "ended with 0, but sh says that something is left (4): two heads" in report(outcomes)


def test_a_tool_that_is_not_there_is_named(server, tenant):
    steps = [command_step("2.0.0", "expand", ["/nowhere/alembic"], [], {}, None)]
    assert "/nowhere/alembic does not start: No such file or directory" in report(Migrator(server.engine, steps, QUICK).migrate_all({tenant: steps}, 1))
    with pytest.raises(StepError, match="/nowhere is no folder on this host"):
        command_step("2.0.0", "expand", ["true"], [], {}, "/nowhere")


def test_another_command_line_under_the_same_release_is_refused():
    done = command_step("2.0.0", "expand", ["tool", "up"], [], {}, None)
    row = Row("2.0.0", "expand", "command", "applied", done.checksum, 1.0, kind="command")
    assert pending([done], [row]) == [] and json.loads(json.dumps(row.as_dict()))["kind"] == "command"
    with pytest.raises(LedgerError, match="a step that was applied must not change"):
        pending([command_step("2.0.0", "expand", ["tool", "other"], [], {}, None)], [row])
