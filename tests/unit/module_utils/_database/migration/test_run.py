# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.ledger import LedgerError, pending
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.ledger_row import Row
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, Outcome, planned, report
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import StepError, steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.step import PostgresqlStep

GIVEN = [{"name": "001_a", "sql": "SELECT 1"}, {"name": "002_b", "sql": "SELECT 2\n"}]
STEPS = steps_of("2.0.0", "expand", GIVEN, PostgresqlStep)


def row(step, release="2.0.0", phase="expand", status="applied", checksum=None):
    return Row(release, phase, step.name, status, checksum or step.checksum, 1.0)


def test_the_checksum_is_of_the_file_as_it_stands():
    assert [step.checksum for step in STEPS] == [hashlib.sha256(entry["sql"].encode()).hexdigest() for entry in GIVEN]


def test_what_the_ledger_does_not_have_is_pending():
    assert pending(STEPS, []) == STEPS
    assert pending(STEPS, [row(STEPS[0])]) == STEPS[1:]
    assert pending(STEPS, [row(STEPS[1])]) == STEPS[:1]
    assert pending(STEPS, [row(step) for step in STEPS]) == []
    assert pending([], [row(STEPS[0])]) == []


def test_other_releases_and_phases_do_not_count():
    assert pending(STEPS, [row(STEPS[0], release="1.0.0"), row(STEPS[0], phase="contract")]) == STEPS


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(STEPS[0], checksum="0" * 64)], "step 001_a of 2.0.0 was applied with the checksum 000000000000"),
        ([row(STEPS[0], status="begun")], "step 001_a of 2.0.0 has the status begun"),
        ([Row("2.0.0", "expand", "000_gone", "applied", "x", 1.0)], "000_gone of 2.0.0, which is not among"),
    ],
)
def test_a_ledger_that_contradicts_the_steps_is_an_error(rows, why):
    with pytest.raises(LedgerError, match=why):
        pending(STEPS, rows)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([GIVEN[0], GIVEN[0]], "two: expand step 001_a"),
        ([{"name": " ", "sql": "SELECT 1"}], "no name"),
        ([{"name": "a", "sql": "SELECT 1; COMMIT"}], "step a of 2.0.0: COMMIT is in it"),
        ([{"name": "a", "sql": "SELECT '\0'"}], "null character"),
        ([{"name": "a", "sql": "SELECT '\udcff'"}], "not text in UTF-8"),
    ],
)
def test_what_cannot_be_a_step_is_refused(given, why):
    with pytest.raises(StepError, match=why):
        steps_of("2.0.0", "expand", given, PostgresqlStep)


def test_the_lock_timeout_grows_to_its_maximum_and_never_goes_away():
    policy = Policy(lock_timeout_ms=50, max_lock_timeout_ms=200)
    timeouts = [policy.timeout_ms(lost) for lost in range(10_000)]
    assert timeouts[:5] == [50, 75, 112, 168, 200] and set(timeouts[4:]) == {200}


def test_after_a_failure_no_further_database_is_begun(monkeypatch):
    begun = []

    def migrate(self, name, _pending):
        begun.append(name)
        if name == "b":
            self._stopped.set()
            return Outcome(planned(STEPS, STEPS), error="broken")
        return Outcome([{**entry, "status": "applied"} for entry in planned(STEPS, STEPS)])

    monkeypatch.setattr(Migrator, "migrate", migrate)
    outcomes = Migrator(None, STEPS, Policy()).migrate_all({"a": STEPS, "b": STEPS, "c": STEPS, "d": []}, 1)
    assert begun == ["a", "b"] and list(outcomes) == ["a", "b", "c", "d"]
    assert "failed in b: broken. The other databases: a: complete (2 applied now), c: not begun, d: complete (0 applied now)." in report(outcomes)
    assert report({"a": outcomes["a"]}) == ""
