# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On which hosts a first release is installed, and what an upgrade says of those that have none."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.installation import installation, installation_text
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe

GROUPS = {"app": ["app1", "app2", "app3"], "load_balancers": ["lb1", "lb2"]}
GIVEN = {"upgrade_release": "2.0.0", "upgrade_artifact": "/srv/shop.tar.gz", "upgrade_artifact_sha256": "0" * 64}


def described(direction="install", **changes):
    variables = {**GIVEN, "upgrade_direction": direction, **changes}
    service = describe(variables, [name for name in variables if name != "upgrade_direction"], GROUPS)
    assert service["problems"] == []
    return service


def observed(live=(), known=("app1", "app2", "app3"), **releases):
    members = {name: {"name": name, "address": f"10.0.0.{name[-1]}:80", "domain": None, "release": releases.get(name), "previous": None, "available": {},
                      "expected_s": 0, "lost": None, "patches": None} for name in GROUPS["app"]}
    views = {name: {"live": name in live, "admin": "ready", "health": "up"} for name in known}
    return {"members": members, "load_balancers": {name: {"backends": {"app": {"members": views}}} for name in GROUPS["load_balancers"]}, "disagreements": [],
            "databases": {}, "migrations": [], "interrupted": None}


def test_hosts_without_a_release_get_it_whether_a_load_balancer_knows_them_or_not():
    assert installation(described(), observed(known=("app1",))) == {"hosts": ["app1", "app2", "app3"], "refusals": [], "known": ["app1"]}


def test_a_host_that_is_added_to_a_fleet_gets_what_the_others_run_and_those_are_left_alone():
    fleet = observed(live=("app1", "app2"), known=("app1", "app2"), app1="2.0.0", app2="2.0.0")
    assert installation(described(), fleet) == {"hosts": ["app3"], "refusals": [], "known": []}
    fleet["members"]["app3"]["release"] = "2.0.0"
    # It may have been killed before it was tested.
    assert installation(described(), fleet)["hosts"] == ["app3"]
    done = observed(live=GROUPS["app"], app1="2.0.0", app2="2.0.0", app3="2.0.0")
    assert installation(described(), done) == {"hosts": [], "refusals": [], "known": []}


@pytest.mark.parametrize(("fleet", "words"), [
    (observed(app2="1.0.0", app3="1.0.0"), ["1.0.0 is current on app2, app3, and install.yml is for hosts on which nothing runs",
                                            "alwayson.upgrade.upgrade -e upgrade_release=2.0.0"]),
    (observed(live=("app2",)), ["app2 is in traffic on lb1, lb2, and no release is current in its release_root", "link current to it"]),
])
def test_what_is_no_first_installation_is_refused_and_nothing_is_begun(fleet, words):
    found = installation(described(), fleet)
    [reported] = found["refusals"]
    assert all(word in reported for word in words), reported
    assert found["hosts"] == []


def test_commands_that_cannot_be_run_are_refused_before_anything_is_staged():
    fleet = observed()
    fleet["members"]["app1"]["preflight"] = {"problems": [{"variable": "release_start_command", "what": "/x start cannot be run by deploy: there is no /x"}]}
    found = installation(described(), fleet)
    assert found["refusals"] == ["app1: /x start cannot be run by deploy: there is no /x. Correct release_start_command"] and found["hosts"] == []


def test_a_lost_host_is_named():
    fleet = observed()
    fleet["members"]["app1"]["lost"] = "no route to host"
    assert installation(described(), fleet)["refusals"] == [
        "app1 cannot be reached: no route to host. Repair it, or remove it from the inventory and the load balancers"]


def test_of_a_service_in_two_colours_either_pool_counts():
    fleet = observed(known=())
    for balancer in fleet["load_balancers"].values():
        balancer["backends"] = {"blue": {"members": {"app1": {"live": True}}}, "green": {"members": {"app3": {"live": False}}}, "other": {"members": {}}}
    service = {**described(), "blue_green": {"blue": ["app1"], "green": ["app3"]}}
    assert "app1 is in traffic on lb1, lb2" in installation(service, fleet)["refusals"][0]


def test_a_release_and_its_archive_are_needed():
    names = ["upgrade_direction"]
    reported = describe({"upgrade_direction": "install"}, names, GROUPS)["problems"]
    assert [sentence.split(" ")[0] for sentence in reported] == ["upgrade_release", "upgrade_artifact"]


@pytest.mark.parametrize(("fleet", "words"), [
    (observed(), ["no release is current on app1, app2, app3", "alwayson.upgrade.install"]),
    (observed(live=("app1", "app2"), app1="1.0.0", app2="1.0.0"), ["no release is current on app3", "that the other members run"]),
    (observed(live=GROUPS["app"], app1="1.0.0", app2="1.0.0"), ["app3 is in traffic, and no release is current in its release_root", "move it to releases/"]),
])
def test_an_upgrade_of_members_without_a_release_is_refused_with_the_playbook_that_installs_one(fleet, words):
    reported = [sentence for sentence in make_plan(described("upgrade"), fleet)["refusals"] if "no release is current" in sentence]
    assert len(reported) == 1 and all(word in reported[0] for word in words), reported


def test_a_pool_without_traffic_need_not_have_had_a_release():
    service = {**described("upgrade"), "side": {"to": "green", "is_routed": False, "serving": ["blue"], "release": "1.0.0"}}
    assert not [sentence for sentence in make_plan(service, observed())["refusals"] if "no release is current" in sentence]


def test_after_a_first_installation_there_is_nothing_to_go_back_to():
    service = {**described("rollback"), "release": None}
    reported = make_plan(service, observed(live=GROUPS["app"], app1="1.0.0", app2="1.0.0", app3="1.0.0"))["refusals"]
    assert "they run 1.0.0, and ran none before that" in reported[0]
    patch = {**described("patch"), "release": None}
    assert make_plan(patch, observed())["refusals"][0].startswith("no member has a release: install one first")


def test_what_was_installed_is_said_and_who_waits_for_traffic():
    lines = installation_text(described(), {"hosts": ["app2", "app1"], "known": ["app1"], "refusals": []})
    assert lines[:2] == ["2.0.0 runs and passed its smoke tests on app2, app1", "Next: add app2 to app on lb1, lb2"] and len(lines) == 4
    assert installation_text(described(), {"hosts": [], "known": []})[0] == "2.0.0 runs on every member, and is in traffic: there is nothing to install"
