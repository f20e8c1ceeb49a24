# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.messages import (
    forks_warning, roll_begins, state_for, describe_stop, describe_rollback, describe_rollback_end, why_it_stopped,
)
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import Member


def schedule(on_failure: str = "stop", min_live: int = 1) -> Schedule:
    members = [Member("a1", pool="a", domain="east", expected_s=3.0), Member("a2", pool="a"), Member("a3", pool="a"), Member("b1", pool="b", in_traffic=False)]
    return Schedule(members, {"a": Limits(2, min_live=min_live), "b": Limits()}, RunPolicy(on_failure=on_failure), pending=["a1", "a2", "b1"])


def do(roll: Schedule, *steps: tuple[str, str]) -> None:
    for name, outcome in steps:
        roll.started(name)
        roll.finished(name, outcome)


def test_the_first_event_names_pools_and_members():
    reported = roll_begins(schedule(), "shop")
    assert reported["play"] == "shop"
    assert reported["pools"] == {"a": {"size": 3, "window": 2, "floor": 1, "steps": [2]}, "b": {"size": 1, "window": 1, "floor": 0, "steps": [1]}}
    assert reported["members"][0] == {"name": "a1", "pool": "a", "domain": "east", "step": 0, "pending": True, "in_traffic": True, "expected_s": 3.0}
    assert [(member["name"], member["step"], member["pending"], member["in_traffic"]) for member in reported["members"][2:]] == [
        ("a3", None, False, True), ("b1", 0, True, False)]


def test_tasks_see_the_state_of_their_own_pool():
    roll = schedule()
    roll.started("a1")
    assert state_for(roll, "b1") == {"direction": "forward", "window": 1, "floor": 0, "in_flight": ["a1"], "failed": [], "pending": 2}
    assert state_for(roll, "a1")["window"] == state_for(roll, "elsewhere")["window"] == state_for(roll, None)["window"] == 2


def test_forks_are_warned_of_when_they_are_fewer_than_the_window():
    assert "forks allows 2 members in flight, fewer than rolling_max_unavailable (3): run ansible-playbook with --forks 3" in forks_warning(schedule(), 2)
    assert forks_warning(schedule(), 3) == ""


def test_a_roll_that_is_done_has_no_reason():
    roll = schedule()
    do(roll, ("a1", "ok"), ("a2", "ok"), ("b1", "ok"))
    assert why_it_stopped(roll, roll.decide()) == ""


def test_a_roll_that_stops_names_who_is_left():
    roll = schedule()
    do(roll, ("a1", "failed"))
    last = roll.decide()
    assert describe_stop(roll, last) == f"the roll stops: {last.reason}. Not started: a2, b1" and "a1 failed" in last.reason
    assert why_it_stopped(roll, last) == last.reason


def test_a_roll_that_never_went_on_has_a_reason():
    roll = schedule()
    do(roll, ("a1", "ok"))
    assert why_it_stopped(roll, roll.decide()) == "the play ended before every member had started"


def test_the_way_back_is_reported_with_what_came_of_it():
    roll = schedule("rollback", min_live=0)
    do(roll, ("a1", "ok"), ("b1", "ok"), ("a2", "failed"))
    assert describe_rollback(roll) == f"the roll stops: {roll.stop_reason}. The upgraded members return to the previous release"
    roll.decide()
    do(roll, ("b1", "ok"))
    assert roll.decide().start == ("a1",)
    do(roll, ("a1", "ok"))
    reason = why_it_stopped(roll, roll.decide())
    assert reason == f"{roll.stop_reason}; the upgraded members returned"
    assert describe_rollback_end(roll, reason) == f"the roll was rolled back: {reason}. Returned: a1, b1"


def test_a_way_back_that_fails_names_who_did_not_return():
    roll = schedule("rollback", min_live=0)
    do(roll, ("a1", "ok"), ("b1", "ok"), ("a2", "failed"))
    roll.decide()
    do(roll, ("b1", "failed"))
    last = roll.decide()
    assert describe_stop(roll, last) == f"the roll stops: {last.reason}. Not returned to the previous release: a1"
    assert "b1 failed during the rollback" in last.reason
    assert why_it_stopped(roll, last) == f"{roll.stop_reason}; {last.reason}"
    assert describe_rollback_end(roll, "why") == "the roll was rolled back: why. Returned: none"
