# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy, ScheduleError, resolve_count
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import Member, named_steps, split_into_steps
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.waves import waves


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


# -- several pools, and what holds for all of them


def two_pools(count: int = 4, domains: int = 2) -> list[Member]:
    """web1.. in pool web and app1.. in pool app, both over the same domains."""
    return [Member(f"{name}{n}", f"zone{(n - 1) % domains}", pool=name) for name in ("web", "app") for n in range(1, count + 1)]


def test_each_pool_has_its_own_limits_and_gives_one_member_in_turn():
    schedule = Schedule(two_pools(), {"web": Limits(max_unavailable=2), "app": Limits(max_unavailable="75%", min_live=1)})
    assert schedule.decide().start == ("web1", "app1", "web3", "app3", "app2")
    assert {name: (pool.size, pool.window, pool.floor) for name, pool in schedule.pools.items()} == {"web": (4, 2, 2), "app": (4, 3, 1)}


def test_a_pool_without_limits_is_refused_by_name():
    with pytest.raises(ScheduleError, match="pool app has no limits"):
        Schedule(two_pools(), {"web": Limits()})


def test_one_pool_that_waits_does_not_hold_the_other():
    schedule = Schedule(two_pools(), {"web": Limits(min_live=4), "app": Limits()})
    assert schedule.decide().start == ("app1",)
    schedule.started("app1")
    assert schedule.decide().reason == (
        "4 members of web are live beside those in flight; taking web1 would leave less than the floor of 4; "
        "1 member of app is in flight; rolling_max_unavailable allows 1")


def test_domains_at_once_count_over_all_pools():
    schedule = Schedule(two_pools(), Limits(max_unavailable=4), RunPolicy(domains_at_once=1))
    assert schedule.decide().start == ("web1", "app1", "web3", "app3")
    for name in ("web1", "web3", "app1", "app3"):
        schedule.started(name)
    assert schedule.decide().reason == "members of zone0 are in flight; rolling_domains_at_once allows 1"
    for name in ("web1", "web3", "app1"):
        schedule.finished(name, "ok")
    assert schedule.decide().start == ()
    schedule.finished("app3", "ok")
    assert schedule.decide().start == ("web2", "app2", "web4", "app4")


@pytest.mark.parametrize(("value", "expected"), [("10%", 1), ("50%", 2), ("99%", 3), ("100%", 4), (2, 2), (0, 1)])
def test_a_percentage_of_domains_rounds_down_to_at_least_one(value, expected):
    assert RunPolicy(domains_at_once=value).window_of_domains(4) == expected


def test_a_percentage_per_domain_is_of_the_pools_members_in_that_domain():
    members = [Member(f"app{n}", "east" if n <= 6 else "west") for n in range(1, 9)]
    start = Schedule(members, Limits(max_unavailable=8, max_per_domain="50%")).decide().start
    assert start == ("app1", "app2", "app3", "app7")


def test_the_limit_per_domain_is_counted_in_each_pool():
    start = Schedule(two_pools(), Limits(max_unavailable=4, max_per_domain=1)).decide().start
    assert start == ("web1", "app1", "web2", "app2")


def test_members_without_a_domain_count_as_one_domain_and_go_first():
    members = [Member("app1", "east"), Member("app2"), Member("app3")]
    schedule = Schedule(members, Limits(max_unavailable=3, max_per_domain=1))
    assert schedule.decide().start == ("app2", "app1")
    for name in ("app2", "app1"):
        schedule.started(name)
    assert schedule.decide().reason == "1 member without a domain is in flight; rolling_max_per_domain allows 1"


def test_the_controllers_forks_bound_all_pools_together():
    schedule = Schedule(two_pools(), Limits(max_unavailable=4), RunPolicy(max_in_flight=3))
    start = schedule.decide().start
    assert start == ("web1", "app1", "web3")
    for name in start:
        schedule.started(name)
    assert schedule.decide().reason == "3 members are in flight; the controller serves 3 (forks)"


def test_a_full_domain_does_not_hold_the_next_one():
    schedule = Schedule(pool(6, 2), Limits(max_unavailable=6, max_per_domain=1))
    schedule.started("app1")
    assert schedule.decide().start == ("app2",)


# -- steps


def test_members_out_of_traffic_are_in_the_first_step_whatever_their_domain():
    members = pool(6, 2, app4={"in_traffic": False}, app6={"in_traffic": False})
    step_of = split_into_steps(members, (2, "100%"))
    assert sorted(name for name, step in step_of.items() if step == 0) == ["app4", "app6"]


def test_a_pinned_member_keeps_its_step_and_takes_a_place_in_it():
    step_of = split_into_steps(pool(4, 1, app4={"step": 0}, app1={"step": 2}), (1, 2, "100%"))
    assert step_of == {"app4": 0, "app2": 1, "app3": 2, "app1": 2}


@pytest.mark.parametrize("step", [-1, 2])
def test_a_step_that_there_is_not_is_refused(step):
    with pytest.raises(ScheduleError, match="rolling_step of app2"):
        split_into_steps(pool(4, 1, app2={"step": step}), ("50%", "100%"))


def test_a_step_with_more_members_than_the_pool_has_is_all_of_it():
    assert set(split_into_steps(pool(3), (5, "100%")).values()) == {0}


@pytest.mark.parametrize("left", range(1, 11))
def test_steps_that_fit_the_pool_fit_what_is_left_of_it_after_an_interrupted_run(left):
    names = [f"app{n}" for n in range(1, left + 1)]
    step_of = Schedule(pool(10), Limits(steps=(5, "50%", "100%")), pending=names).pools["the pool"].step_of
    assert sorted(step_of) == sorted(names)
    assert sorted(step_of.values()) == [0] * min(5, left) + [2] * max(0, left - 5)


def test_the_steps_of_one_pool_do_not_hold_another():
    schedule = Schedule(two_pools(), {"web": Limits(steps=(1, "100%")), "app": Limits()})
    assert schedule.decide().start == ("web1", "app1")
    schedule.started("web1")
    schedule.started("app1")
    schedule.finished("app1", "ok")
    assert schedule.decide().start == ("app3",)


def test_the_methods_names_are_lists_of_steps():
    sizes = {name: Schedule(pool(20), Limits(steps=named_steps(name))).pools["the pool"].step_sizes() for name in ("rolling", "half_pool", "canary")}
    assert sizes == {"rolling": [20], "half_pool": [10, 10], "canary": [1, 1, 8, 10]}
