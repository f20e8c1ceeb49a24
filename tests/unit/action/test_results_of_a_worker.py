# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules whose results are judged or looked at on the controller: a worker that does their work has the module's result, secrets and failures included."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import sys
import tarfile
import time
from types import SimpleNamespace

import pytest
from ansible_collections.alwayson.upgrade.plugins.action import availability_probe, database_info, fleet_lock, member_info, release, smoke_test
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller import in_worker as in_worker_module
from json_server import JsonServer, Reply
from run_module import run_module

SECRET = "a-secret-of-the-service"
UNLIKE = ("started_at", "finished_at", "seconds", "at", "id", "token", "acquired", "released_at", "invocation")
LOADER, TEMPLAR = SimpleNamespace(get_basedir=os.getcwd), SimpleNamespace(template=lambda value: value)
# Says its number first. It is no child of a shell.
ENDLESS = ["sh", "-c", "echo $$ > $0.new && mv $0.new $0 && exec sleep 60"]


@pytest.fixture(name="service")
def _service():
    routes = {"GET /version": {"release": "1.0.0"}, "GET /healthz": {}, "GET /secret": lambda asked: Reply(200, {"said": asked.headers["x-key"]})}
    with JsonServer(routes) as server:
        yield server


def made(action, transport="local", check_mode=False, **arguments):
    """The action of a task with these arguments, as a worker of this host has it."""
    task = SimpleNamespace(action="alwayson.upgrade", args=arguments, async_val=0, check_mode=check_mode, diff=False, no_log=False, environment=[],
                           delegate_to=None)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"), transport=transport, become=None, has_native_async=False)
    return action.ActionModule(task, connection, SimpleNamespace(check_mode=check_mode), LOADER, TEMPLAR, None)


def archive_in(directory):
    """The path of an archive of a release in a folder, and its checksum."""
    archive = directory / "shop.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.addfile(tarfile.TarInfo("app"))
    return str(archive), hashlib.sha256(archive.read_bytes()).hexdigest()


def staged_release(directory):
    """The arguments of a release that is staged."""
    archive, sha256 = archive_in(directory)
    given = {"root": str(directory / "shop"), "version": "1.0.0", "sha256": sha256}
    assert made(release, **given, state="staged", artifact=archive).run(task_vars={})["changed"] is True
    return given


def both(action, capsys, arguments, check_mode=False):
    """The results of the action by a worker, in which the module is run only for options that are wrong, and by the module."""
    ran, by_module = [], []

    def module(module_name, module_args, task_vars, wrap_async):
        ran.append(module_name)
        return run_module(action.ActionModule.worked_by.main, capsys, check_mode, **module_args)

    results = []
    for transport in ("local", "ssh"):
        one = made(action, transport, check_mode, **arguments)
        one._execute_module = module
        results.append(one.run(task_vars={}))
        by_module.append(len(ran))
    assert by_module[1] > by_module[0] and (by_module[0] == 0 or results[0].get("failed"))
    assert set(ran) == {f"alwayson.upgrade.{action.__name__.rpartition('.')[2]}"}
    return results


def alike(value):
    """Without what differs from one call to the next."""
    if isinstance(value, dict):
        return {name: alike(one) for name, one in value.items() if name not in UNLIKE}
    return [alike(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("check_mode", [False, True])
def test_answers_are_judged_as_they_were_seen_and_told_without_secrets(service, capsys, check_mode):
    tests = [{"name": "release", "url": f"{service.url}/version", "expect": {"release": "2.0.0"}},
             {"name": "secret", "url": f"{service.url}/secret", "headers": {"X-Key": SECRET}, "expect": {"said": SECRET}},
             {"name": "another", "url": f"{service.url}/secret", "headers": {"X-Key": SECRET}, "expect": {"said": "another"}}]
    here, there = both(smoke_test, capsys, {"tests": tests, "in_a_row": 1, "timeout": 0.1}, check_mode)
    assert alike(here) == alike(there) and SECRET not in str(here)
    assert [test["passed"] for test in here["tests"]] == [False, True, False]
    assert 'saw "1.0.0"' in here["tests"][0]["why"][0] and "********" in here["tests"][2]["why"][0]


def test_a_member_is_seen_alike(service, capsys, tmp_path):
    given = {"root": str(tmp_path), "serving": True, "address": service.url.removeprefix("http://"), "in_a_row": 1, "timeout": 0.1,
             "stop_command": ["true"], "start_command": ["true"], "status_command": ["true"], "description": {"health_path": "/healthz"}}
    here, there = both(member_info, capsys, given)
    assert alike(here) == alike(there)
    assert [(test["about"], test["passed"]) for test in here["asked"]] == [("release", False), ("health", True)] and here["running"] is True


def test_a_failure_of_a_member_is_alike(capsys, tmp_path):
    here, there = both(member_info, capsys, {"root": "relative", "description": {}})
    assert here["failed"] is True and here["msg"] == there["msg"] and "relative" in here["msg"]


def test_a_lock_is_taken_held_and_released_alike(capsys, tmp_path):
    def place(name, **arguments):
        return both(fleet_lock, capsys, {"service": name, "directory": str(tmp_path), "owner": "ann", **arguments})

    taken, again = place("shop", run="one")
    assert taken["changed"] is True and again["changed"] is False and alike(taken["lock"]) == alike(again["lock"])
    here, there = place("shop", run="two", owner="bob", host="another")
    assert here["failed"] is True and alike(here) == alike(there) and here["held_by"]["owner"] == "ann"
    # No folder can be made there, not even by root.
    here, there = place("shop", run="one", directory="/proc/alwayson")
    assert here["failed"] is True and alike(here) == alike(there) and here["unusable"]
    [first, second] = place("shop", run="one", state="released")
    assert (first["changed"], second["changed"]) == (True, False)


def test_a_release_is_staged_made_current_and_refused_alike(capsys, tmp_path):
    archive, sha256 = archive_in(tmp_path)
    runs = str(tmp_path / "runs")
    commands = {"stop_command": ["rm", "-f", runs], "start_command": ["touch", runs], "status_command": ["sh", "-c", f"test -e {runs} || exit 3"]}

    def place(**arguments):
        return both(release, capsys, {"root": str(tmp_path / "shop"), "version": "1.0.0", **arguments})

    staged, again = place(state="staged", artifact=archive, sha256=sha256)
    assert (staged["changed"], again["changed"]) == (True, False) and staged["available"] == again["available"]
    current, again = place(state="current", sha256=sha256, **commands)
    assert (current["changed"], again["changed"]) == (True, False) and current["release"] == again["release"] == "1.0.0"
    here, there = place(version="2.0.0", **commands)
    assert here["failed"] is True and alike(here) == alike(there) and here["release"] == "1.0.0"
    here, there = place(state="staged")
    assert here["failed"] is True and here["msg"] == there["msg"] and "sha256" in here["msg"]


def test_a_probe_is_read_and_ended_alike_and_never_started_in_a_worker(service, capsys, tmp_path):
    given = {"directory": str(tmp_path / "probe")}
    here, there = both(availability_probe, capsys, {**given, "state": "stopped"})
    assert here["failed"] is True and alike(here) == alike(there) and here["result"] == {} and here["directory"] == given["directory"]
    ran = []
    starts = made(availability_probe, **given, state="started", targets=[service.url])
    starts._execute_module = lambda **asked: ran.append(asked["module_name"]) or {}
    starts.run(task_vars={})
    assert ran == ["alwayson.upgrade.availability_probe"]
    module = availability_probe.ActionModule.worked_by.main
    arguments = {**given, "state": "started", "targets": [service.url], "mix": [{"kind": "new", "share": 1, "path": "/version"}], "max_requests": 20}
    pid = run_module(module, capsys, False, **arguments)["pid"]
    here, there = both(availability_probe, capsys, {**given, "state": "observed"}, check_mode=True)
    assert here["pid"] == there["pid"] == pid and here["live"]["rate"] == there["live"]["rate"] == 200
    here, there = both(availability_probe, capsys, {**given, "state": "stopped", "min_requests": 30})
    assert here["changed"] is True and there["changed"] is False and here["result"] == there["result"] and here["result"]["requests_scheduled"] == 20
    assert here["running"] is there["running"] is False and "after 20 of 30 requests" in here["warnings"][0]


def test_databases_are_described_and_refused_alike(capsys, tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as made_here:
        made_here.execute("CREATE TABLE products (id integer PRIMARY KEY)")
    made_here.close()
    here, there = both(database_info, capsys, {"engine": "sqlite", "databases": [str(path)]})
    assert alike(here) == alike(there) and here["changed"] is False and here["databases"][str(path)]["tables"] == 1
    here, there = both(database_info, capsys, {"engine": "sqlite", "databases": [str(tmp_path / "none.db")]})
    assert here["failed"] is True and here["msg"] == there["msg"] and "none.db" in here["msg"]
    here, there = both(database_info, capsys, {"engine": "sqlite", "databases": [str(path)], "login_host": "db1", "login_unix_socket": "/run"})
    assert here["failed"] is True and here["msg"] == there["msg"] and "login_unix_socket" in here["msg"]


def test_a_worker_that_is_ended_ends_what_starts_the_service_first(tmp_path):
    number = tmp_path / "number"
    commands = {"stop_command": ["true"], "start_command": [*ENDLESS, str(number)], "status_command": ["sh", "-c", "exit 3"]}
    given = {**staged_release(tmp_path), **commands}
    worker = os.fork()
    if not worker:
        made(release, **given, state="current").run(task_vars={})
        os._exit(1)
    give_up = time.monotonic() + 30
    while not number.exists() and time.monotonic() < give_up:
        time.sleep(0.01)
    os.kill(worker, signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(worker, 0)[1]) == signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text(encoding="ascii")), 0)


def test_what_is_relative_is_found_where_the_playbook_is(tmp_path, monkeypatch):
    given = staged_release(tmp_path)
    monkeypatch.setattr(LOADER, "get_basedir", lambda: str(tmp_path))
    before = os.getcwd()
    result = made(release, **{**given, "version": "1.0.1"}, state="staged", artifact="shop.tar.gz").run(task_vars={})
    assert result["changed"] is True and os.getcwd() == before


@pytest.mark.parametrize(("repeats", "expected"), [({}, True), ({"INJECT_INVOCATION": True}, True), ({"INJECT_INVOCATION": False}, False)])
def test_the_options_are_repeated_where_ansible_repeats_them(tmp_path, monkeypatch, repeats, expected):
    monkeypatch.delattr(in_worker_module.constants, "INJECT_INVOCATION", raising=False)
    for name, value in repeats.items():
        monkeypatch.setattr(in_worker_module.constants, name, value, raising=False)
    result = made(fleet_lock, service="shop", directory=str(tmp_path)).run(task_vars={})
    assert ("invocation" in result) is expected and result["changed"] is True


def test_another_virtual_environment_is_another_interpreter(tmp_path):
    same, other = tmp_path / "same", tmp_path / "other" / "bin"
    same.symlink_to(os.path.dirname(sys.executable))
    other.mkdir(parents=True)
    (other / "python3").symlink_to(sys.executable)
    found = {path: in_worker_module.is_this_interpreter(str(path)) for path in (sys.executable, same / os.path.basename(sys.executable), other / "python3")}
    assert list(found.values()) == [True, True, False]


def test_the_interpreter_of_the_settings_counts_where_a_host_has_none(monkeypatch):
    def setting(_name, variables):
        return variables.get("ansible_python_interpreter", "/opt/python")

    monkeypatch.setattr(in_worker_module.constants.config, "get_config_value", setting)
    action = made(fleet_lock)
    assert [action._is_worked_here(given) for given in ({}, {"ansible_python_interpreter": sys.executable})] == [False, True]
