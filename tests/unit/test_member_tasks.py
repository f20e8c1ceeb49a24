# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many tasks the controller has for each member in a roll: each one costs it a process, also where it is skipped.

tests/bench/calls.py counts them in a real roll.
"""

from __future__ import annotations

from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TASKS = REPOSITORY / "playbooks" / "tasks"
# On the way of a member that is no canary, with the task that keeps how long it took.
MOST = 10
RETURN = "Bring the member back into traffic when its health check passes again"


def begun(path: Path) -> list[str]:
    """The names of the tasks of a file that begin where nothing fails, and no package waits to be updated."""
    return [name for entry in yaml.safe_load(path.read_text(encoding="utf-8")) for name in of_entry(entry, path)]


def of_entry(entry: dict, path: Path) -> list[str]:
    """The same, of one entry of a file of tasks."""
    if "block" in entry:
        return [name for inner in entry["block"] for name in of_entry(inner, path)]
    if "ansible.builtin.import_tasks" in entry:
        return begun(path.parent / entry["ansible.builtin.import_tasks"])
    if "ansible.builtin.import_role" in entry:
        role = entry["ansible.builtin.import_role"]
        validates = ["validation"] if role.get("rolespec_validate", True) else []
        return [*validates, *begun(REPOSITORY / "roles" / role["name"].rpartition(".")[2] / "tasks" / f"{role.get('tasks_from', 'main')}.yml")]
    return [entry["name"]]


def test_a_member_has_few_tasks():
    roll = yaml.safe_load((REPOSITORY / "playbooks" / "phases" / "roll.yml").read_text(encoding="utf-8"))
    on_members = [play for play in roll if play["hosts"] != "localhost"]
    names = [*begun(TASKS / "upgrade_member.yml"), on_members[-1]["tasks"][0]["name"]]
    assert len(on_members[-1]["tasks"]) == 1 and RETURN in names and "validation" not in names
    assert len(names) <= MOST, names


def test_when_a_canary_came_back_is_not_what_a_skipped_task_registers():
    """Both register the role's variable, and the second one is skipped for a canary."""
    [block] = yaml.safe_load((TASKS / "upgrade_member.yml").read_text(encoding="utf-8"))
    returns = [task["when"] for task in block["block"] if "Return it to traffic" in task["name"]]
    [recorded] = [task for task in block["block"] if task["name"] == "Record the outcome"]
    canary = yaml.safe_load((TASKS / "return_canary.yml").read_text(encoding="utf-8"))
    names = [task["name"] for task in canary]
    assert len(returns) == 2 and returns[1].startswith("not alwayson_analysed")
    assert names.index("Return it to traffic") + 1 == names.index("Record when the canary came back")
    assert canary[names.index("Record when the canary came back")]["ansible.builtin.set_fact"] == {"alwayson_canary_in": "{{ pool_member_in }}"}
    assert recorded["vars"]["alwayson_back"] == "{{ alwayson_canary_in if alwayson_analysed else pool_member_in | default({}) }}"
