# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house that no linter knows. Every rule counts what it looked at, so that an empty match cannot pass."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import known_variables

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (REPOSITORY / "roles").iterdir() if path.is_dir())


def tracked(*patterns: str) -> list[Path]:
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=REPOSITORY, check=True, capture_output=True,
                           text=True).stdout.split()
    files = [REPOSITORY / name for name in names if (REPOSITORY / name).is_file()]
    assert files, patterns
    return files


def test_no_file_of_500_lines():
    long = {str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines()) for path in tracked("*.py", "*.yml", "*.sh")}
    assert len(long) > 50
    assert {name: lines for name, lines in long.items() if lines >= 500} == {}


def test_no_function_of_60_lines():
    """From the line of its `def` to its last one."""
    long = {f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
            for path in tracked("plugins/*.py", "roles/*.py", "tests/*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assert len(long) > 7000
    assert {name: lines for name, lines in long.items() if lines >= 60} == {}


def test_the_pure_core_imports_no_ansible_and_no_clock():
    files = [path for path in tracked("plugins/plugin_utils/*.py") if "_controller" not in path.parts]
    assert len(files) >= 60
    for path in files:
        imported = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").split(".")[0])
        assert not imported & {"ansible", "time", "socket", "subprocess", "urllib"}, path.name


def test_what_runs_on_a_host_imports_of_ansible_its_module_utils_only():
    files = tracked("plugins/module_utils/*.py", "plugins/modules/*.py")
    assert len(files) > 100
    for path in files:
        imported = {node.module or "" for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)}
        wrong = {name for name in imported if name.split(".")[0] == "ansible" and not name.startswith("ansible.module_utils")}
        assert not wrong, f"{path.name}: {wrong}"


def test_the_documentation_of_plugins_is_yaml():
    documented = 0
    for path in tracked("plugins/*/*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
                assert yaml.safe_load(ast.literal_eval(node.value)), path.name
                documented += 1
    assert documented > 60


def test_fail_json_only_in_main():
    files = tracked("plugins/modules/*.py", "plugins/module_utils/*.py")
    assert len(files) >= 10
    for path in files:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name != "main":
                assert "fail_json" not in ast.unparse(function), f"{path.name}: {function.name}"


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_name_the_same_options(role):
    base = REPOSITORY / "roles" / role
    specs = yaml.safe_load((base / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    defaults = yaml.safe_load((base / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}
    documented = {name: option for entry in specs.values() for name, option in entry["options"].items()}
    required = {name for entry in specs.values() for name, option in entry["options"].items() if option.get("required")}
    with_default = set(documented) - required
    assert documented and set(defaults) == with_default
    assert all(name.startswith(f"{role}_") for name in documented)
    assert {name: option["default"] for name, option in documented.items() if "default" in option} == {
        name: defaults[name] for name, option in documented.items() if "default" in option}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_the_shape_of_the_house(role):
    base = REPOSITORY / "roles" / role
    for part in ("README.md", "meta/main.yml", "meta/argument_specs.yml", "defaults/main.yml", "tasks/main.yml"):
        assert (base / part).is_file(), part
    assert len((base / "tasks" / "main.yml").read_text(encoding="utf-8").splitlines()) <= 60


def test_every_variable_of_the_playbooks_is_documented_and_no_other():
    documented = re.findall(r"^\| `(upgrade_[a-z0-9_]+)`", (REPOSITORY / "docs" / "variables.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(known_variables())


def test_every_filter_has_documentation_of_its_own():
    modules = [importlib.import_module(f"ansible_collections.alwayson.upgrade.plugins.filter.{path.stem}") for path in tracked("plugins/filter/*.py")]
    names = {name for module in modules for name in module.FilterModule().filters()}
    sidecars = {path.stem for path in tracked("plugins/filter/*.yml")}
    assert len(names) >= 15 and names == sidecars


def test_a_filter_that_was_renamed_is_found_by_its_old_name():
    """Published names keep working for one release: the old one leads to the new one, with a deprecation."""
    routing = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8"))["plugin_routing"]["filter"]
    documented = {path.stem for path in tracked("plugins/filter/*.yml")}
    assert len(routing) >= 5 and not documented & set(routing)
    assert {route["redirect"].removeprefix("alwayson.upgrade.") for route in routing.values()} <= documented
    assert all(route["redirect"] in route["deprecation"]["warning_text"] for route in routing.values())


def test_every_play_of_a_run_has_a_strategy_that_keeps_its_cleanup():
    """Under linear a play that fails for all its hosts ends the playbook, and nothing releases the lock."""
    plays = [(path.name, play) for path in tracked("playbooks/phases/*.yml", "playbooks/plan.yml", "playbooks/status.yml", "playbooks/install.yml")
             for play in yaml.safe_load(path.read_text(encoding="utf-8")) if "hosts" in play]
    assert len(plays) >= 30
    assert [(name, play["name"]) for name, play in plays
            if play.get("strategy") not in ("alwayson.upgrade.linear_with_cleanup", "alwayson.upgrade.rolling")] == []
    for name in ("account.yml", "end.yml"):
        cleanup = [play["vars"].get("cleanup_play") for path, play in plays if path == name]
        assert len(cleanup) >= 2 and all(cleanup), name
    for playbook in ("upgrade.yml", "plan.yml", "status.yml", "install.yml"):
        entries = yaml.safe_load((REPOSITORY / "playbooks" / playbook).read_text(encoding="utf-8"))
        assert entries[-1].get("ansible.builtin.import_playbook") == "phases/end.yml", playbook


def test_no_linter_is_told_to_look_away():
    """Neither a line nor a file of plugins is left out by ruff or mypy."""
    files = tracked("plugins/*.py")
    assert len(files) > 300
    assert [str(path) for path in files if re.search(r"# (type: ignore|noqa|ruff: noqa|mypy:)", path.read_text(encoding="utf-8"))] == []
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    left_out = {"exclude", "extend-exclude", "per-file-ignores", "extend-per-file-ignores"}
    assert not left_out & {*settings["mypy"], *settings["ruff"]["lint"]} and settings["ruff"]["extend-exclude"] == ["build"]
    assert not [entry for entry in settings["mypy"]["overrides"] if "ignore_errors" in entry or "ansible_collections" in str(entry["module"])]
    # Ansible wants a module's documentation before its imports. No other rule is left out.
    assert settings["ruff"]["lint"]["ignore"] == ["E402"]
    assert "disable_error_code" not in settings["mypy"] and not [entry for entry in settings["mypy"]["overrides"] if "follow_imports" in entry]
    assert settings["mypy"]["disallow_any_generics"] and settings["mypy"]["disallow_untyped_defs"]
