# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary in every option of every module that can hold a secret: it comes out nowhere, neither in the result nor in the system log.

The argument specs of all modules are walked, so a new option is tried, too, with no entry here.
"""

from __future__ import annotations

import copy
import importlib
import json
import re

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import ansible_module
from module_specs import FOLDER, MODULES, spec_of

CANARY = "canary-4f1-secret"
# How a secret stands in an option that is none as a whole.
WITHIN = {
    "str": (f"http://user:{CANARY}@127.0.0.1:1/", f"/path?token={CANARY}", f"host=h password={CANARY}"),
    "raw": ({"password": CANARY}, f"a=b&api_key={CANARY}", [f"--password={CANARY}"]),
    "dict": ({"Authorization": f"Bearer {CANARY}"}, {"change": {"ready": {"path": f"/x?key={CANARY}", "body": {"token": CANARY}}}}),
    "list": ([f"http://user:{CANARY}@127.0.0.1:1/"], [f"--token={CANARY}"]),
}


def holders(spec: dict, path: tuple = ()) -> list[tuple]:
    """The paths of all options that take a text, or what may hold one."""
    found = []
    for name, option in spec.items():
        if "options" in option:
            found += holders(option["options"], (*path, name))
        elif option.get("type", "str") in (*WITHIN, "path") and not option.get("choices") and option.get("elements", "str") in (*WITHIN, "path"):
            found.append((*path, name))
    return found


def option_at(spec: dict, path: tuple) -> dict:
    for name in path[:-1]:
        spec = spec[name]["options"]
    return spec[path[-1]]


def filled(spec: dict, path: tuple, value: object) -> dict:
    """Arguments that are accepted: what is required, and this value at this path."""
    params: dict = {}
    for name, option in spec.items():
        on_the_way = path[:1] == (name,)
        if (on_the_way and len(path) > 1) or ("options" in option and option.get("required")):
            inner = filled(option["options"], path[1:] if on_the_way else (), value)
            params[name] = [inner] if option["type"] == "list" else inner
        elif on_the_way:
            params[name] = value
        elif option.get("required"):
            plain = {"int": 1, "float": 1.0, "bool": True, "dict": {"a": "b"}, "list": ["x"], "path": "/x"}
            params[name] = option["choices"][0] if option.get("choices") else plain.get(option.get("type", "str"), "x")
    return params


def said_by(spec: dict, params: dict, monkeypatch, capsys) -> tuple[str, str]:
    """What a module with these arguments writes to the system log, and what it answers when it tells all that it was given."""
    logged: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda self, msg, log_args=None: logged.append(f"{msg} {log_args}"))
    arguments = {**params, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    with patch_module_args(arguments):
        module = ansible_module.AnsibleModule(argument_spec=copy.deepcopy(spec))
        with pytest.raises(SystemExit):
            module.fail_json(msg=f"it was given {json.dumps(module.params)}", given=module.params, each=[str(module.params)])
    return "\n".join(logged), capsys.readouterr().out


@pytest.mark.parametrize("name", MODULES)
def test_no_module_tells_a_secret(name, monkeypatch, capsys):
    spec, _more = spec_of(name, monkeypatch)
    for path in holders(spec):
        option = option_at(spec, path)
        kind = "str" if option.get("type") == "path" else option.get("type", "str")
        for value in WITHIN[kind]:
            log, answer = said_by(spec, filled(spec, path, value), monkeypatch, capsys)
            assert "Invoked with" in log, path
            assert CANARY not in log and CANARY not in answer, (name, path, value)
            assert "it was given" in answer, path


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_the_one_that_masks(name):
    module = importlib.import_module(f"ansible_collections.alwayson.upgrade.plugins.modules.{name}")
    assert module.AnsibleModule is ansible_module.AnsibleModule


def test_the_walk_sees_what_there_is(monkeypatch):
    seen = {(name, ".".join(path)) for name in MODULES for path in holders(spec_of(name, monkeypatch)[0])}
    assert len(MODULES) >= 26 and len(seen) > 250
    assert {("smoke_test", "tests.body"), ("traffic_member", "load_balancers.settings"), ("database_switchover", "poolers.password"),
            ("availability_probe", "mix.path"), ("database_restore", "settings")} <= seen


def test_what_is_short_is_masked_only_where_it_is_a_password(monkeypatch, capsys):
    spec = {"headers": {"type": "dict", "no_log": True}, "login_password": {"type": "str", "no_log": True}, "count": {"type": "str"}}
    _log, answer = said_by(spec, {"headers": {"X-Probe": "12"}, "login_password": "pw7", "count": "12"}, monkeypatch, capsys)
    assert '"12"' in answer.replace("\\", "") and "pw7" not in answer


def test_the_options_of_roles_that_are_secrets_say_so():
    """Which of a role's variables hold one: Ansible masks them where it checks a role's arguments."""
    named, silent = re.compile(r"password|environment|secret|headers$|conninfo|_url$"), []
    seen = 0
    for path in sorted((FOLDER.parents[1] / "roles").glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            for name, option in entry["options"].items():
                if named.search(name):
                    seen += 1
                    silent += [] if option.get("no_log") else [name]
    assert seen >= 3 and silent == []
