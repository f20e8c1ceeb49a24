# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a run goes: by what was named, by what the last run was to do, by what the members run and ran before."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.target import choose_target, goal_of, intent_of
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.text import plan_text
from unit.plugin_utils._plan.test_patches import AGENT, patching, waiting
from unit.plugin_utils._plan.test_plan import NAMES, fleet, service

LOCK = {"id": "1", "owner": "ada", "host": "ops1", "since": 0.0, "run": "r1", "plan": ""}
BACK = service(direction="rollback", release=...)


def ran(*pairs, lost=()):
    """Members by (release, previous), each as many times as its number says; those in ``lost`` cannot be reached."""
    members = [pair for *pair, count in ((*pair, 1) if len(pair) == 2 else pair for pair in pairs) for _one in range(count)]
    return {f"app{number}": {"release": now, "previous": before, "lost": "gone" if f"app{number}" in lost else None}
            for number, (now, before) in enumerate(members, 1)}


def intent(direction="upgrade", before="1.0.0", to="2.0.0", state="under_way", method="rolling"):
    return {"direction": direction, "method": method, "release_from": before, "release_to": to, "state": state}


@pytest.mark.parametrize(("members", "release"), [
    (ran(("2.0.0", "1.0.0", 3)), "1.0.0"),
    (ran(("1.0.0", "2.0.0"), ("2.0.0", "1.0.0", 2)), "1.0.0"),  # partly returned
    (ran(("1.0.0", "2.0.0", 3)), "1.0.0"),                      # returned: nothing to do
    (ran(("2.0.0", "1.0.0"), ("1.0.0", "0.9.0", 2)), "1.0.0"),  # partly upgraded
    (ran(("2.0.0", "1.0.0"), ("1.0.0", None, 2)), "1.0.0"),     # partly upgraded for the first time
    (ran(("1.0.0", "2.0.0"), ("1.0.0", "0.9.0", 2)), "1.0.0"),  # an upgrade whose first member was returned
    (ran(("1.10.0", "1.9.0", 2)), "1.9.0"),
    (ran(("1.9.0", "1.10.0"), ("1.10.0", "1.9.0")), "1.9.0"),   # as versions, not as texts
    (ran((None, None), ("2.0.0", "1.0.0", 2)), "1.0.0"),        # a new member has no say
    (ran((None, "1.0.0"), ("2.0.0", "1.0.0", 2)), "1.0.0"),
    (ran(("2.0.0", "1.5.0"), ("2.0.0", "1.0.0", 2), lost=("app1",)), "1.0.0"),
])
def test_a_rollback_goes_to_the_release_that_all_run_or_ran_before(members, release):
    assert choose_target(BACK, members, {}) == (release, "")


@pytest.mark.parametrize(("members", "words"), [
    (ran(("2.0.0", "1.0.0"), ("2.0.0", "1.5.0")), "they run 2.0.0, and ran 1.0.0, 1.5.0 before that"),
    (ran(("1.0.0", None, 3)), "they run 1.0.0, and ran none before that"),
    (ran(("2.0.0", "2.0.0"), ("2.0.0", "1.0.0", 2)), "they run 2.0.0, and ran 1.0.0, 2.0.0 before that"),  # killed between its two links
    (ran(("2.0.0", "2.0.0"), ("1.0.0", "2.0.0", 2)), "name it with -e upgrade_release="),                   # never forward again
    (ran(("0.9.0", "1.0.0"), ("2.0.0", "1.0.0", 2)), "name it with -e upgrade_release="),
    (ran((None, None, 3)), "they run none"),
    (ran(("1.0.0+a", "1.0.0+b"), ("1.0.0+b", "1.0.0+a")), "they run 1.0.0+a, 1.0.0+b"),  # neither is older
    ({}, "they run none"),
])
def test_members_that_do_not_tell_are_named(members, words):
    release, problem = choose_target(BACK, members, {})
    assert release is None and words in problem


@pytest.mark.parametrize("state", ["under_way", "failed", "succeeded"])
@pytest.mark.parametrize(("last", "members", "release"), [
    (intent("rollback", "2.0.0", "1.0.0"), ran(("2.0.0", "2.0.0"), ("1.0.0", "2.0.0", 2)), "1.0.0"),
    (intent("rollback", "2.0.0", "1.0.0"), ran(("2.0.0", "2.0.0", 3)), "1.0.0"),
    (intent("rollback", "2.0.0", "1.0.0"), ran(("1.0.0", "0.9.0", 3)), "1.0.0"),   # a rollback that came to its end, again
    (intent("upgrade"), ran(("1.0.0", "0.9.0", 3)), "1.0.0"),                      # an upgrade that moved nobody
    (intent("upgrade"), ran(("2.0.0", "2.0.0"), ("1.0.0", "0.9.0", 2)), "1.0.0"),
    (intent("upgrade"), ran((None, None), ("2.0.0", "0.9.0", 2)), "1.0.0"),
])
def test_a_rollback_goes_back_from_what_the_last_run_was_to_do(last, members, release, state):
    assert choose_target(BACK, members, {**last, "state": state}) == (release, "")


@pytest.mark.parametrize(("last", "running"), [
    ({}, ["2.0.0"]),
    (intent("patch", "2.0.0", "2.0.0"), ["2.0.0"]),
    (intent("upgrade"), ["3.0.0", "2.0.0"]),        # changed since by other means
    (intent("upgrade"), ["0.9.0", "2.0.0"]),        # would take one forward
    (intent("upgrade"), ["1.5.0"]),
    (intent("upgrade"), []),
    (intent("upgrade", "2.0.0", "2.0.0"), ["2.0.0"]),
    (intent("upgrade", ""), ["2.0.0"]),             # first installation
])
def test_what_the_fleet_does_not_fit_does_not_count(last, running):
    assert goal_of(last, running) is None


def test_a_named_release_always_counts_but_never_the_wrong_way():
    plan = make_plan(service(direction="rollback", release="0.9.0"), {**fleet("2.0.0", app1={"available": {"0.9.0": {}}}), "intent": intent()})
    assert plan["release_to"] == "0.9.0"
    forward = make_plan(service(direction="rollback", release="3.0.0"), fleet("2.0.0"))
    assert ("3.0.0 is newer than 2.0.0, which runs now: to go forward, run ansible-playbook alwayson.upgrade.upgrade -e upgrade_release=3.0.0"
            in forward["refusals"])


@pytest.mark.parametrize("done", range(len(NAMES) + 1))
@pytest.mark.parametrize("method", ["half_pool", "rolling", "canary"])
def test_a_rollback_that_is_planned_again_at_any_member_goes_to_the_same_release_and_ends(method, done):
    given = service(direction="rollback", release=..., method=method)
    members = {name: {"release": "1.0.0", "previous": "2.0.0"} for name in NAMES[:done]}
    rest = {name: {"release": "2.0.0", "previous": "1.0.0"} for name in NAMES[done:]}
    for known in ({}, intent("rollback", "2.0.0", "1.0.0")):
        plan = make_plan(given, {**fleet(**members, **rest), "intent": known})
        assert (plan["release_to"], plan["nothing_to_do"], plan["refusals"]) == ("1.0.0", done == len(NAMES), [])


def test_the_intent_is_what_the_plan_does_and_keeps_what_it_came_from():
    first = make_plan(service(method="rolling"), fleet())
    assert first["intent"] == {"direction": "upgrade", "method": "rolling", "release_from": "1.0.0", "release_to": "2.0.0"}
    resumed = make_plan(service(method="rolling"), {**fleet("2.0.0"), "intent": intent(), "interrupted": LOCK})
    assert resumed["nothing_to_do"] and resumed["intent"] == {}
    assert intent_of({**resumed, "nothing_to_do": False})["release_from"] == "1.0.0"
    there = make_plan(BACK, {**fleet("1.0.0"), "intent": intent()})
    assert there["nothing_to_do"] and there["intent"]["release_to"] == "1.0.0"


def test_another_direction_than_the_interrupted_one_is_said():
    plan = make_plan(BACK, {**fleet(), "intent": intent(), "interrupted": {**LOCK, "intent": intent()}})
    assert "the interrupted run: upgrade from 1.0.0 to 2.0.0 by rolling; this run goes back to 1.0.0 instead" in plan_text(plan)
    failed = make_plan(service(release="3.0.0"), {**fleet(), "intent": intent(state="failed")})
    assert "the last run ended in error: upgrade from 1.0.0 to 2.0.0 by rolling; this run goes forward to 3.0.0 instead" in plan_text(failed)
    same = make_plan(service(), {**fleet(), "intent": intent(state="succeeded")})
    assert not [line for line in plan_text(same) if "last run" in line or "interrupted" in line]


@pytest.mark.parametrize(("last", "words"), [
    (intent(), ("finish it with ansible-playbook alwayson.upgrade.upgrade -e upgrade_release=2.0.0, or roll back with "
                "ansible-playbook alwayson.upgrade.rollback -e upgrade_release=1.0.0")),
    (intent("rollback", "2.0.0", "1.0.0"), "finish it with ansible-playbook alwayson.upgrade.rollback -e upgrade_release=1.0.0"),
])
def test_a_patch_waits_for_the_run_that_was_interrupted(last, words):
    observed = fleet("1.0.0", app1={"available": {"1.0.0": {}}, **waiting(AGENT)})
    refused = make_plan(patching(), {**observed, "intent": last})
    assert words in refused["refusals"][0] and not refused["nothing_to_do"]
    assert make_plan(patching(), {**observed, "intent": {**last, "state": "succeeded"}})["refusals"] == []
    assert make_plan(patching(), {**observed, "intent": intent("patch", "1.0.0", "1.0.0")})["refusals"] == []
    torn = make_plan(patching(), {**fleet("1.0.0", app1={"release": "2.0.0", **waiting(AGENT)}), "intent": {**last, "state": "failed"}})
    assert words in torn["refusals"][0]


def test_the_playbooks_keep_the_intent_after_every_refusal_and_before_the_first_change():
    playbooks = Path(__file__).resolve().parents[4] / "playbooks"
    plays = yaml.safe_load((playbooks / "phases" / "guard.yml").read_text(encoding="utf-8"))
    block = [task for play in plays for entry in play["tasks"] for task in entry.get("block", [entry])]
    kept = [number for number, task in enumerate(block) if task.get("ansible.builtin.import_tasks") == "../tasks/keep_the_intent.yml"]
    refused = [number for number, task in enumerate(block) if "Refuse" in task["name"]]
    assert len(kept) == 1 and len(refused) >= 2 and kept[0] > max(refused)
    taken = yaml.safe_load((playbooks / "tasks" / "take_the_lock.yml").read_text(encoding="utf-8"))
    facts = {name: value for task in taken for name, value in task.get("ansible.builtin.set_fact", {}).items()}
    assert facts["alwayson_intent"] == "{{ alwayson_lock.lock.intent }}" and facts["alwayson_interrupted"] == "{{ alwayson_lock.interrupted }}"
    assert 'intent: "{{ alwayson_intent }}"' in (playbooks / "phases" / "observe.yml").read_text(encoding="utf-8")
