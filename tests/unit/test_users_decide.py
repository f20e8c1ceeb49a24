# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users get is a gate on the way forward, and the report's verdict is the exit status: each place in the playbooks that has to ask, asks."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
import yaml
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.live_figures import LiveFigures
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.variables import strategy_options_from
from ansible_collections.alwayson.upgrade.plugins.strategy.rolling import StrategyModule
from conftest import REPOSITORY

PLAYBOOKS = REPOSITORY / "playbooks"
ASKS = "../tasks/ask_what_users_get.yml"


def plays(name):
    return yaml.safe_load((PLAYBOOKS / name).read_text(encoding="utf-8"))


def tasks_of(play_or_task):
    for part in ("tasks", "block", "rescue"):
        for task in play_or_task.get(part, []):
            yield task
            yield from tasks_of(task)


@pytest.mark.parametrize("phase", ["roll", "finalize", "databases"])
def test_the_phases_ask_before_they_move_traffic_or_close_the_way_back(phase):
    asked = [task for play in plays(f"phases/{phase}.yml") for task in tasks_of(play) if task.get("ansible.builtin.import_tasks") == ASKS]
    assert len(asked) == 1


def test_no_flip_and_no_contract_once_the_budget_is_spent():
    held = [task for play in plays("phases/roll.yml") for task in tasks_of(play)
            if "alwayson_users_suffer | length > 0" in str(task.get("when")) and task["ansible.builtin.set_fact"].get("alwayson_flips") is False]
    contracts = [task for play in plays("phases/finalize.yml") for task in tasks_of(play) if "plan.migrations_after" in str(task.get("loop"))]
    assert len(held) == 1
    assert contracts and all("alwayson_users_suffer" in task["loop"] for task in contracts)


def test_the_gate_is_on_the_way_forward_only():
    rolls = {play["name"]: play["vars"] for play in plays("phases/roll.yml") if play.get("strategy") == "alwayson.upgrade.rolling"}
    back = rolls.pop("Roll | return all members")
    assert len(rolls) == 2 and all("alwayson_gate" in variables["rolling_probe"] for variables in rolls.values()) and "rolling_probe" not in back


@pytest.mark.parametrize(("playbook", "by"), [("phases/end.yml", "alwayson_final_record"), ("probe.yml", "report_result")])
def test_the_verdict_of_the_report_is_the_exit_status(playbook, by):
    ends = [(play, task) for play in plays(playbook) for task in tasks_of(play) if "ansible.builtin.fail" in task and f"not {by}.ok" in str(task.get("when"))]
    assert len(ends) == 1
    play, task = ends[0]
    assert by == "report_result" or {**play.get("vars", {}), **task.get("vars", {})}[by].startswith("{{ report_result | default(alwayson_record)")


@pytest.mark.parametrize(("failed", "stops"), [(0, False), (3, True)])
def test_the_roll_reads_the_figures_of_the_prober(tmp_path, failed, stops):
    (tmp_path / "live.json").write_text(json.dumps({"now": time.time(), "requests_scheduled": 40, "requests_failed": failed}), encoding="utf-8")
    reasons = []
    options = strategy_options_from({"app1": {"rolling_probe": {"directory": str(tmp_path), "max_failed": 2}}})
    schedule = SimpleNamespace(goes_back=False, stop_for_failures=reasons.append)
    StrategyModule._ask_what_users_get(SimpleNamespace(_options=options, _schedule=schedule, _probe=LiveFigures(0.0, 0.0), _figures=None))
    assert bool(reasons) is stops
