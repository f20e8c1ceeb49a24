# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirement E1: a lost (unreachable) host stops the roll. Builtin serial goes on."""

from __future__ import annotations

import pytest
from integration.strategy.plays import COME, GO, HOSTS, break_on, lose_on, on, say


@pytest.mark.parametrize("keywords", [{}, {"any_errors_fatal": True, "max_fail_percentage": 0}])
def test_e1_a_lost_host_stops_the_roll_and_the_playbook(play, keywords):
    run = play([COME, lose_on("w2"), GO], keywords=keywords)
    assert run.code != 0 and not run.went_on
    assert run.came == ["w1", "w2"] and run.went == ["w1"]
    assert "the roll stops: w2 was lost" in run.words and "Not started: w3, w4, w5, w6" in run.words
    assert "not supported" not in run.words and "w3" not in run.words.split("PLAY RECAP")[1]


def test_e1_a_host_that_is_lost_in_its_rescue_stops_the_roll(play):
    rescued = {"block": [COME, break_on("w2")], "rescue": [lose_on("w2"), say("repair")]}
    run = play([rescued, GO], variables={"rolling_max_unavailable": 2, "rolling_min_live": 3})
    assert run.code != 0 and not run.went_on
    assert "w2 was lost" in run.words and run.who("repair") == [] and set(run.came) <= {"w1", "w2", "w3"}


def test_e1_ignore_unreachable_is_honoured(play):
    run = play([COME, lose_on("w2"), {**GO, "ignore_unreachable": True}])
    assert run.code == 0 and run.went_on
    assert run.came == HOSTS and run.went == ["w1", "w3", "w4", "w5", "w6"]


def test_hosts_that_an_earlier_play_failed_or_lost_count_and_never_start(play):
    earlier = {"hosts": "web", "gather_facts": False, "tasks": [break_on("w3"), lose_on("w5"), {"ansible.builtin.raw": "true"}]}
    run = play([COME, break_on("w4"), GO], before=[earlier], variables={"rolling_max_failures": 2, "rolling_min_live": 2})
    assert run.code != 0 and run.came == ["w1", "w2", "w4"] and not run.went_on
    assert "w3 failed, w5 was lost, w4 failed; rolling_max_failures allows 2. Not started: w6" in run.words


def test_clearing_errors_does_not_bring_a_lost_or_failed_host_back_into_the_roll(play):
    tasks = [COME, lose_on("w1"), break_on("w2"), {"ansible.builtin.meta": "clear_host_errors", **on("w3")}, GO]
    again = {"hosts": "web", "gather_facts": False, "tasks": [say("again")]}
    find = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.raw": "rm {{ lost }}/w1"}]}
    run = play(tasks, variables={"rolling_max_failures": 2, "rolling_min_live": 0}, after=[find, again])
    assert run.code == 0 and run.went_on, run.output
    assert sorted(run.came) == HOSTS and sorted(run.went) == ["w3", "w4", "w5", "w6"]
    assert sorted(run.who("again")) == HOSTS


def test_a_playbook_that_repairs_itself_goes_on_after_the_roll(play):
    tell = {"hosts": "web", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "why: {{ rolling_stopped }}"}}]}
    run = play([COME, break_on("w3"), GO], variables={"rolling_break_play": "false"}, after=[tell])
    assert run.came == ["w1", "w2", "w3"] and run.log[-1] == "next play"
    assert "why: w3 failed; rolling_max_failures allows 0" in run.words
