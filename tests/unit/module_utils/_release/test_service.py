# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.programs import Ended
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.service import (
    Commands, CommandsError, Service, ServiceError, commands_for, run_command,
)

COMMANDS = Commands(stop=["stop"], start=["start"], status=["status"])


class Supervisor:
    """Stands in for the three commands: what each answers, and how many status questions a change takes to show."""

    def __init__(self, running, lag=0, codes=None):
        self.running = running
        self.lag = lag
        self.codes = codes or {}
        self.called = []

    def __call__(self, command, timeout):
        [name] = command
        self.called.append(name)
        if name != "status":
            code = self.codes.get(name, 0)
            if code == 0:
                self.wanted = name == "start"
            return Ended(code, f"{name} said so")
        if "status" in self.codes:
            return Ended(self.codes["status"], "who knows")
        if hasattr(self, "wanted"):
            self.lag -= 1
            self.running = self.running if self.lag >= 0 else self.wanted
        return Ended(0 if self.running else 3, "")


class Clock:
    """Time that passes by sleeping only."""

    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def service(supervisor, timeout=10):
    clock = Clock()
    return Service(COMMANDS, timeout, run=supervisor, clock=clock, sleep=clock.sleep)


def test_a_unit_gives_the_commands_and_a_given_one_goes_before():
    commands = commands_for("shop", None, None, ["check"])
    assert commands == (["systemctl", "stop", "shop"], ["systemctl", "start", "shop"], ["check"])


def test_no_commands_is_no_service():
    assert not Service(commands_for(None, None, None, None), 1).exists
    assert Service(commands_for("shop", None, None, None), 1).exists


@pytest.mark.parametrize(("given", "missing"), [((["a"], None, None), "start_command and status_command"), ((["a"], ["b"], []), "status_command")])
def test_half_a_set_of_commands_is_refused(given, missing):
    with pytest.raises(ServiceError, match=f"^{missing} missing"):
        commands_for(None, *given)
    with pytest.raises(CommandsError, match=r"give all three of release_stop_command, .*, release_status_command, or release_service") as reported:
        commands_for(None, *given, prefix="release_")
    assert reported.value.options == [f"release_{name}" for name in missing.split(" and ")]


def test_a_command_may_be_a_text():
    commands = commands_for(None, "/usr/local/bin/shopctl stop 'app 1'", ["shopctl", "start"], "shopctl status")
    assert commands == (["/usr/local/bin/shopctl", "stop", "app 1"], ["shopctl", "start"], ["shopctl", "status"])
    with pytest.raises(CommandsError, match="release_start_command is \"shopctl 'start\", which is no command line") as reported:
        commands_for(None, "a", "shopctl 'start", "c", prefix="release_")
    assert reported.value.options == ["release_start_command"]


@pytest.mark.parametrize(("code", "running"), [(0, True), (1, False), (2, False), (3, False)])
def test_the_status_command_tells_whether_it_runs(code, running):
    assert service(Supervisor(True, codes={"status": code})).is_running() is running


@pytest.mark.parametrize("code", [4, 126, 127, -9])
def test_an_unknown_status_is_a_failure(code):
    with pytest.raises(ServiceError, match=f"status ended with {code}, neither 0"):
        service(Supervisor(True, codes={"status": code})).is_running()


@pytest.mark.parametrize(("verb", "running"), [("stop", True), ("start", False)])
def test_a_change_is_over_when_the_status_command_says_so(verb, running):
    supervisor = Supervisor(running, lag=3)
    getattr(service(supervisor), verb)()
    assert supervisor.called == [verb, *["status"] * 4]


def test_a_failing_command_is_named_with_its_output():
    with pytest.raises(ServiceError, match="start ended with 7: start said so"):
        service(Supervisor(False, codes={"start": 7})).start()


@pytest.mark.parametrize(("verb", "running", "state"), [("stop", True, "still running"), ("start", False, "not running")])
def test_a_command_that_has_no_effect_is_a_failure(verb, running, state):
    with pytest.raises(ServiceError, match=f"{verb} ended well, but 10 s later status says {state}"):
        getattr(service(Supervisor(running, lag=10**6)), verb)()


def test_a_command_runs_without_a_shell_and_its_output_is_kept():
    assert run_command(["printf", "%s", "$HOME; exit 3"], 10) == (0, "$HOME; exit 3")
    assert run_command(["sh", "-c", "echo out; echo err >&2; exit 5"], 10) == (5, "out\nerr")


def test_only_the_end_of_a_long_output_is_kept():
    outcome = run_command([sys.executable, "-c", "print('x' * 100000 + 'end')"], 10)
    assert outcome.said.endswith("end")
    assert len(outcome.said) <= 2000


def test_a_command_that_does_not_exist_is_named():
    with pytest.raises(ServiceError, match="/nowhere/shopctl stop cannot be run: No such file"):
        run_command(["/nowhere/shopctl", "stop"], 10)


def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(ServiceError, match="did not end within 2 s and was killed: begun"):
        run_command(["sh", "-c", f"echo begun; sleep 60 & echo $! $$ > {pids}; wait"], 2)
    found = [int(pid) for pid in pids.read_text(encoding="ascii").split()]
    assert len(found) == 2
    give_up = time.monotonic() + 20  # the signal is sent; on a busy machine a process takes its time to die of it
    while any(_alive(pid) for pid in found) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in found)


def test_a_daemon_that_keeps_the_output_open_does_not_hold_up_its_starter(tmp_path):
    pid_file = tmp_path / "pid"
    started = time.monotonic()
    assert run_command(["sh", "-c", f"sleep 30 & echo $! > {pid_file}; echo up"], 20).said == "up"
    assert time.monotonic() - started < 15
    pid = int(pid_file.read_text(encoding="ascii"))
    assert _alive(pid)
    subprocess.run(["kill", str(pid)], check=True)


def _alive(pid):
    """Running, and not only waiting to be collected by whoever inherited it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return os.path.isdir("/proc") is False and subprocess.run(["kill", "-0", str(pid)], check=False).returncode == 0
