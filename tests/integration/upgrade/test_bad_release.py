# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release whose smoke test fails: everything returns by itself, and no user noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.process import find_running

PLUGINS = Path(__file__).parent / "plugins"
EVERYBODY = {f"app{number}" for number in range(1, 7)}


@pytest.mark.parametrize("method", ["half_pool", pytest.param("rolling", marks=pytest.mark.thorough)])
def test_a_release_that_fails_its_smoke_test_is_taken_back(operator, method):
    run = operator.run("upgrade", upgrade_release="2.0.1", upgrade_method=method)
    assert run.code != 0
    report = run.report
    assert report["ok"] is False
    assert report["requests_scheduled"] > 300 and report["requests_failed"] == 0, report["failures_by_class"]
    returned = {name for name, member in report["members"].items() if member["outcome"] == "returned"}
    assert returned and any("was returned to 1.0.0" in sentence for sentence in report["problems"])
    assert len(returned) <= {"half_pool": 3, "rolling": 2}[method]
    assert report["live_min"] >= report["live_floor"]
    assert set(operator.versions().values()) == {"1.0.0"}
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}
    assert "alwayson.upgrade.status" in run.words


def test_a_database_that_cannot_be_proven_stops_the_run_before_anybody_leaves_traffic(operator):
    """A backup folder that is open to others is refused; the prober that was started for the run does not go on."""
    folder = operator.fleet.directory / "open-to-others"
    folder.mkdir(mode=0o755, exist_ok=True)
    run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_backup_directory=str(folder))
    assert run.code != 0
    report = run.report
    assert report["ok"] is False and any("db1" in sentence and "open-to-others" in sentence for sentence in report["problems"]), report["problems"]
    assert {member["outcome"] for member in report["members"].values()} == {"untouched"}
    assert report["requests_scheduled"] > 100 and report["requests_failed"] == 0
    assert find_running(str(operator.fleet.directory / "probe")) is None
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}


@pytest.mark.thorough
def test_a_hook_that_fails_stops_the_run_before_anybody_leaves_traffic(operator):
    run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_before_roll=[str(PLUGINS / "fail.yml")])
    assert run.code != 0
    assert any("upgrade_before_roll: the team said no" in sentence for sentence in run.report["problems"]), run.report["problems"]
    assert {member["outcome"] for member in run.report["members"].values()} == {"untouched"}
    assert find_running(str(operator.fleet.directory / "probe")) is None
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}
