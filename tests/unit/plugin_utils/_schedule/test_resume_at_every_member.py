# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of each method is gone on with at each number of members done: every variable of the roll has a value for every member, and the roll ends.

The plays of playbooks/phases/roll.yml are made from their variables as the strategy makes them, so a variable that only some members have shows here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.blue_green import choose_side
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.picture import live_source
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run import outcomes
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule import variables as schedule_variables
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.waves import waves
from unit.plugin_utils._plan.test_blue_green import BACK, described, observed
from unit.plugin_utils._plan.test_patches import AGENT, patching, waiting
from unit.plugin_utils._plan.test_plan import NAMES, OUT, fleet, service, view

PLAYBOOKS = Path(__file__).resolve().parents[4] / "playbooks"
VARS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((PLAYBOOKS / "vars").glob("*.yml"))}
# The variables of each play that rolls, by its name.
VARS |= {play["name"]: play["vars"] for play in yaml.safe_load((PLAYBOOKS / "phases" / "roll.yml").read_text(encoding="utf-8"))
         if play["strategy"] == "alwayson.upgrade.rolling"}
# What only database servers read.
OF_DATABASES = {"databases", "login", "migration_tool", "restore"}
FORWARD, BACKWARD = ("Roll | the first step", "Roll | the second step", "patching"), ("Roll | return all members",)
METHODS = ("half_pool", "rolling", "canary", "blue_green", "in_place")
LOADER = DataLoader()


def facts_of(plan, given, seen):
    """The variables of localhost and of the members, as the plays have them when the roll begins."""
    local = {"alwayson_service": given, "alwayson_plan": plan, "alwayson_traffic_calls": [{"host": "lb1", "load_balancers": []}],
             "alwayson_fence": {"token": 1, "owner": "ada"},
             "alwayson_serving": {"everywhere": plan["live"]}}
    return {"localhost": local, **{name: {"alwayson_member": facts} for name, facts in seen["members"].items()}}


def valued(name, hostvars, files, wanted=None):
    """Every variable of some files, or those that are wanted, with its value for one member."""
    raw = {key: trust(value) for file in files for key, value in VARS[file].items()}
    templar = Templar(loader=LOADER, variables={**raw, **hostvars.get(name, {}), "inventory_hostname": name, "hostvars": hostvars})
    templar._engine.environment.filters["alwayson.upgrade.live_source"] = live_source
    return {key: templar.template(value) for key, value in raw.items() if wanted is None or key in wanted}


def trust(value):
    if isinstance(value, str):
        return trust_as_template(value)
    return {key: trust(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def rolled(hosts, hostvars, files):
    """One play of the roll, as the strategy would run it: the waves that it comes to, none of them empty."""
    if not hosts:
        return []
    pool = hostvars["localhost"]["alwayson_service"]["hosts"]["members"]
    # What all have alike is read once here, and for every member by the test of every variable below.
    of_all = valued(pool[0], hostvars, files, {schedule_variables.PREFIX + name for name in (*schedule_variables.OF_A_POOL, *schedule_variables.OF_THE_RUN)})
    read = {name: {**of_all, **valued(name, hostvars, files, {schedule_variables.PREFIX + name for name in schedule_variables.OF_A_MEMBER})} for name in pool}
    found = waves(schedule_variables.schedule_from({name: read[name] for name in hosts}, {name: read[name] for name in pool if name not in hosts}))
    assert [wave["reason"] for wave in found if not wave["members"]] == []
    assert sorted(name for wave in found for name in wave["members"]) == sorted(hosts)
    return found


def gone_on_with(plan, given, seen):
    """All plays of the roll, each member with success; what is live after the flip is what it says."""
    hostvars = facts_of(plan, given, seen)
    assert plan["refusals"] == []
    found = rolled(plan["steps"][0], hostvars, FORWARD)
    for name in plan["steps"][0]:
        hostvars[name]["alwayson_outcome"] = {"outcome": "upgraded"}
    if outcomes.ready_for_cutover(plan, hostvars):
        # Read again after the flip: the half that it brought in, or the whole pool that all traffic moved to.
        hostvars["localhost"]["alwayson_serving"] = {"everywhere": plan["halves"][0] or given["hosts"]["members"]}
        found += rolled(plan["steps"][1], hostvars, FORWARD)
    for name in plan["steps"][1]:
        hostvars[name]["alwayson_outcome"] = {"outcome": "upgraded"}
    assert all(left["outcome"] == "upgraded" for left in outcomes.member_outcomes(plan, hostvars).values())
    assert set(outcomes.member_outcomes(plan, hostvars)) == set(plan["pending"])
    return found


def seen_with(done, are_live, release="2.0.0", before="1.0.0"):
    """A fleet of which some members are done, in traffic or standing by."""
    views = {name: view(**({} if are_live else dict.fromkeys(done, OUT))) for name in ("lb1", "lb2")}
    moved = {"release": release, "previous": before, "available": {before: {}, release: {}}, "expected_s": 0}
    others = [name for name in NAMES if name not in done]
    return fleet(before, balancers=views, **dict.fromkeys(done, moved), **{name: {"available": {before: {}}, "expected_s": 0} for name in others})


def planned(method, count, direction, are_live):
    """The plan, the description and the fleet for a run that had come to *count* members."""
    if method == "blue_green":
        going = {"upgrade": {}, "rollback": BACK}[direction]
        fleet_of_two = observed(green="2.0.0" if direction == "rollback" else "1.0.0",
                                routes=("green", "green") if direction == "rollback" else ("blue", "blue"),
                                **(dict.fromkeys(["g1", "g2", "g3"][:count], "2.0.0") if direction == "upgrade" else {}))
        chosen = choose_side(described(**going), fleet_of_two)
        return make_plan(chosen["service"], chosen["observed"]), chosen["service"], chosen["observed"]
    release, before = ("2.0.0", "1.0.0") if direction == "upgrade" else ("1.0.0", "2.0.0")
    given = service(method=method, direction=direction, release=release, artifact="x", max_unavailable="34%")
    # The members that the method itself has come to first.
    fresh = make_plan(given, seen_with([], True, release, before))
    first = [name for wave in fresh["waves"] for name in wave["members"]][:count]
    seen = seen_with(first, are_live, release, before)
    return make_plan(given, seen), given, seen


# How many of the members that are done may stand by, out of traffic; a return by blue-green upgrades nobody.
OUT_AT_ONCE = {"half_pool": 3, "rolling": 2, "canary": 1}
LEFT = [(method, count, are_live) for method in OUT_AT_ONCE for count in range(len(NAMES) + 1) for are_live in (True, False)
        if are_live or 0 < count <= OUT_AT_ONCE[method]]


@pytest.mark.parametrize(("method", "count", "are_live", "direction"), [
    *((*left, direction) for left in LEFT for direction in ("upgrade", "rollback")),
    *(("blue_green", count, True, "upgrade") for count in range(4)), ("blue_green", 0, True, "rollback"),
])
def test_a_run_goes_on_at_every_member(method, count, are_live, direction):
    plan, given, seen = planned(method, count, direction, are_live)
    assert set(plan["step_of"]) == set(given["hosts"]["members"]) == set(plan["return_to"])
    assert len(plan["there"]) >= count if method != "blue_green" else True
    gone_on_with(plan, given, seen)


@pytest.mark.parametrize(("method", "count", "are_live"), LEFT)
def test_a_patch_goes_on_at_every_member(method, count, are_live):
    given = patching(method=method, max_unavailable="34%")
    wait = {name: {"available": {"1.0.0": {}}, "expected_s": 0, **waiting(AGENT)} for name in NAMES}
    first = [name for wave in make_plan(given, fleet(**wait))["waves"] for name in wave["members"]][:count]
    out = {} if are_live else dict.fromkeys(first, OUT)
    seen = fleet(balancers={"lb1": view(**out), "lb2": view(**out)}, **{**wait, **{name: {**wait[name], **waiting()} for name in first}})
    plan = make_plan(given, seen)
    assert plan["pending"] == (sorted(set(NAMES) - set(first)) if are_live else NAMES)
    found = gone_on_with(plan, given, seen)
    if method == "canary" and not count:
        assert [len(wave["members"]) for wave in found] == [1, 2, 2, 1]


@pytest.mark.parametrize("release", ["1.0.0", "2.0.0"])
def test_a_server_without_a_second_one_goes_on(release):
    names = {"upgrade_release": "2.0.0", "upgrade_method": "in_place", "upgrade_artifact": "x", "upgrade_artifact_sha256": "y"}
    given = describe(names, list(names), {"app": NAMES[:1], "load_balancers": ["lb1", "lb2"]})
    seen = fleet(release)
    seen["members"] = {"app1": {**seen["members"]["app1"], "expected_s": 0}}
    for balancer in seen["load_balancers"].values():
        balancer["backends"]["app"]["members"] = {"app1": balancer["backends"]["app"]["members"]["app1"]}
    plan = make_plan(given, seen)
    assert plan["nothing_to_do"] is (release == "2.0.0")
    gone_on_with(plan, given, seen)


@pytest.mark.parametrize("method", METHODS[:4])
def test_every_variable_of_the_roll_has_a_value_for_every_member(method):
    looked_at = 0
    for count in range(4):
        plan, given, seen = planned(method, count, "upgrade", True)
        hostvars = facts_of(plan, given, seen)
        for name in given["hosts"]["members"]:
            for files in (FORWARD, BACKWARD):
                looked_at += len(valued(name, hostvars, files))
    assert {*FORWARD, *BACKWARD} | OF_DATABASES == set(VARS), "a file of variables that no test looks at"
    assert looked_at > 4 * 3 * 40


def test_members_that_are_done_are_taken_back_under_the_floor():
    plan, given, seen = planned("canary", 3, "upgrade", True)
    back = outcomes.hosts_to_roll_back(plan, facts_of(plan, given, seen), "rollback", False)
    assert len(back) == 3
    assert len(rolled(back, facts_of(plan, given, seen), BACKWARD)) >= 2
