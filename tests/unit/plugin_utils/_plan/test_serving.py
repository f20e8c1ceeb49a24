# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who serves in the middle of a roll, by load balancers that were read again, or could not be."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.serving import serving_members
from unit.plugin_utils._plan.test_plan import NAMES, OUT, fleet, service, view

ROLL = Path(__file__).resolve().parents[4] / "playbooks" / "phases" / "roll.yml"


def read(**balancers):
    return [{"load_balancers": {name: view(**dict.fromkeys(out, OUT))}} for name, out in balancers.items()]


def test_who_serves_everywhere_and_anywhere():
    found = serving_members(read(lb1=NAMES[:3], lb2=NAMES[:2]), service(), fleet())
    assert found == {"everywhere": NAMES[3:], "anywhere": NAMES[2:], "problems": []}


def test_a_load_balancer_that_cannot_be_read_proves_nobody_live_and_may_serve_everybody():
    failed = {"failed": False, "msg": "lb2 hung up without an answer", "call": {"host": "lb2"}}
    found = serving_members([*read(lb1=NAMES[:3]), failed], service(), fleet())
    assert found == {"everywhere": [], "anywhere": NAMES, "problems": ["lb2 could not be read: lb2 hung up without an answer"]}
    assert serving_members([], service(), fleet())["problems"] == ["lb1, lb2 could not be read: no answer"]


def test_a_member_that_a_load_balancer_does_not_know_is_live_only_elsewhere():
    results = read(lb1=[], lb2=[])
    del results[1]["load_balancers"]["lb2"]["backends"]["app"]["members"]["app1"]
    found = serving_members(results, service(), fleet())
    assert found["everywhere"] == NAMES[1:] and found["anywhere"] == NAMES


def test_the_roll_reads_the_traffic_before_and_after_the_flip_and_before_it_puts_anything_back():
    """Both in the file and in this order; what each of them decides is tested beside."""
    order = [task.get("ansible.builtin.include_tasks", task["name"]) for play in yaml.safe_load(ROLL.read_text(encoding="utf-8")) for task in play["tasks"]]
    wanted = ["../tasks/read_the_traffic.yml", "Move the traffic to the upgraded members", "../tasks/read_the_traffic.yml", "Continue with the other half",
              "../tasks/read_the_traffic.yml", "Find the members that a stopped roll left out of traffic"]
    assert [name for name in order if name in wanted] == [*wanted, "../tasks/read_the_traffic.yml"]
