# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public rolling_* variables: what each of them becomes, and every refusal with the variable's name."""

from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule import variables as schedule_variables
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy, ScheduleError
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import DEFAULT_POOL, Member
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.variables import (
    agreed, known_variables, limits_by_pool, limits_from, member_from, run_policy_from, schedule_from, strategy_options_from,
)

LIMITS = {
    "rolling_max_unavailable": ("25%", "max_unavailable", "25%"), "rolling_min_live": (3, "min_live", 3), "rolling_max_per_domain": (1, "max_per_domain", 1),
    "rolling_steps": ("canary", "steps", (1, "10%", "50%", "100%")),
}
OF_THE_RUN = {
    "rolling_max_failures": ("10%", "max_failures", "10%"), "rolling_on_failure": ("rollback", "on_failure", "rollback"),
    "rolling_domains_at_once": (2, "domains_at_once", 2), "rolling_member_timeout": ("900", "member_timeout", 900.0),
    "rolling_progress_deadline": (60, "progress_deadline", 60.0),
}
MEMBERS = {
    "rolling_pool": ("web", "pool", "web"), "rolling_domain": (4, "domain", "4"), "rolling_in_traffic": (False, "in_traffic", False),
    "rolling_expected_s": ("12.5", "expected_s", 12.5), "rolling_step": ("1", "step", 1),
}
OPTIONS = {
    "rolling_pool_hosts": (["app1"], "pool_hosts", ["app1"]), "rolling_control": ("/run/control", "control", "/run/control"),
    "rolling_probe": ({"directory": "/run/probe", "max_failed": "1%"}, "probe", {"directory": "/run/probe", "max_failed": "1%"}),
    "rolling_capacity_timeout": ("5", "capacity_timeout", 5.0), "rolling_break_play": ("no", "break_play", False),
}
READ_BY_THE_STRATEGY = {"rolling_live", "rolling_member", "rolling_failed"}


def test_every_variable_is_known_and_covered_here():
    assert len(known_variables()) == len(set(known_variables()))
    assert set(known_variables()) == {*LIMITS, *OF_THE_RUN, *MEMBERS, *OPTIONS} | READ_BY_THE_STRATEGY


@pytest.mark.parametrize("name", LIMITS)
def test_a_pools_variable_becomes_its_limit(name):
    value, attribute, expected = LIMITS[name]
    assert limits_from({name: value}) == Limits(**{attribute: expected})


@pytest.mark.parametrize("name", OF_THE_RUN)
def test_a_runs_variable_becomes_its_policy(name):
    value, attribute, expected = OF_THE_RUN[name]
    assert run_policy_from({"app1": {name: value}}) == RunPolicy(**{attribute: expected})


@pytest.mark.parametrize("name", MEMBERS)
def test_a_hosts_variable_becomes_the_members(name):
    value, attribute, expected = MEMBERS[name]
    assert member_from("app1", {name: value}) == Member("app1", **{attribute: expected})


@pytest.mark.parametrize("name", OPTIONS)
def test_a_variable_of_the_strategy_is_read(name):
    value, attribute, expected = OPTIONS[name]
    assert getattr(strategy_options_from({"app1": {name: value}}), attribute) == expected
    assert getattr(strategy_options_from({"app1": {}}), attribute) != expected


@pytest.mark.parametrize("name", [*LIMITS, *OF_THE_RUN, *MEMBERS, *OPTIONS])
def test_none_means_not_given(name):
    variables = {name: None}
    assert limits_from(variables) == limits_from({}) == Limits()
    assert run_policy_from({"app1": variables}) == run_policy_from({}) == RunPolicy()
    assert member_from("app1", variables) == member_from("app1", {}) == Member("app1", pool=DEFAULT_POOL)
    assert strategy_options_from({"app1": variables}) == strategy_options_from({"app1": {}})


def test_an_empty_domain_is_none():
    assert member_from("app1", {"rolling_domain": ""}).domain is None


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("true", True), ("Yes", True), (1, True), ("on", True), (False, False), ("false", False),
                                                 ("No", False), (0, False), ("off", False)])
def test_in_traffic_is_read_as_inventories_write_it(value, expected):
    assert member_from("app1", {"rolling_in_traffic": value}).in_traffic is expected


@pytest.mark.parametrize(("name", "value", "says"), [
    ("rolling_in_traffic", "perhaps", "rolling_in_traffic of app1 is 'perhaps': give true or false"),
    ("rolling_in_traffic", [], "rolling_in_traffic of app1"),
    ("rolling_expected_s", "soon", "rolling_expected_s of app1 is 'soon': give seconds"),
    ("rolling_expected_s", -1, "rolling_expected_s of app1"),
    ("rolling_expected_s", "nan", "rolling_expected_s of app1"),
    ("rolling_expected_s", True, "rolling_expected_s of app1"),
    ("rolling_step", "first", "rolling_step of app1 is 'first': give a step's number"),
    ("rolling_step", 1.5, "rolling_step of app1"),
    ("rolling_step", True, "rolling_step of app1"),
])
def test_a_hosts_variable_of_the_wrong_kind_is_refused_by_name(name, value, says):
    with pytest.raises(ScheduleError) as refusal:
        member_from("app1", {name: value})
    assert says in str(refusal.value)


@pytest.mark.parametrize(("name", "value"), [
    ("rolling_max_unavailable", "some"), ("rolling_max_unavailable", -1), ("rolling_max_unavailable", "120%"), ("rolling_max_unavailable", True),
    ("rolling_min_live", "all"), ("rolling_min_live", 5), ("rolling_max_per_domain", 0.5), ("rolling_steps", "sideways"), ("rolling_steps", []),
    ("rolling_steps", {"a": 1}), ("rolling_steps", ["50%"]), ("rolling_steps", [2, 1, "100%"]), ("rolling_steps", [True, "100%"]), ("rolling_step", 7),
    ("rolling_max_failures", "few"), ("rolling_on_failure", "retry"), ("rolling_on_failure", ["stop"]), ("rolling_domains_at_once", "-1"),
    ("rolling_member_timeout", "1h"), ("rolling_progress_deadline", -5), ("rolling_progress_deadline", [1]),
])
def test_a_variable_of_the_wrong_kind_refuses_the_roll_by_name(name, value):
    by_host = {f"app{n}": {"rolling_domain": "east", name: value} for n in range(1, 5)}
    with pytest.raises(ScheduleError, match=name):
        schedule_from(by_host, {})


@pytest.mark.parametrize(("name", "value"), [("rolling_pool_hosts", "app1"), ("rolling_capacity_timeout", "long"), ("rolling_break_play", "maybe")])
def test_an_option_of_the_wrong_kind_is_refused_by_name(name, value):
    with pytest.raises(ScheduleError, match=name):
        strategy_options_from({"app1": {name: value}})


@pytest.mark.parametrize("name", schedule_variables.OF_THE_RUN)
def test_hosts_that_disagree_on_the_run_are_named_with_their_values(name):
    with pytest.raises(ScheduleError) as refusal:
        run_policy_from({"app1": {f"rolling_{name}": 1}, "web1": {f"rolling_{name}": 2}})
    assert f"the hosts of the play have different values of rolling_{name}: 1 for app1 and 2 for web1" in str(refusal.value)


@pytest.mark.parametrize("name", schedule_variables.OF_A_POOL)
def test_hosts_of_one_pool_must_agree_and_those_of_two_need_not(name):
    variables = {"steps": (["100%"], ["50%", "100%"])}.get(name, (1, 2))
    one_pool = {f"app{n}": {f"rolling_{name}": value} for n, value in enumerate(variables)}
    with pytest.raises(ScheduleError, match=f"the hosts of pool 'the pool' have different values of rolling_{name}"):
        limits_by_pool(one_pool)
    two_pools = {host: {**values, "rolling_pool": host} for host, values in one_pool.items()}
    assert list(limits_by_pool(two_pools)) == ["app0", "app1"]


def test_a_host_without_the_variable_disagrees_with_one_that_has_it():
    with pytest.raises(ScheduleError, match="2 for app1 and None for app2"):
        agreed({"app1": {"rolling_max_failures": 2}, "app2": {}}, ["max_failures"], "the hosts")
    assert agreed({}, ["max_failures"], "the hosts") == {}


def test_what_the_play_says_is_the_budget_unless_the_variable_is_given():
    assert run_policy_from({"app1": {}}, play_budget="30%").max_failures == "30%"
    assert run_policy_from({"app1": {"rolling_max_failures": 0}}, play_budget="30%").max_failures == 0


def test_hosts_outside_the_play_count_as_capacity_and_must_agree_on_the_pools_limits():
    schedule = schedule_from({"app1": {}, "app2": {"rolling_in_traffic": False}}, {"app3": {}, "app4": {}}, max_in_flight=5)
    the_pool = schedule.pools[DEFAULT_POOL]
    assert (the_pool.size, the_pool.floor, schedule.pending, schedule.policy.max_in_flight) == (4, 3, ["app2", "app1"], 5)
    with pytest.raises(ScheduleError, match="have different values of rolling_min_live"):
        schedule_from({"app1": {}}, {"app2": {"rolling_min_live": 1}})
