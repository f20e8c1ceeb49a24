# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package updates in the plan: who is pending for them, what is told, what is refused, and what a run that only patches does."""

from __future__ import annotations

import pytest
from unit.plugin_utils._plan.test_plan import NAMES, fleet, service

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.text import plan_text
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.outcomes import held_problems

AGENT = {"name": "agent", "installed": "1", "candidate": "2", "security": False, "source": "", "held": False}
KERNEL = {"name": "kernel", "installed": "1", "candidate": "2", "security": True, "source": "", "held": False}


def waiting(*updates, reboot_for=(), **more):
    return {"patches": {"updates": list(updates), "reboot_for": list(reboot_for), **more}}


def patching(**changes):
    """The description of a run of patch.yml."""
    given = {"upgrade_direction": "patch", **{f"upgrade_{name}": value for name, value in changes.items()}}
    described = describe(given, list(given), {"app": NAMES, "load_balancers": ["lb1", "lb2"]})
    assert described["problems"] == []
    return described


def test_an_upgrade_without_patching_does_not_look_at_updates():
    plan = make_plan(service(), fleet("2.0.0", app1=waiting(AGENT)))
    assert (plan["pending"], plan["patches"]) == ([], {})


def test_members_that_run_the_release_and_wait_for_updates_are_pending():
    plan = make_plan(service(patch="all"), fleet("2.0.0", app1=waiting(AGENT), app2=waiting(), app5=waiting(reboot_for=["kernel"])))
    assert plan["pending"] == ["app1", "app5"] and plan["refusals"] == []
    assert plan["patches"]["app5"] == {"updates": [], "unfinished": [], "reboot_for": ["kernel"]}
    assert make_plan(service(patch="all", reboot="never"), fleet("2.0.0", app5=waiting(reboot_for=["kernel"])))["pending"] == []


def test_new_packages_and_an_interrupted_installation_are_in_the_plan():
    plan = make_plan(service(patch="all"), fleet("2.0.0", app1=waiting({"name": "linux-2", "installed": None, "candidate": "2", "security": False}),
                                                 app2=waiting(unfinished=["tzdata"])))
    text = "\n".join(plan_text(plan))
    assert plan["pending"] == ["app1", "app2"]
    assert "linux-2 new, 2: app1" in text and "an interrupted installation is finished: app2" in text


def test_a_run_that_only_patches_leaves_every_release_as_it_is():
    observed = fleet("1.0.0", **{name: {"previous": "0.9.0", "available": {"0.9.0": {}, "1.0.0": {}}, **waiting(KERNEL)} for name in NAMES})
    described = patching()
    assert (described["patch"], described["method"]) == ("all", "rolling")
    plan = make_plan(described, observed)
    assert (plan["release_from"], plan["release_to"], plan["pending"], plan["refusals"]) == ("1.0.0", "1.0.0", NAMES, [])
    assert plan["return_to"] == dict.fromkeys(NAMES, "1.0.0"), "a member whose patching fails does not go back a release"
    assert not plan["needs_archive"] and plan["expand"] == []
    assert min(wave["live"] for wave in plan["waves"]) >= plan["limits"]["min_live"] == 5
    text = "\n".join(plan_text(plan))
    assert "1.0.0 stays, 6 of 6 members are patched by rolling" in text and "kernel 1 → 2 (security): all 6 members" in text


def test_there_is_nothing_to_patch_on_a_fleet_without_updates():
    plan = make_plan(patching(), fleet("1.0.0"))
    assert plan["nothing_to_do"] and plan["refusals"] == []


def test_unattended_updates_are_held_on_all_members_or_let_in_where_a_dead_run_left_them_held():
    owner = "alwayson.upgrade: service"
    held = {"patches": {"updates": [], "reboot_for": [], "held_by": owner}}
    assert make_plan(patching(), fleet(app1=waiting(AGENT)))["updates_held"] == {"owner": owner, "hosts": NAMES}
    assert make_plan(patching(), fleet(app2=held, app3={"patches": {"held_by": "somebody else"}}))["updates_held"] == {"owner": owner, "hosts": ["app2"]}
    assert make_plan(service(), fleet(app2=held))["updates_held"]["hosts"] == []


def test_a_fleet_between_two_releases_is_not_patched():
    plan = make_plan(patching(), fleet("1.0.0", app1={"release": "2.0.0", **waiting(AGENT)}))
    assert "the hosts run different releases (1.0.0, 2.0.0): finish that first" in plan["refusals"][0]


def test_updates_that_cannot_be_read_are_a_reason_to_refuse():
    broken = {"patches": {"problem": "apt-get update failed (100): no route"}}
    plan = make_plan(service(patch="security"), fleet(app3=broken))
    assert plan["refusals"] == ["the package updates of app3 cannot be read: apt-get update failed (100): no route"]
    lost = make_plan(service(patch="all"), fleet(app3={"lost": "no answer", **broken}))
    assert len(lost["refusals"]) == 1 and "cannot be reached" in lost["refusals"][0]


@pytest.mark.parametrize(("changes", "problem"), [
    ({"patch": "some"}, "upgrade_patch is 'some': choose one of none, security, all"),
    ({"reboot": "yes"}, "upgrade_reboot is 'yes': choose one of if_needed, never"),
    ({"patch_exclude": "linux-*"}, "upgrade_patch_exclude is 'linux-*': give a list"),
    ({"patch": "none", "direction": "patch"}, "upgrade_patch is none, and patch.yml does nothing else"),
])
def test_what_is_wrong_with_a_description_is_named(changes, problem):
    given = {f"upgrade_{name}": value for name, value in {"release": "2.0.0", "artifact": "x", "artifact_sha256": "y", **changes}.items()}
    described = describe(given, list(given), {"app": NAMES, "load_balancers": ["lb1"]})
    assert [sentence for sentence in described["problems"] if sentence.startswith(problem)]


@pytest.mark.parametrize("direction", ["rollback", "status"])
def test_a_way_back_and_a_look_install_nothing(direction):
    assert describe({"upgrade_direction": direction, "upgrade_patch": "all"}, [], {"app": NAMES, "load_balancers": ["lb1"]})["patch"] == "none"


def test_hosts_where_unattended_updates_stay_held_are_named():
    hostvars = {"app1": {"alwayson_updates_held": True, "patching_release": {"changed": True}},
                "app2": {"alwayson_updates_held": True, "patching_release": {"failed": True, "msg": "no space"}},
                "app3": {"alwayson_updates_held": True},
                "app4": {}}
    problems = held_problems(list(hostvars), hostvars)
    assert [sentence.split(":")[0] for sentence in problems] == ["unattended updates stay held on app2", "unattended updates stay held on app3"]
