# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning again on a fleet that an interrupted run left half done."""

from __future__ import annotations

from unit.plugin_utils._plan.test_plan import NAMES, OUT, fleet, service, view

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan

LOCK = {"id": "1", "owner": "ada", "host": "ops1", "since": 0.0, "run": "r1", "plan": ""}
FIRST = make_plan(service(), fleet())["halves"][0]
SECOND = make_plan(service(), fleet())["halves"][1]


def left(release_of, balancers, **changes):
    """A fleet whose run was killed: host to release, each load balancer's members that are out."""
    views = {name: view(**dict.fromkeys(out, OUT)) for name, out in balancers.items()}
    members = {name: {"release": release, "previous": "1.0.0", "available": {"1.0.0": {}, "2.0.0": {}}} for name, release in release_of.items()}
    return {**fleet(balancers=views, **members), "interrupted": LOCK, "disagreements": ["lb1 and lb2 disagree"], **changes}


def test_disagreement_is_refused_unless_an_interrupted_run_explains_it():
    observed = left({}, {"lb1": ["app1"], "lb2": []})
    assert make_plan(service(), {**observed, "interrupted": None})["refusals"] == ["lb1 and lb2 disagree"]
    plan = make_plan(service(), observed)
    assert plan["refusals"] == [] and "app1" in plan["steps"][0] and plan["finish_flip"] is False


def test_members_that_run_the_release_stay_in_the_first_half():
    observed = left(dict.fromkeys(FIRST[:2], "2.0.0"), dict.fromkeys(("lb1", "lb2"), FIRST[:2]))
    plan = make_plan(service(), observed)
    assert set(FIRST[:2]) <= set(plan["halves"][0]) and plan["refusals"] == [] and len(plan["pending"]) == 6


def test_a_flip_that_reached_one_load_balancer_is_finished_first():
    observed = left(dict.fromkeys(FIRST, "2.0.0"), {"lb1": SECOND, "lb2": FIRST})
    plan = make_plan(service(), observed)
    assert plan["refusals"] == [] and plan["finish_flip"] is True
    assert plan["steps"][0] == [] and sorted(plan["steps"][1]) == SECOND
    assert [wave["live"] for wave in plan["waves"]] == [3]
    killed_otherwise = left(dict.fromkeys(FIRST, "2.0.0"), {"lb1": SECOND, "lb2": FIRST[:2]})
    assert make_plan(service(), killed_otherwise)["finish_flip"] is False


def test_after_the_flip_only_the_other_half_is_left():
    observed = left(dict.fromkeys(FIRST, "2.0.0"), dict.fromkeys(("lb1", "lb2"), SECOND))
    plan = make_plan(service(), observed)
    assert plan["finish_flip"] is False and plan["steps"][0] == [] and sorted(plan["steps"][1]) == SECOND and plan["halves"] == [FIRST, SECOND]


def test_a_member_that_is_upgraded_already_returns_to_what_the_others_run():
    plan = make_plan(service(), left({"app1": "2.0.0"}, {"lb1": ["app1"], "lb2": ["app1"]}))
    assert plan["return_to"] == dict.fromkeys(NAMES, "1.0.0")
    gone = left({}, {"lb1": [], "lb2": []})
    gone["members"]["app1"].update(release="2.0.0", available={"2.0.0": {}})
    assert make_plan(service(), gone)["return_to"]["app1"] == "2.0.0"


def test_a_canary_that_was_done_is_not_done_again():
    fresh = make_plan(service(method="canary", max_unavailable=6, min_live=0), fleet())
    assert [len(wave["members"]) for wave in fresh["waves"]] == [1, 2, 3]
    canary = fresh["waves"][0]["members"]
    resumed = make_plan(service(method="canary", max_unavailable=6, min_live=0), left(dict.fromkeys(canary, "2.0.0"), {"lb1": [], "lb2": []}))
    assert [len(wave["members"]) for wave in resumed["waves"]] == [2, 3]
