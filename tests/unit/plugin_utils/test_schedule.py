# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.alwayson.upgrade.plugins.plugin_utils.limits import Limits, RunPolicy, ScheduleError, resolve_count
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.schedule import Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.steps import Member, named_steps, split_into_steps
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.waves import waves


def pool(count: int, domains: int = 2, **changes: dict) -> list[Member]:
    """app1..appN, spread over the domains in turn; ``changes`` by name."""
    return [Member(**{"name": f"app{n}", "domain": f"zone{(n - 1) % domains}", **changes.get(f"app{n}", {})}) for n in range(1, count + 1)]


@pytest.mark.parametrize(("value", "total", "up", "expected"), [
    (3, 10, False, 3), ("3", 10, False, 3), ("25%", 6, False, 1), ("25%", 6, True, 2), ("0%", 6, True, 0), ("100%", 6, False, 6), ("34%", 3, True, 2),
])
def test_percentages_round_as_kubernetes_does(value, total, up, expected):
    assert resolve_count(value, total, name="x", round_up=up) == expected


@pytest.mark.parametrize("value", ["half", "-1", -1, "101%", "1.5", "", True, None, [1]])
def test_a_count_that_is_none_is_refused_by_name(value):
    with pytest.raises(ScheduleError, match="rolling_max_unavailable"):
        resolve_count(value, 10, name="rolling_max_unavailable")


def test_the_window_is_at_least_one_and_the_floor_is_the_rest():
    limits = Limits(max_unavailable="10%")
    assert (limits.window(6), limits.floor(6)) == (1, 5)
    assert Limits(max_unavailable=2, min_live="60%").floor(6) == 4


def test_a_floor_above_the_pool_is_refused():
    with pytest.raises(ScheduleError, match="only 6 members"):
        Schedule(pool(6), Limits(min_live=7))


def test_one_name_twice_is_refused():
    with pytest.raises(ScheduleError, match="app1 is in the pool twice"):
        Schedule([*pool(2), Member("app1")], Limits())


def test_slots_not_batches_the_next_starts_when_one_is_done():
    schedule = Schedule(pool(6, 1), Limits(max_unavailable=2))
    assert schedule.decide().start == ("app1", "app2")
    schedule.started("app1")
    schedule.started("app2")
    refused = schedule.decide()
    assert refused.start == () and "2 members of the pool are in flight" in refused.reason
    schedule.finished("app2", "ok")
    assert schedule.decide().start == ("app3",)


@pytest.mark.parametrize("outcome", ["failed", "lost"])
def test_the_first_failed_or_lost_member_stops_the_roll(outcome):
    schedule = Schedule(pool(6), Limits(max_unavailable=2))
    schedule.started("app1")
    schedule.finished("app1", outcome)
    decision = schedule.decide()
    assert decision.stopped and decision.start == () and "app1" in decision.reason


def test_the_budget_counts_the_whole_run_and_skip_never_stops():
    schedule = Schedule(pool(6), Limits(), RunPolicy(max_failures=1))
    schedule.finished("app1", "failed")
    assert not schedule.decide().stopped
    schedule.finished("app2", "lost")
    assert schedule.decide().stopped
    skipping = Schedule(pool(6), Limits(min_live=0), RunPolicy(on_failure="skip"))
    for name in ("app1", "app2", "app3"):
        skipping.finished(name, "failed")
    assert skipping.decide().start == ("app5",)


def test_a_member_that_is_out_already_goes_first_and_costs_no_capacity():
    members = pool(4, 1, app3={"in_traffic": False})
    schedule = Schedule(members, Limits(max_unavailable=2, min_live=3))
    decision = schedule.decide(live={"the pool": frozenset({"app1", "app2", "app4"})})
    assert decision.start == ("app3",)


def test_a_sick_member_lowers_what_may_leave():
    schedule = Schedule(pool(6, 1), Limits(max_unavailable=3, min_live=4))
    seen = frozenset({"app1", "app2", "app3", "app4", "app5"})
    assert schedule.decide(live={"the pool": seen}).start == ("app6", "app1")
    none_left = schedule.decide(live={"the pool": frozenset({"app1", "app2", "app3", "app4"})})
    assert none_left.start == ("app5", "app6")
    stuck = Schedule(pool(4, 1), Limits(min_live=4)).decide()
    assert stuck.start == () and "floor of 4" in stuck.reason


def test_a_member_that_was_admitted_but_still_shows_live_is_not_counted_on():
    schedule = Schedule(pool(4, 1), Limits(max_unavailable=4, min_live=3))
    everybody = frozenset({"app1", "app2", "app3", "app4"})
    assert schedule.decide(live={"the pool": everybody}).start == ("app1",)
    schedule.started("app1")
    assert schedule.decide(live={"the pool": everybody}).start == ()


def test_domains_are_limited_and_taken_one_after_the_other():
    schedule = Schedule(pool(6, 2), Limits(max_unavailable=3, max_per_domain=2))
    assert schedule.decide().start == ("app1", "app3", "app2")
    alone = Schedule(pool(6, 2), Limits(max_unavailable=4), RunPolicy(domains_at_once=1))
    assert alone.decide().start == ("app1", "app3", "app5")


def test_the_longest_expected_goes_first():
    members = pool(3, 1, app2={"expected_s": 9.0}, app3={"expected_s": 5.0})
    assert Schedule(members, Limits()).pending == ["app2", "app3", "app1"]


def test_each_half_of_a_half_pool_covers_every_domain():
    members = [Member(f"app{n}", "east" if n <= 3 else "west") for n in range(1, 7)]
    step_of = split_into_steps(members, named_steps("half_pool"))
    halves = [{member.domain for member in members if step_of[member.name] == step} for step in (0, 1)]
    assert halves == [{"east", "west"}, {"east", "west"}]
    assert sorted(step_of.values()) == [0, 0, 0, 1, 1, 1]


def test_a_step_waits_for_the_one_before():
    schedule = Schedule(pool(4, 1), Limits(max_unavailable=4, min_live=0, steps=(1, "100%")))
    assert schedule.decide().start == ("app1",)
    schedule.started("app1")
    assert "step 1 of the pool is not finished" in schedule.decide().reason
    schedule.finished("app1", "ok")
    assert schedule.decide().start == ("app2", "app3", "app4")


@pytest.mark.parametrize("steps", [["50%"], [3, 2, "100%"], "sideways", [], None])
def test_steps_that_never_reach_the_whole_pool_are_refused(steps):
    with pytest.raises(ScheduleError, match="rolling_steps"):
        Schedule(pool(4), Limits(steps=named_steps(steps)))


def test_the_plan_comes_from_the_same_scheduler():
    predicted = waves(Schedule(pool(6), Limits(max_unavailable=2)))
    assert [len(wave["members"]) for wave in predicted] == [2, 2, 2]
    assert [wave["live"] for wave in predicted] == [4, 4, 4]
    never = waves(Schedule(pool(3), Limits(min_live=3)))
    assert never[-1]["members"] == [] and "floor of 3" in never[-1]["reason"]


