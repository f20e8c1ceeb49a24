# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No module returns a key that a supported ansible-core keeps for itself: core converts, overwrites or drops such a value."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest
import yaml


REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = sorted((REPOSITORY / "plugins" / "modules").glob("*.py"))
# What every core reads from a result, with the type that a module may return it as. None: a module must not return it at all.
EVERY_CORE = {
    "changed": "bool", "failed": "bool", "skipped": "bool", "unreachable": None, "msg": "str", "rc": "int", "diff": "dict", "exception": None,
    "warnings": "list", "deprecations": "list", "ansible_facts": "dict", "ansible_stats": None, "ansible_job_id": None, "finished": None, "results": None,
    "attempts": None, "retries": None, "failed_when_result": None, "skip_reason": None, "invocation": None, "stdout_lines": None, "stderr_lines": None,
    "ansible_loop_var": None, "ansible_index_var": None, "ansible_loop": None, "module_stdout": None, "module_stderr": None,
}
# executor/task_executor.py of 2.19 and 2.20; ansible._internal._task.UnifiedTaskResult of 2.21, which also converts: `finished` to a bool.
RESERVED = {
    "2.19": {**EVERY_CORE, "add_host": None, "add_group": None},
    "2.20": {**EVERY_CORE, "add_host": None, "add_group": None},
    "2.21": {
        **EVERY_CORE, "async_result": None, "skipped_reason": None, "false_condition": None, "changed_when_result": None, "break_when_result": None,
        "changed_when_suppressed_exception": None, "failed_when_suppressed_exception": None, "break_when_suppressed_exception": None, "loop_item": None,
        "loop_index": None,
    },
}
# What 2.21 itself says; core keeps all names that begin with _ansible_.
ASK = """
import json, ansible.constants
from ansible._internal._task import UnifiedTaskResult as Result
names = set(Result.get_result_key_to_resolved_field_mapping(True))
names |= set(Result._get_field_name_to_result_key_mapping(for_callback=False, for_round_trip=False).values())
print(json.dumps(sorted(names)))
"""


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def documented(path: Path) -> dict[str, str]:
    """Key to type, of RETURN."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "RETURN":
            return {name: facts["type"] for name, facts in (yaml.safe_load(ast.literal_eval(node.value)) or {}).items()}
    return {}


def returned(path: Path) -> set[str]:
    """Every text that is a key or the name of an argument of a call that may make the result: more than is returned, never less."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("exit_json", "fail_json", "result.update")):
            names |= {keyword.arg for keyword in node.keywords if keyword.arg}
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict):
            names |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    return names


@pytest.mark.parametrize("core", sorted(RESERVED))
def test_no_module_documents_a_key_of_core(core):
    keys = {path.name: documented(path) for path in MODULES}
    assert len(keys) > 20 and sum(map(len, keys.values())) > 60
    assert {(name, key, kind) for name, types in keys.items() for key, kind in types.items()
            if key.startswith("_ansible_") or kind != RESERVED[core].get(key, kind)} == set()


@pytest.mark.parametrize("core", sorted(RESERVED))
def test_no_module_and_no_action_returns_a_key_of_core(core):
    files = [*MODULES, *sorted((REPOSITORY / "plugins" / "action").glob("*.py"))]
    forbidden = {name for name, kind in RESERVED[core].items() if kind is None}
    keys = {path.name: returned(path) for path in files}
    assert sum(map(len, keys.values())) > 60
    assert {name: sorted(found & forbidden) for name, found in keys.items() if found & forbidden} == {}


def test_the_newest_core_reserves_no_other_key():
    python = REPOSITORY / "build" / "cores" / "2.21" / "bin" / "python"
    if not python.exists():
        pytest.skip("ansible-core 2.21: no Python on this machine runs it (see tests/cores.sh)")
    names = json.loads(subprocess.run([python, "-c", ASK], check=True, capture_output=True, text=True, timeout=60).stdout)
    assert len(names) > 20
    assert {name for name in names if not name.startswith("_ansible_")} - set(RESERVED["2.21"]) == set()


def test_what_the_record_of_a_run_is_made_of_says_when():
    for name in ("traffic_member", "traffic_route", "release", "package_updates", "smoke_test"):
        path = REPOSITORY / "plugins" / "modules" / f"{name}.py"
        assert {key for key, kind in documented(path).items() if kind == "float"} >= {"started_at", "finished_at"}, name
