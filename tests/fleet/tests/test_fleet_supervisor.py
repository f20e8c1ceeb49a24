# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor: what start, stop and status promise, and that no application outlives it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fleet import processes, supervisor
from fleet.service import Files

READY = "import os, pathlib, signal, sys, time\npathlib.Path(os.environ['SERVICE_READY']).write_text(str(os.getpid()))\n"
APPLICATIONS = {
    "good": READY + "time.sleep(60)\n",
    "stubborn": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "time.sleep(60)\n",
    "broken": "import sys\nsys.exit('a missing module')\n",
    "slow": "import time\ntime.sleep(60)\n",
}
PATIENCE_S = 60
# As the program, with a shorter patience.
IMPATIENT = "import sys; sys.path.insert(0, {path!r}); from fleet import supervisor; supervisor.STOP_SECONDS = 0.3; sys.exit(supervisor.main())"


class Host:
    """A host's folder with some application, and its supervisor."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = Files(directory)
        for name, code in APPLICATIONS.items():
            release = directory / "releases" / name
            release.mkdir(parents=True)
            (release / "app.py").write_text(code)
        self.switch("good")
        (directory / "env.json").write_text(json.dumps({"COLOUR": "green"}))
        self.supervisors = []

    def switch(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "current").unlink()
        (self.directory / "current").symlink_to(f"releases/{name}")

    def boot(self) -> processes.Process:
        code = IMPATIENT.format(path=str(Path(supervisor.__file__).parents[1]))
        process = processes.launch("host", [sys.executable, "-c", code, "run", str(self.directory)], self.directory / "supervisor.log")
        self.supervisors.append(process)
        return process

    def call(self, verb: str) -> subprocess.CompletedProcess:
        command = [sys.executable, supervisor.__file__, verb, str(self.directory)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=40)

    def state(self) -> str:
        return self.files.read(self.files.state).get("state", "")

    def wait(self, state: str) -> processes.Process | None:
        deadline = time.monotonic() + PATIENCE_S
        while self.state() != state:
            assert time.monotonic() < deadline, f"not {state} within {PATIENCE_S} s, but {self.state()}"
            time.sleep(0.01)
        return self.files.application()

    def clean_up(self) -> None:
        application = self.files.application()
        processes.end([*self.supervisors, *([application] if application else [])], grace=30)


@pytest.fixture
def host(tmp_path):
    # A path too long for a socket, with a space in it.
    a_host = Host(tmp_path / ("long " + "x" * 120) / "app1")
    yield a_host
    a_host.clean_up()


def test_a_booting_host_starts_its_application(host):
    host.boot()
    application = host.wait("running")
    assert application.is_alive
    status = host.call("status")
    assert (status.returncode, json.loads(status.stdout)["state"]) == (0, "running")


def test_stop_and_start_return_when_it_is_done(host):
    host.boot()
    first = host.wait("running")
    assert host.call("stop").returncode == 0
    assert not first.is_alive
    assert host.call("status").returncode == 3
    started = host.call("start")
    assert started.returncode == 0, started.stderr
    second = host.files.application()
    assert second.is_alive
    assert second.pid != first.pid
    assert started.stdout == f"running, pid {second.pid}\n"
    # Once more changes nothing.
    assert host.call("start").returncode == 0
    assert host.files.application() == second
    assert [host.call("stop").returncode for _time in range(2)] == [0, 0]


def test_the_link_is_followed_at_each_start(host):
    host.boot()
    host.wait("running")
    host.switch("stubborn")
    os.kill(host.files.application().pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while "release stubborn started" not in processes.tail(host.directory / "supervisor.log"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_crashed_application_is_started_again(host):
    host.boot()
    first = host.wait("running")
    first.send(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while host.files.application() in (first, None) or host.state() != "running":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    state = host.files.read(host.files.state)
    assert (state["starts"], state["last_exit"]) == (2, -signal.SIGKILL)


def test_pauses_grow_until_a_new_command(host):
    watched = supervisor.Supervisor(host.files)
    for now in range(8):
        watched._note_exit(float(now), 1)
    assert watched.next_start == 7.0 + supervisor.LONGEST_PAUSE_SECONDS
    host.files.service.mkdir()
    host.files.write(host.files.command, {"wanted": "up", "serial": "new"})
    watched._read_command()
    assert (watched.next_start, watched.pause) == (0.0, supervisor.FIRST_PAUSE_SECONDS)


def test_an_application_that_cannot_start_makes_start_fail_with_its_last_words(host):
    host.boot()
    host.wait("running")
    assert host.call("stop").returncode == 0
    host.switch("broken")
    failed = host.call("start")
    assert failed.returncode == supervisor.EXIT_FAILED
    assert "ended with 1 while it started" in failed.stderr
    assert "a missing module" in failed.stderr
    # The supervisor is unharmed: the way back works.
    assert host.call("stop").returncode == 0
    host.switch("good")
    assert host.call("start").returncode == 0


def test_a_missing_release_does_not_end_the_supervisor(host):
    (host.directory / "current").unlink()
    process = host.boot()
    host.wait("backoff")
    assert host.call("start").returncode == supervisor.EXIT_FAILED
    host.switch("good")
    assert host.call("start").returncode == 0
    assert process.is_alive


def test_an_application_that_is_never_ready_is_not_running(host):
    host.switch("slow")
    host.boot()
    host.wait("starting")
    assert host.call("status").returncode == 3
    assert host.call("stop").returncode == 0


def test_a_stubborn_application_is_killed(host):
    host.switch("stubborn")
    host.boot()
    application = host.wait("running")
    assert host.call("stop").returncode == 0
    assert not application.is_alive
    assert host.files.read(host.files.state)["last_exit"] == -signal.SIGKILL


def test_the_application_ends_with_its_supervisor(host):
    process = host.boot()
    application = host.wait("running")
    processes.end([process], grace=30)
    assert not application.is_alive
    assert host.state() == "stopped"


def test_a_stopped_application_stays_stopped_over_a_reboot(host):
    process = host.boot()
    host.wait("running")
    assert host.call("stop").returncode == 0
    processes.end([process], grace=30)
    host.boot()
    deadline = time.monotonic() + PATIENCE_S
    while not host.files.is_supervised():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert host.call("stop").returncode == 0
    assert host.files.read(host.files.state)["starts"] == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux ends it; elsewhere the application must do so itself")
def test_a_killed_supervisor_leaves_no_orphan(host):
    process = host.boot()
    application = host.wait("running")
    processes.end([process], first_signal=signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while application.is_alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_a_supervisor_the_host_is_down(host):
    assert host.call("status").returncode == 1
    assert host.call("stop").returncode == 0
    started = host.call("start")
    assert started.returncode == supervisor.EXIT_FAILED
    assert "this host is down" in started.stderr


def test_a_second_supervisor_is_refused(host):
    host.boot()
    host.wait("running")
    second = host.call("run")
    assert second.returncode == supervisor.EXIT_FAILED
    assert "another supervisor runs" in second.stderr


def test_a_later_command_overtakes_an_earlier_one(host):
    host.boot()
    host.wait("running")
    host.call("stop")
    host.switch("slow")
    with subprocess.Popen([sys.executable, supervisor.__file__, "start", str(host.directory)], stderr=subprocess.PIPE, text=True) as start:
        host.wait("starting")
        assert host.call("stop").returncode == 0
        assert "another command overtook this one" in start.communicate(timeout=PATIENCE_S)[1]
    assert start.returncode == supervisor.EXIT_FAILED
