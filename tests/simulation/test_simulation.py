# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simulation.mutants import MUTANTS, caught
from simulation.rules import Violation, share
from simulation.scenario import scenario
from simulation.tally import Tally
from simulation.tell import report
from simulation.world import play

FLEETS = 1500
SEED = "1"
# Every planted bug must be noticed within so many of the same fleets.
ENOUGH_FOR_A_BUG = 400
PROMISES = {"W", "I3", "S", "I10", "B", "E", "P", "D", "R", "U", "O", "I2", "I7"}


def test_every_promise_is_kept_in_every_fleet_and_everything_was_met():
    tally = Tally()
    for number in range(FLEETS):
        try:
            play(f"{SEED}:{number}", tally)
        except Violation as violation:
            pytest.fail(report(violation, SEED, number), pytrace=False)
    assert tally["fleets"] == FLEETS and tally["admissions"] > 10 * FLEETS
    assert tally.missing() == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_planted_bug_is_caught_by_the_promise_that_it_breaks(mutant):
    found = caught(mutant, SEED, ENOUGH_FOR_A_BUG)
    assert found is not None, f"{ENOUGH_FOR_A_BUG} fleets did not notice: {mutant.name}"
    _number, violation = found
    assert violation.promise in mutant.promises.split(), str(violation)


def test_every_promise_has_a_bug_that_only_it_must_catch():
    alone = {mutant.promises for mutant in MUTANTS if " " not in mutant.promises}
    assert alone == PROMISES
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) > 50


def test_one_seed_is_one_story():
    first, second = play("7:3", Tally()), play("7:3", Tally())
    assert first.history == second.history and len(first.history) > 5
    assert scenario("7:3") != scenario("7:4")


def test_a_broken_promise_is_reported_with_its_seed_and_its_history():
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "a pause is ignored")
    number, violation = caught(mutant, SEED, ENOUGH_FOR_A_BUG)
    reported = report(violation, SEED, number)
    assert f"--seed {SEED} --only {number}" in reported and "the operator says pause" in reported and reported.count("BROKEN promise P") == 2
    assert len(reported.splitlines()) < 60


@pytest.mark.parametrize(("value", "total", "up", "expected"), [
    (3, 10, False, 3), ("25%", 6, False, 1), ("25%", 6, True, 2), ("0%", 6, True, 0), ("34%", 3, True, 2),
])
def test_the_judge_rounds_by_itself(value, total, up, expected):
    assert share(value, total, up=up) == expected


def test_the_command_plays_fleets_and_tells_what_happened():
    tests = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "simulation", "--fleets", "20", "--seed", "5"]
    run = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "20 fleets" in run.stdout and "controller deaths" in run.stdout and "every promise was kept" in run.stdout
