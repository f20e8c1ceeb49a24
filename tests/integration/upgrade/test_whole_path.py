# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fleet's life: look, plan, upgrade by half-pool under load, the same again, back, and forward again by rolling. The tests build on each other.

All of it on the newest ansible-core, without a warning; the oldest one is in test_blue_green.py."""

from __future__ import annotations

import pytest
from integration.cores import NEWEST
from integration.upgrade.conftest import an_operator

EVERYBODY = {f"app{number}" for number in range(1, 7)}
NEW = {"upgrade_release": "2.0.0"}


@pytest.fixture(scope="module", name="operator")
def _operator():
    with an_operator("test_whole_path", core=NEWEST) as operator:
        yield operator


def test_01_status_shows_every_member_and_both_tenants(operator):
    run = operator.run("status")
    assert run.code == 0, run.output
    assert run.words.count("in traffic") == 12
    assert all(name in run.output for name in (*EVERYBODY, "db1/tenant_a", "db1/tenant_b"))
    assert set(run.changed.values()) == {0}


def test_02_the_plan_shows_the_waves_and_changes_nothing(operator):
    run = operator.run("plan", **NEW)
    assert run.code == 0, run.output
    assert "from 1.0.0 to 2.0.0 by half_pool" in run.words and "the flip" in run.words and "point of no return" in run.words
    assert set(run.changed.values()) == {0}
    assert set(operator.versions().values()) == {"1.0.0"}


def test_03_a_half_pool_upgrade_loses_no_request(operator):
    run = operator.run("upgrade", **NEW)
    assert run.code == 0, run.output[-4000:]
    assert "Use of strategy plugins not included in ansible.builtin" in run.output, "core says what it has to say"
    report = run.report
    assert report["ok"] is True and report["core_version"].startswith(NEWEST)
    assert report["requests_scheduled"] > 600
    assert (report["requests_failed"], report["version_regressions"]) == (0, 0), report["failures_by_class"]
    assert report["live_min"] >= report["live_floor"] == 3
    assert set(report["members"]) == EVERYBODY
    for member in report["members"].values():
        assert (member["release_before"], member["release_after"]) == ("1.0.0", "2.0.0")
        assert member["seconds_out"] > 0
        assert {name: (proof["sessions"], proof["queued"]) for name, proof in member["drain_proof"].items()} == {"lb1": (0, 0), "lb2": (0, 0)}
    assert set(report["databases"]) == {"tenant_a", "tenant_b"}
    for database in report["databases"].values():
        assert database["backup"]["proven"] is True and database["backup"]["rows"] > 0
        assert database["backup_after"]["proven"] is True
        assert [(row["phase"], row["status"]) for row in database["migrations"]] == [("expand", "applied")] * 2 + [("backfill", "applied")]
    assert (run.directory / "report.html").stat().st_size > 10_000
    assert "2.0.0" in (run.directory / "as-built.yml").read_text(encoding="utf-8")
    assert set(operator.versions().values()) == {"2.0.0"}
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}


def test_04_the_same_command_again_changes_nothing(operator):
    run = operator.run("upgrade", **NEW)
    assert run.code == 0, run.output
    assert "Nothing to do" in run.words
    assert len(run.changed) == 8 and set(run.changed.values()) == {0}, run.changed


def test_05_the_way_back_is_as_quiet(operator):
    run = operator.run("rollback")
    assert run.code == 0, run.output[-4000:]
    report = run.report
    assert (report["release_from"], report["release_to"], report["ok"]) == ("2.0.0", "1.0.0", True)
    assert report["requests_scheduled"] > 600 and report["requests_failed"] == 0, report["failures_by_class"]
    assert set(operator.versions().values()) == {"1.0.0"}
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}


@pytest.mark.thorough
def test_06_forward_again_by_rolling_driven_from_each_load_balancer(operator):
    """Without upgrade_traffic_via each load balancer drives itself, as with UNIX sockets over SSH."""
    run = operator.run("upgrade", **NEW, upgrade_method="rolling", upgrade_traffic_via=None)
    assert run.code == 0, run.output[-4000:]
    report = run.report
    assert report["ok"] is True and report["method"] == "rolling"
    assert report["requests_scheduled"] > 600 and report["requests_failed"] == 0, report["failures_by_class"]
    assert report["live_min"] >= report["live_floor"] == 4
    for database in report["databases"].values():
        assert [(row["phase"], row["status"]) for row in database["migrations"]] == [("expand", "already")] * 2 + [("backfill", "already")]


@pytest.mark.thorough
def test_07_the_schemas_are_contracted_later_and_only_once(operator):
    run = operator.run("upgrade", **NEW, upgrade_contract=True)
    assert run.code == 0, run.output[-4000:]
    assert "contract and optimise migrations of 2.0.0 remove what older releases need" in run.words
    report = run.report
    assert report["ok"] is True and report["requests_failed"] == 0
    assert {member["outcome"] for member in report["members"].values()} == {"untouched"}
    for database in report["databases"].values():
        assert [(row["phase"], row["status"]) for row in database["migrations"]] == [("contract", "applied"), ("optimise", "applied")]
        assert database["backup"]["proven"] and database["backup_after"]["proven"]
    again = operator.run("upgrade", **NEW, upgrade_contract=True)
    assert again.code == 0 and set(again.changed.values()) == {0}, again.changed


@pytest.mark.thorough
def test_08_past_the_point_of_no_return_the_way_back_is_refused(operator):
    before = operator.in_traffic()
    run = operator.run("rollback")
    assert run.code != 0
    assert "beyond the point of no return" in run.words and "tenant_a" in run.words
    assert operator.in_traffic() == before
    assert set(operator.versions().values()) == {"2.0.0"}
