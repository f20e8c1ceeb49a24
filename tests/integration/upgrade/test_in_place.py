# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server without a second one, whose start takes three seconds: what comes meanwhile is held, and not failed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from integration.upgrade.conftest import an_operator

BOOT_SECONDS, OBJECTIVE_SECONDS = 3.0, 20.0
SETTINGS = yaml.safe_load((Path(__file__).resolve().parents[2] / "fleet" / "service.yml").read_text(encoding="utf-8"))["demo_probe"]
# Held requests are what is measured, so they have the time for it.
ONE = {"upgrade_members": "app_app", "upgrade_method": "in_place", "demo_capacity": [], "demo_probe": {**SETTINGS, "objective_seconds": OBJECTIVE_SECONDS}}


@pytest.fixture(scope="module", name="operator")
def _operator():
    # Two pools of one member each; users come to the first.
    with an_operator("test_in_place", members=2, pools=("app", "other"), boot_seconds=BOOT_SECONDS) as operator:
        yield operator


@pytest.mark.thorough
def test_requests_are_held_for_a_start_of_three_seconds(operator):
    run = operator.run("upgrade", upgrade_release="2.0.0", **ONE)
    assert run.code == 0, run.output[-4000:]
    assert run.report["requests_scheduled"] > 400 and run.report["requests_failed"] == 0, run.report["failures_by_class"]
    assert BOOT_SECONDS * 1000 < run.report["latency_ms"]["p100"] < OBJECTIVE_SECONDS * 1000, "some waited for the start"
    assert operator.fleet.member_version("app1") == "2.0.0" and operator.fleet.member_version("app2") == "1.0.0"
    assert any("drain of app1" in sentence for sentence in run.report["not_proven"])
    again = operator.run("upgrade", upgrade_release="2.0.0", **ONE)
    assert again.code == 0 and set(again.changed.values()) == {0}


@pytest.mark.thorough
def test_a_release_that_is_bad_goes_back_and_nobody_meets_an_error_of_the_way(operator):
    run = operator.run("upgrade", upgrade_release="2.0.1", **ONE)
    assert run.code != 0 and operator.fleet.member_version("app1") == "2.0.0"
    assert run.report["requests_failed"] == 0, run.report["failures_by_class"]
    assert {member["outcome"] for member in run.report["members"].values()} == {"returned"}


@pytest.mark.thorough
def test_more_than_one_member_have_better_ways(operator):
    run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_method="in_place", upgrade_members="all")
    assert run.code != 0 and "is for a service with one member" in run.words
    refused = operator.run("upgrade", upgrade_release="1.0.0", upgrade_members="app_app", upgrade_method="rolling", demo_capacity=[])
    assert refused.code != 0 and "let the load balancer hold requests meanwhile (upgrade_method=in_place, docs/haproxy.md)" in refused.words
