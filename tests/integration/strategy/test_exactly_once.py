# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirement E6: exactly-once steps. What must run once never runs once per host or per batch."""

from __future__ import annotations

import pytest
from integration.strategy.plays import COME, GO, HOSTS, say

MIGRATE = say("migrate", run_once=True)
ADD_HOST = {"name": "grow", "ansible.builtin.add_host": {"name": "w7"}}
INCLUDE = {"ansible.builtin.include_tasks": "more.yml"}


@pytest.mark.parametrize(("tasks", "keywords", "words"), [
    ([COME, MIGRATE], {}, "task 'migrate' is run_once, which a rolling play cannot honour: put it into a play of its own"),
    ([COME], {"handlers": [{"block": [say("tell"), MIGRATE]}]}, "task 'migrate' is run_once"),
    ([COME, ADD_HOST], {}, "task 'grow' uses ansible.builtin.add_host, which runs once for all hosts"),
])
def test_e6_what_runs_once_is_refused_before_any_host_starts(play, tasks, keywords, words):
    run = play(tasks, keywords=keywords)
    assert run.code != 0 and run.log == [] and words in run.words
    assert "not supported" not in run.words and "not currently supported" not in run.words


@pytest.mark.parametrize(("tasks", "more"), [
    ([COME, say("migrate", run_once="{{ once }}")], []),
    ([COME, INCLUDE], [MIGRATE]),
])
def test_e6_what_turns_out_to_run_once_stops_the_roll_at_the_first_host(play, tasks, more):
    run = play([*tasks, GO], variables={"once": True}, files={"more.yml": more})
    assert run.code != 0 and run.log == ["w1 come"] and "the roll stops: w1: task 'migrate' is run_once" in run.words
    assert "not supported" not in run.words and "not currently supported" not in run.words


def test_e6_a_play_of_its_own_runs_once(play):
    migration = {"hosts": "web", "gather_facts": False, "tasks": [MIGRATE]}
    run = play([COME, say("perhaps", run_once="{{ false }}"), GO], before=[migration], variables={"rolling_max_unavailable": 3})
    assert run.code == 0 and run.log[0] == "w1 migrate" and len(run.who("migrate")) == 1
    assert sorted(run.who("perhaps")) == HOSTS
