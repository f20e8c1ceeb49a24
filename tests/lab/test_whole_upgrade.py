# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole upgrade on real hosts, over SSH, with patching and a reboot of every member, under load."""

from __future__ import annotations

import json

import pytest
from faults.in_lab import InLab
from fleet.runs import Run
from lab import play

pytestmark = pytest.mark.lab
LEAST_REQUESTS = 2000


@pytest.fixture
def hosts(lab):
    hosts = InLab(lab)
    hosts.heal()
    hosts.old_packages()
    return hosts


def run(lab, playbook: str, **variables: object) -> Run:
    log = lab.directory / f"{playbook}.log"
    with log.open("w", encoding="utf-8") as output:
        code = play.run_playbook(lab, f"alwayson.upgrade.{playbook}", variables, output=output)
    return Run(code, log.read_text(encoding="utf-8"), lab.directory / "report")


def test_the_fleet_is_patched_rebooted_and_upgraded_and_nobody_notices(lab, hosts):
    boots = {member: hosts.boot(member) for member in hosts.everybody}
    plan = run(lab, "plan", upgrade_release="2.0.0", upgrade_patch="all")
    assert plan.code == 0 and "lab-kernel 1.0 → 2.0 (security): all 6 members" in plan.words, plan.output[-3000:]
    assert {member: hosts.boot(member) for member in hosts.everybody} == boots

    upgrade = run(lab, "upgrade", upgrade_release="2.0.0", upgrade_patch="all")
    assert upgrade.code == 0, upgrade.output[-3000:]
    report = upgrade.report
    assert report["requests_scheduled"] > LEAST_REQUESTS and report["requests_failed"] == 0, (report["requests_scheduled"], report["failures_by_class"])
    assert report["ok"] and report["live_min"] >= report["live_floor"] == 3 and report["version_regressions"] == 0
    assert set(hosts.releases().values()) == {"2.0.0"} and hosts.in_traffic() == {"lb1": hosts.everybody, "lb2": hosts.everybody}
    for member in sorted(hosts.everybody):
        assert hosts.boot(member) != boots[member], f"{member} was not rebooted"
        assert (hosts.package(member, "lab-kernel"), hosts.package(member, "lab-agent")) == ("2.0", "2.0")
        assert not hosts.holds_updates(member)
        assert [stage["name"] for stage in report["members"][member]["stages"]][:3] == ["drain", "patch", "reboot"]

    again = run(lab, "upgrade", upgrade_release="2.0.0", upgrade_patch="all")
    assert again.code == 0 and len(again.changed) == 8 and not any(again.changed.values()), again.changed
    written = json.loads((lab.directory / "report" / "report.json").read_text(encoding="utf-8"))
    assert written["finished"] == report["finished"], "a run that changed nothing replaced the report of the one that did"
