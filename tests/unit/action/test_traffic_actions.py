# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traffic modules in the worker's process: the module's own result, and the module itself wherever a worker is not what it would run as."""

from __future__ import annotations

import os
import signal
import sys
from types import SimpleNamespace

import pytest
from ansible_collections.alwayson.upgrade.plugins.action import traffic_info, traffic_member
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import TrafficError, apply, dry_run
from ansible_collections.alwayson.upgrade.plugins.modules import traffic_info as info_module, traffic_member as member_module
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.in_worker import ended_as_a_module
from fake_load_balancer import BACKEND, House
from run_module import run_module

SPECS = [{"name": "lb1", "endpoint": "tcp://127.0.0.1:1"}]
DRAIN = {"load_balancers": SPECS, "backend": BACKEND, "members": ["s1"], "state": "drained"}
MODULE = {"by": "module"}
LOADER = SimpleNamespace(get_basedir=lambda: "/")
TIMES = ("started_at", "finished_at", "proof")


@pytest.fixture(name="house")
def _house(monkeypatch):
    return in_a_house(monkeypatch)


def in_a_house(monkeypatch):
    """Load balancers of which both halves of a module know."""
    house = House()
    for module in (info_module, member_module):
        monkeypatch.setattr(module, "open_load_balancers", lambda specs: house.balancers)
    monkeypatch.setattr(member_module, "apply", lambda balancers, request: apply(balancers, request, house.time.clock))
    monkeypatch.setattr(member_module, "dry_run", lambda balancers, request: dry_run(balancers, request, house.time.clock))
    monkeypatch.setattr(member_module, "unwind_when_ended", lambda error: None)
    return house


def ask(action, task_vars=None, transport="local", become=None, check_mode=False, delegate_to=None, environment=(), async_val=0, **arguments):
    """What the action returns; MODULE when it runs the module."""
    task = SimpleNamespace(action=action.__name__, args=arguments, async_val=async_val, check_mode=check_mode, diff=True, no_log=False,
                           environment=list(environment), delegate_to=delegate_to)
    connection = SimpleNamespace(transport=transport, become=become, has_native_async=False, _shell=SimpleNamespace(tmpdir=None))
    templar = SimpleNamespace(template=lambda value: value)
    made = action.ActionModule(task, connection, SimpleNamespace(check_mode=check_mode), LOADER, templar, None)
    made._execute_module = lambda module_name, module_args, task_vars, wrap_async: MODULE if module_args == arguments else {"sent": module_args}
    return made.run(task_vars=task_vars or {})


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_result_is_the_modules(capsys, check_mode):
    results = []
    for run in (lambda: ask(traffic_member, check_mode=check_mode, **DRAIN), lambda: run_module(member_module.main, capsys, check_mode, **DRAIN)):
        with pytest.MonkeyPatch.context() as patched:
            house = in_a_house(patched)
            results.append({name: value for name, value in run().items() if name not in TIMES})
            assert (house.admin("s1")[0] == ["ready"]) is check_mode
    assert results[0] == results[1] and results[0]["changed"] is True and results[0]["invocation"]["module_args"]["on_timeout"] == "rollback"


def test_a_failure_is_the_modules(house, capsys):
    wrong = {**DRAIN, "members": ["s99"]}
    here, there = ask(traffic_member, **wrong), run_module(member_module.main, capsys, False, **wrong)
    assert here["failed"] is True and here["msg"] == there["msg"] and here["invocation"] == there["invocation"]


def test_what_a_worker_is_not_goes_to_the_module(house):
    assert ask(traffic_info, load_balancers=SPECS, backend=BACKEND)["agree"] is True
    others = [{"transport": "ssh"}, {"become": object()}, {"environment": [{"http_proxy": "http://127.0.0.1:3128"}]}, {"async_val": 60},
              {"task_vars": {"ansible_python_interpreter": "/opt/python"}},
              {"task_vars": {"ansible_delegated_vars": {"lb1": {"ansible_python_interpreter": "/opt/python"}}}, "delegate_to": "lb1"},
              {"recheck": "soon"}, {"nonsense": 1}]
    assert [other for other in others if ask(traffic_info, **{"load_balancers": SPECS, "backend": BACKEND, **other}) != MODULE] == []
    same = [{"task_vars": {"ansible_python_interpreter": sys.executable}}, {"task_vars": {"ansible_python_interpreter": "auto"}},
            {"task_vars": {"ansible_python_interpreter": "/opt/python", "ansible_delegated_vars": {"localhost": {}}}, "delegate_to": "localhost"}]
    assert [one for one in same if ask(traffic_info, **{"load_balancers": SPECS, "backend": BACKEND, **one}) == MODULE] == []


def test_what_is_a_secret_is_masked(house):
    secret = "an-api-key-of-the-load-balancer"
    specs = [{**SPECS[0], "kind": "http", "headers": {"X-Key": secret}}]
    house.lb1.endpoint = f"http://{secret}"
    result = ask(traffic_info, load_balancers=specs, backend=BACKEND)
    assert result["load_balancers"]["lb1"]["endpoint"] == "http://********" and secret not in str(result)


def test_the_end_of_the_worker_puts_back_first_and_ends_it_then(monkeypatch):
    killed, said = [], ""
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        try:
            with ended_as_a_module(TrafficError):
                signal.raise_signal(number)
        except TrafficError as error:
            said = str(error)
        assert killed.pop() == (os.getpid(), number) and said == f"ended by signal {int(number)}"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    with ended_as_a_module(TrafficError), ended_as_a_module(None):
        pass
    assert killed == []
