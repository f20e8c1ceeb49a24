# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirement E5: policy on failure. Stop, skip, or roll all back."""

from __future__ import annotations

from integration.strategy.plays import COME, GO, HOSTS, break_on, on, say, wait_for

BACK = {"rolling_on_failure": "rollback", "rolling_max_unavailable": 2, "rolling_min_live": 3}
DIRECTION = say("{{ rolling.direction }}")
# Fails on its way to the new release only.
BREAK_W4 = {**break_on("w4"), "when": "rolling.direction == 'forward'"}


def test_e5_stop(play):
    run = play([COME, break_on("w3"), GO], variables={"rolling_on_failure": "stop"})
    assert run.code != 0 and run.came == ["w1", "w2", "w3"] and not run.went_on
    assert "the roll stops: w3 failed; rolling_max_failures allows 0. Not started: w4, w5, w6" in run.words


def test_e5_skip(play):
    run = play([COME, break_on("w2", "w4"), GO], variables={"rolling_on_failure": "skip", "rolling_min_live": 3})
    assert run.came == HOSTS and run.went == ["w1", "w3", "w5", "w6"] and run.went_on


def test_e5_rollback_takes_those_that_were_done_back_in_reverse(play):
    """Through roles, includes by direction, and an end_host of the way forward; w4 fails while w3 is in flight, w5 and w6 never start."""
    w4_fails = {"block": [BREAK_W4], "always": [say("gone", **on("w4"))]}
    # On the way back the third one, w3, is asked to speak before the one beside it is done and lets the last one begin.
    first_back = {**wait_for("w3 to the old one"), "when": "rolling.direction == 'back'"}
    tasks = [COME, {"ansible.builtin.include_tasks": "{{ rolling.direction }}.yml"}, first_back, {"ansible.builtin.import_role": {"name": "small"}},
             w4_fails, wait_for("w4 gone", **on("w3")), {**GO, "notify": "tell"},
             {"ansible.builtin.meta": "end_host", "when": "rolling.direction == 'forward'"}, say("only during the rollback")]
    files = {"forward.yml": [say("to the new one")], "back.yml": [say("to the old one")], "roles/small/tasks/main.yml": [DIRECTION]}
    tell = {"hosts": "web", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "why: {{ rolling_stopped }}"}}]}
    run = play(tasks, keywords={"handlers": [say("tell")]}, variables={**BACK, "rolling_break_play": False}, files=files, after=[tell])
    assert sorted(run.who("forward")) == sorted(run.who("to the new one")) == ["w1", "w2", "w3", "w4"]
    done = run.went[:3]
    assert sorted(done) == ["w1", "w2", "w3"]
    # The last one that was done starts back first, beside the one before it.
    assert done[2] == "w3" and run.who("to the old one")[-1] in done[:2] and sorted(run.who("to the old one")) == sorted(done)
    assert sorted(run.who("back")) == sorted(run.who("only during the rollback")) == ["w1", "w2", "w3"]
    # Whoever ended by end_host ran no handlers.
    assert run.most_of(done) <= 2 and sorted(run.who("tell")) == sorted(done)
    assert "The upgraded members return to the previous release" in run.words and "Returned: " in run.words
    assert "why: w4 failed; rolling_max_failures allows 0; the upgraded members returned" in run.words and run.went_on


def test_e5_a_failure_on_the_way_back_ends_it_and_is_named(play):
    break_back = {**break_on("w2"), "when": "rolling.direction == 'back'"}
    run = play([COME, BREAK_W4, break_back, GO], variables={**BACK, "rolling_max_unavailable": 1})
    assert run.code != 0 and not run.went_on
    assert run.came == ["w1", "w2", "w3", "w4", "w3", "w2"] and run.went == ["w1", "w2", "w3", "w3"]
    assert "the roll stops: w2 failed during the rollback. Not returned to the previous release: w1" in run.words


def test_e5_rollback_without_room_for_it_is_refused_before_the_start(play):
    run = play([COME], variables={"rolling_on_failure": "rollback"})
    assert run.code != 0 and run.log == []
    assert "once one member failed, no member could leave traffic to return to the previous release. Set rolling_min_live to at most 4" in run.words


def test_the_way_back_begins_where_the_way_forward_began(play):
    run = play([say("before"), COME, BREAK_W4, GO], variables={**BACK, "rolling_max_unavailable": 1}, arguments=("--start-at-task", "come"))
    assert run.who("before") == [] and run.came == ["w1", "w2", "w3", "w4", "w3", "w2", "w1"] and run.went[3:] == ["w3", "w2", "w1"]
