# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.checks import (
    budget_of_percentage, refuse_misspelt, refuse_without_way_back, room_warnings,
)
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy, ScheduleError
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import Member
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.variables import live_sources, strategy_options_from


def schedule(size: int, *, min_live=None, **policy) -> Schedule:
    return Schedule([Member(f"m{number}") for number in range(size)], Limits(min_live=min_live), RunPolicy(**policy))


@pytest.mark.parametrize(("name", "meant"), [
    ("rolling_max_unavailble", "rolling_max_unavailable"), ("rolling_unavailable", "rolling_max_unavailable"), ("rolling_domian", "rolling_domain"),
    ("rolling_pools", "rolling_pool"), ("rolling_minlive", "rolling_min_live"), ("rolling_max_failure", "rolling_max_failures"),
])
def test_a_misspelt_variable_is_refused_with_the_name_that_was_meant(name, meant):
    with pytest.raises(ScheduleError, match=f"{name} is not a variable of a roll: did you mean {meant}?"):
        refuse_misspelt(["rolling_steps", name])


def test_variables_of_somebody_else_and_facts_of_the_strategy_are_not():
    refuse_misspelt(["rolling_stone", "rolling_restart", "rolling_log", "rolling_stopped", "rolling_seconds", "rolling_failed", "rolling_update_batch"])


@pytest.mark.parametrize(("size", "min_live", "budget", "room"), [(6, None, 0, 4), (6, 5, 0, 4), (6, 4, 1, 3), (2, None, 0, 0), (10, "60%", 3, 5)])
def test_a_rollback_that_the_floor_would_forbid_is_refused_with_the_floor_that_would_not(size, min_live, budget, room):
    with pytest.raises(ScheduleError, match=f"Set rolling_min_live to at most {room}"):
        refuse_without_way_back(schedule(size, min_live=min_live, max_failures=budget, on_failure="rollback"), ())
    refuse_without_way_back(schedule(size, min_live=room, max_failures=budget, on_failure="rollback"), ())
    refuse_without_way_back(schedule(size, min_live=min_live, max_failures=budget, on_failure="rollback"), ("the pool",))
    refuse_without_way_back(schedule(size, min_live=min_live, max_failures=budget), ())


@pytest.mark.parametrize("room", [True, False])
def test_with_room_for_it_the_scheduler_really_goes_back(room):
    """The refusal is exact: one live member more on the floor, and nobody returns."""
    roll = schedule(6, min_live=4 if room else 5, on_failure="rollback")
    for name in ("m0", "m1"):
        roll.started(name)
        roll.finished(name, "ok" if name == "m0" else "failed")
    assert roll.decide().start == (("m0",) if room else ())


def test_a_pool_of_one_has_nobody_to_take_back():
    refuse_without_way_back(schedule(1, on_failure="rollback"), ())


def test_a_floor_that_stops_before_the_budget_does_is_warned_of():
    assert room_warnings(schedule(6, max_failures=1), ()) == [
        ("rolling_max_failures allows 1, but a failed member is not live: after the first one the floor of 5 of 6 lets no member of the pool start. "
         "Set rolling_min_live to at most 4 to use the budget")]
    assert room_warnings(schedule(6, min_live=4, max_failures=1), ()) == room_warnings(schedule(6), ()) == []
    assert room_warnings(schedule(6, max_failures=1), ("the pool",)) == []


@pytest.mark.parametrize(("percentage", "hosts", "budget"), [(0, 6, 0), (20, 6, 1), (33.4, 3, 1), (33, 3, 0), (100, 6, 6)])
def test_max_fail_percentage_is_what_it_was_before(percentage, hosts, budget):
    assert budget_of_percentage(percentage, hosts) == budget


def test_what_only_the_strategy_reads_has_defaults_and_is_checked():
    plain = strategy_options_from({"m0": {}})
    assert (plain.pool_hosts, plain.control, plain.capacity_timeout, plain.break_play) == ([], None, 300.0, True)
    given = strategy_options_from({"m0": {"rolling_break_play": "false", "rolling_capacity_timeout": "0", "rolling_pool_hosts": ("m0",)}})
    assert (given.pool_hosts, given.capacity_timeout, given.break_play) == (["m0"], 0.0, False)
    for name, value in (("rolling_break_play", "perhaps"), ("rolling_capacity_timeout", "soon"), ("rolling_pool_hosts", "web")):
        with pytest.raises(ScheduleError, match=f"{name} is '{value}'"):
            strategy_options_from({"m0": {name: value}})


def test_live_members_are_read_where_their_pool_says():
    source = {"backend": "app", "load_balancers": []}
    hosts = {"m0": {"rolling_pool": "app", "rolling_live": source, "rolling_member": "s0"}, "m1": {"rolling_pool": "app", "rolling_live": source}, "m2": {}}
    assert live_sources(hosts) == ({"app": source}, {"app": {"m0": "s0", "m1": "m1"}, "the pool": {"m2": "m2"}})
