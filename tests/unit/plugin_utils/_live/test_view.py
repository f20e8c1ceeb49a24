# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run looks like after its events."""

from __future__ import annotations

import pytest
from sample_roll import POOL, T0, Roll

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.events import fold
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.members import DONE, FAILED, FLIGHT, LOST, RETURNED, STANDBY, STAYS, TODO
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.view import View
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.words import words_of


def events_of(events: list[dict], view: View | None = None) -> tuple[View, list[dict]]:
    view = view or View()
    return view, [reported for number, event in enumerate(events) for reported in fold(view, {"at": T0 + number, **event})]


def states(view: View) -> dict[str, str]:
    return {name: member.state for name, member in view.members.items()}


# -- the whole roll

def test_a_roll_from_its_first_event_to_its_last():
    roll = Roll(6, 2)
    view = roll.until(1.5)
    assert view.service == "shop" and view.phase == "observe" and set(states(view).values()) == {STAYS} and not view.shows_members
    view = roll.until(5)
    assert view.phase == "prepare" and set(states(view).values()) == {TODO} and view.release_from == "1.0.0" and view.release_to == "2.0.0"
    assert view.running["db1"][0] == "Back up and prove every database" and view.capacity(next(iter(view.pools.values()))).live == 6
    view = roll.until(17)
    assert [name for name, state in states(view).items() if state == FLIGHT] == ["app1", "app2"]
    assert {view.members[name].stage for name in ("app1", "app2")} == {"release"} and view.members["app1"].stages[0][0] == "draining"
    pool = view.pools[POOL]
    assert view.capacity(pool).seen and view.capacity(pool).live == 4 and view.holding[0] == "waiting"
    view = roll.until(roll.seconds)
    assert set(states(view).values()) == {DONE} and view.phases["roll"]["finished"] and view.lowest_live == {"shop": 6, POOL: 4}
    assert all([label for label, _seconds in member.stages] == ["draining", "release", "smoke test", "returning"] for member in view.members.values())
    assert all(abs(sum(took for _label, took in member.stages) - member.seconds) < 0.1 for member in view.members.values())


def test_a_bad_release_goes_back_and_the_roll_stops():
    roll = Roll(6, 1, bad=("app2",))
    view = roll.until(roll.seconds)
    assert states(view) == {"app1": DONE, "app2": RETURNED, "app3": TODO, "app4": TODO, "app5": TODO, "app6": TODO}
    assert "answered 503" in view.members["app2"].why and view.holding[0] == "stopped" and view.not_started == ["app3", "app4", "app5", "app6"]
    going_back = next(second for second in range(15, 60) if roll.until(second).members["app2"].back)
    assert roll.until(going_back).members["app2"].state == FLIGHT


def test_a_lost_member_is_lost():
    roll = Roll(6, 1, lost=("app2",))
    view = roll.until(roll.seconds)
    assert view.members["app2"].state == LOST and "timed out" in view.members["app2"].why


def test_the_time_left_is_unknown_rather_than_guessed():
    unknown, reported = Roll(6, 1), Roll(6, 2, expected_s=10.0)
    assert unknown.until(17).seconds_left() is None
    # Two at once, six of them, ten seconds each: thirty, of which about three have gone on each of both.
    assert reported.until(17).seconds_left() == pytest.approx((60 - 2 * (17 - 14.3)) / 2, abs=1.5)
    later = unknown.until(14 + (unknown.seconds - 14) / 2)
    assert later.seconds_left() == pytest.approx(unknown.seconds - 14 - (unknown.seconds - 14) / 2, rel=0.25)
    stopped = Roll(6, 1, bad=("app1",))
    assert stopped.until(stopped.seconds).seconds_left() is None
    paused = unknown.until(40)
    fold(paused, {"event": "paused", "at": T0 + 41, "reason": "control says pause"})
    assert paused.seconds_left() is None
    fold(paused, {"event": "goes_on", "at": T0 + 42})
    assert paused.seconds_left() is not None


def test_a_long_member_bounds_the_time_left():
    members = [{"name": name, "pool": POOL, "domain": None, "step": 0, "pending": True, "in_traffic": True, "expected_s": expected}
               for name, expected in (("a", 100.0), ("b", 10.0))]
    view, _events = events_of([{"event": "roll_begins", "play": "p", "pools": {POOL: {"size": 2, "window": 2, "floor": 0, "steps": [2]}}, "members": members}])
    assert view.seconds_left() == 100.0


def test_a_controller_that_serves_fewer_than_the_window_bounds_the_time_left():
    members = [{"name": f"m{number}", "pool": POOL, "domain": None, "step": 0, "pending": True, "in_traffic": True, "expected_s": 10.0} for number in range(20)]
    begins = {"event": "roll_begins", "play": "p", "pools": {POOL: {"size": 20, "window": 10, "floor": 10, "steps": [20]}}, "members": members}
    assert events_of([begins])[0].seconds_left() == 20.0
    assert events_of([{**begins, "served_at_once": 4}])[0].seconds_left() == 50.0


# -- half of the pool, then the other

PLAN = {"service": "shop", "method": "half_pool", "direction": "upgrade", "release_from": "1.0.0", "release_to": "2.0.0", "pool_size": 2, "live": ["a", "b"],
        "pending": ["a", "b"], "limits": {"max_unavailable": 1, "min_live": 1}, "steps": [["a"], ["b"]], "refusals": [],
        "waves": [{"step": 0, "members": ["a"], "live": 1, "reason": ""}, {"step": 1, "members": ["b"], "live": 1, "reason": ""}]}


def half_roll(pending: str) -> dict:
    return {"event": "roll_begins", "play": "p", "pools": {"the pool": {"size": 2, "window": 1, "floor": 1, "steps": [2]}},
            "members": [{"name": name, "pool": "the pool", "domain": None, "step": None, "pending": name == pending, "in_traffic": True, "expected_s": 0.0}
                        for name in ("a", "b")]}


def test_the_first_half_stands_by_until_the_flip():
    view, _events = events_of([{"event": "facts", "host": "localhost", "facts": {"alwayson_plan": PLAN}}, half_roll("a"),
                               {"event": "started", "member": "a", "pool": "the pool", "direction": "forward"},
                               {"event": "host_begins", "host": "a", "task": "Back", "action": "alwayson.upgrade.traffic_member", "state": "ready"}])
    assert view.members["b"].pending, "the plan's second half is not forgotten by the first roll"
    assert view.members["a"].stage == "starting", "who stands by does not return, whatever its skipped task is called"
    assert [pool.title for pool in view.pools.values()] == ["shop"]
    fold(view, {"event": "finished", "at": T0 + 9, "member": "a", "pool": "the pool", "outcome": "ok", "seconds": 5.0, "why": ""})
    assert states(view) == {"a": STANDBY, "b": TODO}
    capacity = view.capacity(view.pools["the pool"])
    assert (capacity.live, capacity.standing_by, capacity.under, capacity.seen) == (1, 1, False, False)
    reported = fold(view, {"event": "facts", "at": T0 + 10, "host": "localhost", "facts": {"alwayson_flipped": True}})
    assert reported[0]["event"] == "flipped" and reported[0]["members"] == ["a"] and states(view)["a"] == DONE and view.members["a"].seconds == 5.0
    assert view.capacity(view.pools["the pool"]).live == 1, "the second half is out of traffic before it starts"
    fold(view, {"at": T0 + 11, **half_roll("b")})
    assert states(view) == {"a": DONE, "b": TODO}


def test_a_member_that_stands_by_and_is_put_back_is_returned():
    view, _events = events_of([{"event": "facts", "host": "localhost", "facts": {"alwayson_plan": PLAN}}, half_roll("a"),
                               {"event": "started", "member": "a", "pool": "the pool", "direction": "forward"},
                               {"event": "finished", "member": "a", "pool": "the pool", "outcome": "ok", "seconds": 5.0, "why": ""},
                               {"event": "roll_ends", "not_started": []},
                               {"event": "facts", "host": "localhost", "facts": {"alwayson_phases": {"roll": {"started": T0}}}},
                               {"event": "play_begins", "play": "Roll | put back", "strategy": "linear"},
                               {"event": "host_begins", "host": "a", "task": "t", "action": "alwayson.upgrade.release", "state": "current"}])
    assert view.members["a"].state == FLIGHT and view.members["a"].back
    reported = fold(view, {"event": "facts", "at": T0 + 20, "host": "a", "facts": {"alwayson_outcome": {"outcome": "returned", "why": "the roll stopped"}}})
    assert states(view)["a"] == RETURNED and [event["event"] for event in reported[:2]] == ["member_outcome", "finished"]


def test_what_is_only_noted_on_a_member_after_the_roll_is_no_way_back():
    view, reported = events_of([{"event": "facts", "host": "localhost", "facts": {"alwayson_plan": PLAN}}, half_roll("a"),
                                {"event": "started", "member": "a", "pool": "the pool", "direction": "forward"},
                                {"event": "finished", "member": "a", "pool": "the pool", "outcome": "ok", "seconds": 5.0, "why": ""},
                                {"event": "roll_ends", "not_started": []},
                                {"event": "facts", "host": "localhost", "facts": {"alwayson_phases": {"roll": {"started": T0}}}},
                                {"event": "play_begins", "play": "Roll | keep how long it took", "strategy": "linear"}])
    state = states(view)["a"]
    reported = fold(view, {"event": "host_begins", "at": T0 + 20, "host": "a", "task": "Keep it", "action": "ansible.builtin.copy", "state": None})
    assert reported == [] and states(view)["a"] == state


# -- without a strategy that tells

def test_a_roll_that_no_strategy_tells_is_read_from_its_tasks():
    begins = {"event": "play_begins", "play": "roll", "strategy": "alwayson.upgrade.rolling"}
    view, reported = events_of([begins, {"event": "host_begins", "host": "w1", "task": "Think", "action": "ansible.builtin.set_fact", "state": None}])
    assert view.members == {} and len(reported) == 1
    view, reported = events_of([{"event": "host_begins", "host": "w1", "task": "Install", "action": "ansible.builtin.apt", "state": "latest"},
                                {"event": "result", "host": "w1", "task": "Install", "outcome": "changed"},
                                {"event": "host_begins", "host": "w1", "task": "Take care", "action": "my.own.thing", "state": None},
                                {"event": "result", "host": "w1", "task": "Take care", "outcome": "unreachable", "why": "gone"}], view)
    assert [event["event"] for event in reported] == ["started", "stage", "result", "stage", "result", "finished"]
    assert [(event["stage"], event["known"]) for event in reported if event["event"] == "stage"] == [("patching", True), ("Take care", False)]
    assert view.members["w1"].state == LOST and view.members["w1"].why == "gone"


def test_a_stage_that_was_skipped_was_never_there():
    view, _events = events_of([half_roll("a"), {"event": "started", "member": "a", "pool": "the pool", "direction": "forward"},
                               {"event": "host_begins", "host": "a", "task": "one", "action": "command", "state": None},
                               {"event": "host_begins", "host": "a", "task": "two", "action": "command", "state": None},
                               {"event": "result", "host": "a", "task": "two", "outcome": "skipped"}])
    assert view.members["a"].stage == "one" and view.members["a"].stages == []


def test_a_failure_between_the_strategys_events_keeps_its_reason():
    view, reported = events_of([half_roll("a"), {"event": "started", "member": "a", "pool": "the pool", "direction": "forward"},
                                {"event": "result", "host": "a", "task": "Switch", "outcome": "failed", "why": "no such release\nsecond line"},
                                {"event": "finished", "member": "a", "pool": "the pool", "outcome": "failed", "seconds": 3.0, "why": ""}])
    assert view.members["a"].state == FAILED and view.members["a"].why == "Switch: no such release second line" and reported[-1]["why"] == view.members["a"].why
    assert "under_floor" not in [event["event"] for event in reported]


# -- capacity

def test_a_pool_under_its_floor_is_reported_once_and_again_when_it_is_above():
    view, _events = events_of([half_roll("a"), {"event": "live", "pools": {"the pool": ["a", "b"]}}])
    reported = [event for live in ([], [], ["a"], ["a", "b"]) for event in fold(view, {"event": "live", "at": T0 + 9, "pools": {"the pool": live}})]
    assert [event["event"] for event in reported if event["event"] != "live"] == ["under_floor", "above_floor"]
    assert words_of(next(event for event in reported if event["event"] == "under_floor"), view).sentence == "the pool is under its floor: 0 of 2 live, floor 1"
    assert view.lowest_live["the pool"] == 0
