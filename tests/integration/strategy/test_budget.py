# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirement E2: a failure budget for the whole run, absolute or percent, not per batch."""

from __future__ import annotations

import pytest
from integration.strategy.plays import COME, GO, HOSTS, break_on, lose_on, on, say, wait_for

ROOM = {"rolling_min_live": 3}


@pytest.mark.parametrize(("keywords", "variables"), [
    ({}, {"rolling_max_failures": 1}),
    ({"max_fail_percentage": 20}, {}),
])
def test_e2_the_budget_is_for_the_whole_run(play, keywords, variables):
    """Never two failures in a row, so that no batch of whatever size could have stopped it before."""
    run = play([COME, lose_on("w2"), break_on("w5"), GO], keywords=keywords, variables={**ROOM, **variables})
    assert run.code != 0 and not run.went_on
    assert run.came == ["w1", "w2", "w3", "w4", "w5"] and run.went == ["w1", "w3", "w4"]
    assert "w2 was lost, w5 failed; rolling_max_failures allows 1" in run.words and "Not started: w6" in run.words
    assert "not supported" not in run.words


def test_e2_failures_within_the_budget_do_not_end_the_playbook(play):
    run = play([COME, break_on("w2"), GO], variables={**ROOM, "rolling_max_failures": "17%"})
    assert run.came == HOSTS and run.went_on


def test_a_budget_does_not_lower_the_floor_and_that_is_said_before_the_start(play):
    run = play([COME, break_on("w3"), GO], variables={"rolling_max_failures": 1})
    assert run.code != 0 and run.came == ["w1", "w2", "w3"] and "less than the floor of 5" in run.words
    assert "after the first one the floor of 5 of 6 lets no member of the pool start. Set rolling_min_live to at most 4" in run.words.split("TASK")[0]


def test_a_rescued_host_that_says_it_failed_counts_as_failed(play):
    soft = {"block": [break_on("w3")], "rescue": [{"ansible.builtin.set_fact": {"rolling_failed": "yes"}}], "always": [say("tidy")]}
    run = play([COME, soft, say("more"), GO])
    assert run.code != 0 and run.came == ["w1", "w2", "w3"] and not run.went_on
    assert "w3 more" in run.log and "the roll stops: w3 failed" in run.words


@pytest.mark.parametrize("ending", ["always", "tasks after a rescue that says it failed"])
def test_nobody_starts_beside_a_host_whose_failure_is_certain_already(play, ending):
    """w1 has failed but is still busy when w2 is done: w3 must not start."""
    slow = [say("failed", **on("w1")), wait_for("w2 go", **on("w1")), {"ansible.builtin.raw": "sleep 0.3", **on("w1")}, say("slow", **on("w1"))]
    broken = break_on("w1")
    if ending == "always":
        tasks = [COME, {"block": [broken], "always": slow}]
    else:
        tasks = [COME, {"block": [broken], "rescue": [{"ansible.builtin.set_fact": {"rolling_failed": True}}]}, *slow]
    run = play([*tasks, wait_for("w1 failed", **on("w2")), GO], variables={"rolling_max_unavailable": 2})
    assert run.code != 0 and sorted(run.came) == ["w1", "w2"] and "w1 slow" in run.log
