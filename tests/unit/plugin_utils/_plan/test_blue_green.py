# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of two pools a run works on, and what the plan makes of it."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.blue_green import choose_side
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.text import plan_text, status_text

GROUPS = {"app_blue": ["b1", "b2"], "app_green": ["g1", "g2", "g3"], "load_balancers": ["lb1", "lb2"]}
VARIABLES = {"upgrade_release": "2.0.0", "upgrade_colours": {"blue": "app_blue", "green": "app_green"}, "upgrade_route": {"map": "a.map", "key": "active"}}
NAMES = (*VARIABLES, "upgrade_artifact", "upgrade_artifact_sha256")


def described(**changes):
    variables = {name: value for name, value in {**VARIABLES, **changes}.items() if value is not None}
    return describe(variables, [*variables, "upgrade_artifact", "upgrade_artifact_sha256"], GROUPS)


def observed(blue="1.0.0", green="1.0.0", routes=("blue", "blue"), **releases):
    """The fleet; `releases` are those of single members."""
    runs = {**dict.fromkeys(GROUPS["app_blue"], blue), **dict.fromkeys(GROUPS["app_green"], green), **releases}
    members = {name: {"name": name, "address": f"10.0.0.{number}:80", "domain": None, "release": release, "previous": None,
                      "available": {release: {}} if release else {}, "expected_s": 0, "lost": None} for number, (name, release) in enumerate(runs.items())}
    view = {"admin": "ready", "health": "up", "live": True, "address": "", "weight": 1, "cookie": None, "backup": False}
    backends = {pool: {"members": {name: dict(view) for name in GROUPS[f"app_{pool}"]}} for pool in ("blue", "green")}
    return {"members": members, "disagreements": [], "databases": {}, "migrations": [], "interrupted": None,
            "load_balancers": {f"lb{number}": {"backends": backends, "routes": {"active": route} if route else {}} for number, route in enumerate(routes, 1)}}


def planned(fleet, **changes):
    chosen = choose_side(described(**changes), fleet)
    return make_plan(chosen["service"], chosen["observed"])


def test_colours_alone_make_it_blue_green_and_their_sizes_may_differ():
    service = described()
    assert service["problems"] == [] and service["method"] == "blue_green"
    assert service["hosts"]["members"] == ["b1", "b2", "g1", "g2", "g3"]


@pytest.mark.parametrize(("changes", "words"), [
    ({"upgrade_colours": None, "upgrade_method": "blue_green"}, "does not name two pools"),
    ({"upgrade_colours": {"blue": "app_blue", "green": "app_gren"}}, "did you mean 'app_green'?"),
    ({"upgrade_colours": {"blue": "app_blue", "green": ["app_green"]}}, "the group ['app_green'], which is not in the inventory"),
    ({"upgrade_colours": {"blue": "app_blue", "green": "app_blue"}}, "b1, b2 is in both groups"),
    ({"upgrade_route": None}, "upgrade_route is not set"),
    ({"upgrade_route": {"map": "a.map", "key": "active", "presist": 1}}, "upgrade_route has presist: it has map, key, persist, testers_key, testers_headers"),
    ({"upgrade_route": {"map": "a.map", "key": "active", "testers_headers": {"X-Testers": "yes"}}}, "testers_headers without testers_key"),
    ({"upgrade_direction": "patch", "upgrade_release": None, "upgrade_method": "blue_green"}, "choose rolling, or set upgrade_patch"),
])
def test_what_is_wrong_with_the_description(changes, words):
    assert [problem for problem in described(**changes)["problems"] if words in problem], described(**changes)["problems"]


def test_the_side_without_traffic_is_upgraded_at_once_and_gets_all_of_it():
    plan = planned(observed())
    assert plan["refusals"] == [] and plan["steps"] == [["g1", "g2", "g3"], []] and plan["cutover"] == {"from": "blue", "to": "green"}
    assert [wave["members"] for wave in plan["waves"]] == [["g1", "g2", "g3"]] and plan["limits"] == {"max_unavailable": 3, "min_live": 0}
    text = "\n".join(plan_text(plan))
    assert "green, which has no traffic (blue has it, and is not changed, so that a return is possible)" in text and "the cutover: all traffic to green" in text


def test_new_servers_that_run_nothing_yet_are_a_side():
    plan = planned(observed(green=None))
    assert plan["refusals"] == [] and plan["pending"] == ["g1", "g2", "g3"] and plan["release_from"] == "1.0.0"


def test_a_fleet_that_is_there_has_nothing_to_do():
    plan = planned(observed(green="2.0.0", routes=("green", "green")))
    assert plan["nothing_to_do"] and plan["cutover"] is None and plan["pending"] == []


def test_a_run_killed_before_its_cutover_has_only_that_to_do():
    plan = planned(observed(green="2.0.0"))
    assert not plan["nothing_to_do"] and plan["pending"] == [] and plan["cutover"] == {"from": "blue", "to": "green"}
    assert "green runs 2.0.0 and gets the traffic from blue" in "\n".join(plan_text(plan))


def test_a_cutover_that_reached_one_load_balancer_is_finished():
    plan = planned(observed(green="2.0.0", routes=("green", "blue")))
    assert plan["refusals"] == [] and plan["cutover"] == {"from": "blue", "to": "green"} and plan["pending"] == []


def test_load_balancers_that_differ_for_another_reason_are_refused():
    plan = planned(observed(routes=("green", "blue")))
    assert any("different pools (lb1 to green, lb2 to blue): finish that first" in sentence for sentence in plan["refusals"])


@pytest.mark.parametrize(("release", "to"), [(None, "1.0.0"), ("1.0.0", "1.0.0")])
def test_the_return_goes_to_what_the_other_side_runs(release, to):
    plan = planned(observed(green="2.0.0", routes=("green", "green")), upgrade_direction="rollback", upgrade_release=release)
    assert plan["refusals"] == [] and plan["cutover"] == {"from": "green", "to": "blue"} and plan["pending"] == []
    assert (plan["release_from"], plan["release_to"]) == ("2.0.0", to)


def test_one_member_that_is_not_there_yet_is_upgraded_before_the_cutover():
    plan = planned(observed(green="2.0.0", g2="1.0.0"))
    assert plan["pending"] == ["g2"] and plan["cutover"] == {"from": "blue", "to": "green"}


def test_a_lost_member_of_the_side_that_serves_is_named_and_the_other_side_stays_for_the_return():
    fleet = observed(green="2.0.0", routes=("green", "green"))
    fleet["members"]["g2"].update(release=None, lost="no route to host")
    plan = planned(fleet)
    assert plan["cutover"] is None and any("g2 cannot be reached: no route to host" in sentence for sentence in plan["refusals"])


@pytest.mark.parametrize(("routes", "words"), [
    (("red", "blue"), "lb1 sends 'active' of its map a.map to 'red', which is no pool of upgrade_colours (blue, green)"),
    ((None, "blue"), "the map a.map of lb1 has no key 'active': add a line with the pool that has the traffic, one of blue, green"),
])
def test_a_route_that_leads_nowhere_is_refused(routes, words):
    assert words in planned(observed(routes=routes))["refusals"]


def test_the_state_shows_both_sides():
    chosen = choose_side(described(upgrade_direction="status", upgrade_release=None), observed())
    text = "\n".join(status_text(chosen["service"], chosen["observed"]))
    assert text.count("in traffic") == 4 and text.count("stands by") == 6 and "of 5 members" in text


BACK = {"upgrade_direction": "rollback", "upgrade_release": None}
INTENT = {"direction": "upgrade", "method": "blue_green", "release_from": "2.0.0", "release_to": "3.0.0", "state": "failed"}


def test_a_return_that_is_done_is_not_undone_by_the_same_command():
    plan = planned(observed(green="2.0.0", routes=("blue", "blue")), **BACK)
    assert plan["nothing_to_do"] and plan["cutover"] is None and plan["release_to"] == "1.0.0"


@pytest.mark.parametrize("fleet", [
    observed(green="2.0.0"),                # stopped before the cutover
    observed(green="1.0.0", g1="2.0.0"),    # stopped in the middle of the side that has no traffic
    observed(green=None),                   # stopped before anything was installed
    observed(green="1.0.0"),
])
def test_the_return_from_an_upgrade_that_has_not_cut_over_moves_no_traffic(fleet):
    plan = planned(fleet, **BACK)
    assert plan["refusals"] == [] and plan["nothing_to_do"] and plan["release_to"] == "1.0.0"


@pytest.mark.parametrize("routes", [("green", "blue"), ("blue", "green")])
def test_a_return_that_reached_one_load_balancer_is_finished(routes):
    plan = planned(observed(green="2.0.0", routes=routes), **BACK)
    assert plan["refusals"] == [] and plan["cutover"] == {"from": "green", "to": "blue"} and plan["release_to"] == "1.0.0"


def test_the_return_goes_back_from_what_the_last_run_was_to_do():
    """Green has 2.0.0 and the traffic; the upgrade to 3.0.0 on blue, which has 1.0.0 still, was stopped at once."""
    fleet = observed(green="2.0.0", routes=("green", "green"))
    assert planned(fleet, **BACK)["cutover"] == {"from": "green", "to": "blue"}
    plan = planned({**fleet, "intent": INTENT}, **BACK)
    assert plan["nothing_to_do"] and plan["release_to"] == "2.0.0"


def test_a_return_is_refused_where_no_pool_runs_one_release_and_never_goes_forward():
    mixed = planned(observed(b1="0.9.0", g1="2.0.0"), **BACK)
    assert "neither pool runs one release on all of its members: name the release to return to with -e upgrade_release=..." in mixed["refusals"]
    forward = planned(observed(green="2.0.0"), upgrade_direction="rollback")
    assert any("2.0.0 is newer than 1.0.0, which runs now: to go forward" in sentence for sentence in forward["refusals"])
