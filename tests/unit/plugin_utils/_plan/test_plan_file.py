# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from unit.plugin_utils._plan.test_plan import OUT, fleet, service, view

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan_file import PlanFileError, drift, pinned_members, seal, unseal


def sealed(observed=None, sha256="y", **changes):
    described, seen = service(**changes), observed or fleet()
    return seal(make_plan(described, seen), described, seen, sha256)


def test_equal_fleets_and_descriptions_have_one_id_and_no_drift():
    assert sealed()["id"] == sealed()["id"]
    assert drift(sealed(), sealed()) == []
    assert len(sealed()["id"]) == 12


def test_a_plan_survives_the_file():
    written = json.dumps(sealed(), indent=2)
    assert unseal(written, "plan.json") == json.loads(written)


@pytest.mark.parametrize(("text", "words"), [
    ("", "no plan file"), ("[]", "no plan file of format 1"), ('{"format": 2, "plan": {}}', "no plan file of format 1"),
    ("{\"format\": 1}", "no plan file of format 1"),
])
def test_what_is_no_plan_file_is_refused(text, words):
    with pytest.raises(PlanFileError, match=words) as error:
        unseal(text, "p.json")
    assert "alwayson.upgrade.plan" in str(error.value)


def test_an_edited_plan_is_refused():
    plan = sealed()
    plan["plan"]["limits"]["min_live"] = 0
    with pytest.raises(PlanFileError, match="changed after it was written"):
        unseal(json.dumps(plan), "p.json")


def test_a_secret_of_the_description_stays_out_of_the_file():
    assert "hunter2" not in json.dumps(sealed(probe={"targets": ["http://shop"], "headers": {"Authorization": "hunter2"}}))


@pytest.mark.parametrize(("now", "words"), [
    ({"observed": fleet(app3={"release": "1.0.1"})}, ["app3 ran 1.0.0 and runs 1.0.1 now"]),
    ({"observed": fleet(app3={"domain": "west"})}, ["the domain of app3 was east and is west now"]),
    ({"observed": fleet(balancers={"lb1": view(app2=OUT), "lb2": view()})}, ["on lb1, app2 was in traffic and is out of traffic (maint, up) now"]),
    ({"method": "rolling"}, ["upgrade_method was half_pool when the plan was made, and is rolling now"]),
    ({"sha256": "z"}, ["upgrade_artifact_sha256 was y when the plan was made, and is z now"]),
    ({"max_failures": 1}, ["upgrade_max_failures was 0 when the plan was made, and is 1 now"]),
])
def test_each_drift_is_named(now, words):
    assert drift(sealed(), sealed(**now)) == words


def test_a_database_that_moved_on_is_drift():
    def with_rows(*rows):
        return {**fleet(), "databases": {"db1": {"tenant_a": {"migrations": list(rows)}}}}

    row = {"release": "2.0.0", "phase": "expand", "step": "001", "status": "applied"}
    assert drift(sealed(with_rows()), sealed(with_rows(row))) == [
        'the migrations of db1/tenant_a were [], and are ["2.0.0 expand 001 applied"] now']
    assert drift(sealed(with_rows()), sealed(with_rows(row)), goes_on=True) == []


def test_members_that_come_or_go_are_drift_also_for_a_run_that_goes_on():
    fewer = fleet()
    del fewer["members"]["app6"]
    assert "app6 is gone from the inventory" in drift(sealed(), sealed(fewer), goes_on=True)
    assert "app6 is new in the inventory" in drift(sealed(fewer), sealed())


def test_what_an_interrupted_run_of_this_plan_has_done_is_no_drift():
    halfway = fleet(balancers={"lb1": view(app1=OUT), "lb2": view()}, app1={"release": "2.0.0"})
    assert len(drift(sealed(), sealed(halfway))) == 2
    assert drift(sealed(), sealed(halfway), goes_on=True) == []
    other = fleet(app1={"release": "1.5.0"})
    assert drift(sealed(), sealed(other), goes_on=True) == ["app1 ran 1.0.0 and runs 1.5.0 now"]


def test_the_halves_of_the_file_are_kept_by_a_run_that_goes_on():
    plan = sealed()["plan"]
    planned_first = plan["halves"][0]
    moved = fleet(balancers={name: view(**{planned_first[0]: OUT}) for name in ("lb1", "lb2")}, **{planned_first[0]: {"release": "2.0.0"}})
    pins = {name: step for step, half in enumerate(plan["halves"]) for name in half}
    assert make_plan(service(), moved, pins)["halves"] == plan["halves"]


def test_a_plan_that_goes_on_keeps_the_halves_of_the_file():
    assert pinned_members([["app1", "app3"], ["app2"]]) == {"app1": 0, "app3": 0, "app2": 1} and pinned_members([]) == {}
