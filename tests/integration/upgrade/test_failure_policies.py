# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member in the middle of the roll does not stand the new release: what becomes of the others is the operator's policy."""

from __future__ import annotations

import json

import pytest

EVERYBODY = {f"app{number}" for number in range(1, 7)}
# Only app5 fails, and only with the new release.
POISON = [{"name": "the release agrees with this host", "path": "/version",
           "expect": {"release": "{{ 'none' if inventory_hostname == 'app5' else upgrade_release }}"}}]


def upgrade(operator, **variables):
    return operator.run("upgrade", upgrade_release="2.0.0", upgrade_method="rolling", upgrade_smoke_tests=POISON, **variables)


def assert_nobody_noticed(operator, run):
    assert run.code != 0
    assert run.report["requests_scheduled"] > 300 and run.report["requests_failed"] == 0, run.report["failures_by_class"]
    assert run.report["live_min"] >= run.report["live_floor"] == 4
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}
    assert not (operator.fleet.directory / "state" / "shop.lock").exists()


@pytest.mark.thorough
def test_rollback_takes_every_member_back(operator):
    run = upgrade(operator, upgrade_on_failure="rollback")
    assert_nobody_noticed(operator, run)
    assert operator.versions() == dict.fromkeys(EVERYBODY, "1.0.0")
    outcomes = {name: member["outcome"] for name, member in run.report["members"].items()}
    assert outcomes["app5"] == "returned" and sum(outcome == "returned" for outcome in outcomes.values()) >= 3, outcomes
    assert set(outcomes.values()) <= {"returned", "untouched"} and run.report["outcome"] == "returned to 1.0.0"


@pytest.mark.thorough
def test_skip_upgrades_the_others(operator):
    run = upgrade(operator, upgrade_on_failure="skip")
    assert_nobody_noticed(operator, run)
    assert operator.versions() == {**dict.fromkeys(EVERYBODY, "2.0.0"), "app5": "1.0.0"}
    assert [sentence.split()[0] for sentence in run.report["problems"]] == ["app5"]
    # What an upgrade took is kept on the host that was upgraded, and only there.
    kept = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in operator.fleet.directory.glob("hosts/*/.last_upgrade.json")}
    assert set(kept) == EVERYBODY - {"app5"} and all(entry["seconds"] > 0 and entry["release"] == "2.0.0" for entry in kept.values())
