# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every documented example of a module is accepted, by its action plugin too, and so are the fewest options that the documentation asks for.

What is read by index is there then: an option without a default is None, and a dictionary has its keys in the argument spec, where they have defaults.
"""

from __future__ import annotations

import ast
import copy
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import ansible_module
from module_specs import MODULES, spec_of

PREFIX = "alwayson.upgrade."
PLUGINS = Path(ansible_module.__file__).parents[2]
ACTIONS = sorted(path.stem for path in (PLUGINS / "action").glob("*.py"))
# Dictionaries whose keys are the user's own, or those of a load balancer's kind, which its kind checks.
FREE = {"headers", "secret_headers", "expect", "expect_answer", "expect_headers", "environment", "command_environment", "settings"}
# In place of what a template would give.
SAMPLES = {"int": 1, "float": 1.0, "bool": True, "dict": {}, "list": ["x"], "path": "/x"}
# What leads through all of an action plugin, and what is required of a test in words.
NEEDED: dict[str, dict] = {"member_info": {"address": "127.0.0.1:1", "tests": []}, "smoke_test": {"tests": [{"name": "x", "url": "http://127.0.0.1:1"}]}}


def examples(name: str) -> list[dict]:
    """The arguments of each documented call of the module, in its own examples and in those of others."""
    return [task[PREFIX + name] for other in MODULES for task in tasks_in(documented(other)) if PREFIX + name in task]


def documented(name: str) -> list:
    for node in ast.parse((PLUGINS / "modules" / f"{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES":
            return yaml.safe_load(ast.literal_eval(node.value))
    return []


def tasks_in(entries: list[dict]) -> Iterator[dict]:
    for entry in entries:
        yield entry
        yield from tasks_in(entry.get("tasks", []))


def without_templates(spec: dict, params: dict) -> dict:
    """The arguments with a value of the option's type where a template stands, and without those that a template may leave out."""
    plain = {}
    for name, value in params.items():
        option = spec.get(name, {})
        if isinstance(value, str) and "{{" in value:
            if "default(omit)" not in value:
                plain[name] = SAMPLES.get(option.get("type", "str"), "1.0.0")
        elif option.get("options"):
            plain[name] = [without_templates(option["options"], row) for row in value] if isinstance(value, list) else without_templates(
                option["options"], value)
        else:
            plain[name] = value
    return plain


def fewest(spec: dict, only_required: bool) -> dict:
    """The required options only; otherwise each dictionary of the spec too, with the fewest keys."""
    params: dict = {}
    for name, option in spec.items():
        if option.get("options") and (option.get("required") or not only_required):
            inner = fewest(option["options"], only_required)
            params[name] = [inner] if option["type"] == "list" else inner
        elif option.get("required"):
            params[name] = option["choices"][0] if option.get("choices") else SAMPLES.get(option.get("type", "str"), "1.0.0")
    return params


def validated(spec: dict, more: dict, params: dict) -> dict:
    """The parameters as the module has them; fails the test with the module's own words where it refuses them."""
    given = {**copy.deepcopy(params), "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    with patch_module_args(given):
        return ansible_module.AnsibleModule(argument_spec=copy.deepcopy(spec), **more).params


def sent_by_action(name: str, params: dict) -> list[dict]:
    """What the module's action plugin sends to the module; nothing comes back."""
    sent: list[dict] = []
    task = SimpleNamespace(action=PREFIX + name, args=copy.deepcopy(params), async_val=0, check_mode=False, diff=False, no_log=False, environment=[],
                           delegate_to=None)
    shell = SimpleNamespace(tmpdir="/nowhere", join_path=lambda *parts: "/".join(parts))
    connection = SimpleNamespace(_shell=shell, transport="ssh", become=None, has_native_async=False)
    module = importlib.import_module(f"ansible_collections.alwayson.upgrade.plugins.action.{name}")
    action = module.ActionModule(task, connection, SimpleNamespace(check_mode=False), None, None, None)

    def execute(module_name=None, module_args=None, task_vars=None, wrap_async=False):
        sent.append(params if module_args is None else module_args)
        return {"failed": True}

    action._execute_module = execute
    action._brought = lambda source: "/tmp/archive"
    action._low_level_execute_command = lambda command: {"rc": 1}
    action._remove_tmp_path = lambda path: None
    action.run(task_vars={})
    return sent


def every_dictionary(spec: dict, path: tuple = ()) -> Iterator[tuple[tuple, dict]]:
    for name, option in spec.items():
        if option.get("type") == "dict" or option.get("elements") == "dict":
            yield (*path, name), option
        yield from every_dictionary(option.get("options", {}), (*path, name))


@pytest.mark.parametrize("name", MODULES)
def test_every_example_is_accepted(name, monkeypatch):
    spec, more = spec_of(name, monkeypatch)
    found = [without_templates(spec, params) for params in examples(name)]
    assert found
    for params in found:
        for sent in sent_by_action(name, params) if name in ACTIONS else [params]:
            assert validated(spec, more, sent)


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("only_required", [True, False])
def test_an_action_plugin_needs_no_option_that_the_module_does_not_require(name, only_required, monkeypatch):
    spec, _more = spec_of(name, monkeypatch)
    assert sent_by_action(name, {**fewest(spec, only_required), **NEEDED.get(name, {})})


def test_a_dictionary_has_its_keys_in_the_spec(monkeypatch):
    found = [(name, path, option) for name in MODULES for path, option in every_dictionary(spec_of(name, monkeypatch)[0])]
    assert len(found) > 30
    assert [(name, path) for name, path, option in found if not option.get("options") and path[-1] not in FREE] == []
