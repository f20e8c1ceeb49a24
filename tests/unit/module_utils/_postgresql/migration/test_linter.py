# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat
from functools import partial

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.hazards import changed_tables, refuse_dangerous
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import MigrationError
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.dialect import POSTGRESQL
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.linter import find_linter, lint
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.step import PostgresqlStep


def step(sql, phase="expand"):
    return steps_of("2.0.0", phase, [{"name": "001_a", "sql": sql}], PostgresqlStep)


def refuse(steps, linter=None):
    refuse_dangerous(steps, partial(lint, linter=linter) if linter else lambda _step: ())


@pytest.fixture
def linter(tmp_path):
    """Makes a program that answers as squawk does, with these findings or this exit status, and keeps its command line and input."""

    def make(findings, status=1):
        program = tmp_path / "squawk"
        (tmp_path / "answer").write_text(findings if isinstance(findings, str) else json.dumps(findings), encoding="utf-8")
        program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/command\ncat > {tmp_path}/input\ncat {tmp_path}/answer\nexit {status}\n', encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return str(program)

    return make


@pytest.mark.parametrize(
    ("script", "tables"),
    [
        ("UPDATE t SET a = 1; DELETE FROM ONLY shop.\"My T\" WHERE b", [("t",), ("shop", "My T")]),
        ("WITH x AS (DELETE FROM old RETURNING *), y AS (SELECT 1) UPDATE Big SET a = 1", [("old",), ("big",)]),
        ("SELECT 1 FROM t FOR UPDATE; INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 2", []),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES b ON DELETE CASCADE; GRANT SELECT, UPDATE ON t TO x", []),
        ("CREATE TRIGGER x BEFORE UPDATE ON t EXECUTE FUNCTION f(); SELECT 'UPDATE t'", []),
    ],
)
def test_the_tables_that_a_script_changes(script, tables):
    assert [table for table, _at in changed_tables(script, POSTGRESQL)] == tables


def test_lock_table_is_refused_unless_it_is_accepted():
    with pytest.raises(MigrationError, match=r"expand step 001_a of 2.0.0: lock-table in line 2 \(.*-- alwayson: accept <rule>"):
        refuse(step("SELECT 1;\nLOCK t"))
    refuse(step("-- alwayson: accept lock-table\nLOCK t"))
    refuse(step("SELECT 1 AS lock"))


def test_the_findings_of_the_linter_are_refused_with_their_lines(linter, tmp_path):
    program = linter([{"rule_name": "renaming-column", "line": 2, "message": "Renaming may break clients."}])
    with pytest.raises(MigrationError, match=r"001_a of 2.0.0: renaming-column in line 3 \(Renaming may break clients.\)"):
        refuse(step("SELECT 1"), program)
    command = (tmp_path / "command").read_text()
    assert "--reporter Json" in command and "--assume-in-transaction" in command
    refuse(step("-- alwayson: accept renaming-column\nSELECT 1"), program)


def test_matters_of_taste_are_no_finding_and_what_is_meant_to_be_dropped_is_none_later(linter):
    program = linter([{"rule_name": "prefer-text-field", "line": 0, "message": "x"}, {"rule_name": "ban-drop-column", "line": 0, "message": "Dropping."}])
    refuse(step("SELECT 1", "contract"), program)
    with pytest.raises(MigrationError) as refused:
        refuse(step("SELECT 1"), program)
    assert "ban-drop-column in line 1" in str(refused.value) and "prefer" not in str(refused.value)


def test_the_linter_sees_a_value_for_a_cursor(linter, tmp_path):
    sql = "-- alwayson: batch after 0\nDELETE FROM t WHERE id IN (SELECT id FROM t WHERE id > :after LIMIT 5) RETURNING id"
    refuse(step("-- alwayson: batch after 0\nSELECT id FROM t WHERE id > :after LIMIT 5; DELETE FROM t WHERE id <= :last"), linter([], 0))
    assert "id <= '0'" in (tmp_path / "input").read_text()
    refuse(step(sql), linter([], 0))
    assert "id > '0' LIMIT" in (tmp_path / "input").read_text() and "--assume-in-transaction" not in (tmp_path / "command").read_text()


@pytest.mark.parametrize(("answer", "status"), [("no JSON", 1), ("[]", 2)])
def test_a_linter_that_does_not_work_is_an_error(linter, answer, status):
    with pytest.raises(MigrationError, match=r"did not check expand step 001_a of 2.0.0.*give linter=off"):
        refuse(step("SELECT 1"), linter(answer, status))


def test_which_linter_is_taken(linter, tmp_path, monkeypatch):
    program = linter([])
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert (find_linter("auto"), find_linter("off"), find_linter(program)) == (program, None, program)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert find_linter("auto") is None
    with pytest.raises(MigrationError, match="/nowhere/squawk is no program on this host"):
        find_linter("/nowhere/squawk")
