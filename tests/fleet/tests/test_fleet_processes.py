# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes are ended when they are ours, and only then; ports and the layout are given out once."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fleet import layout, ports, processes
from fleet.processes import Process

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def launch(tmp_path):
    started = []

    def start(code: str) -> Process:
        process = processes.launch("sleeper", [sys.executable, "-c", code], tmp_path / "log")
        started.append(process)
        return process

    yield start
    processes.end(started, first_signal=signal.SIGKILL)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 60 s"
        time.sleep(0.01)


def test_a_process_has_a_session_of_its_own_and_ends_on_request(launch):
    process = launch("import time; time.sleep(60)")
    assert process.is_alive
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    processes.end([process], grace=30)
    assert not process.is_alive
    processes.end([process], grace=30)


def test_a_stubborn_process_is_killed(launch, tmp_path):
    process = launch(STUBBORN)
    wait_for(lambda: "ready" in processes.tail(tmp_path / "log"))
    processes.end([process], grace=0.2)
    assert not process.is_alive


def test_a_stranger_with_the_same_id_is_left_alone(launch):
    process = launch("import time; time.sleep(60)")
    stranger = replace(process, started="another time")
    assert not stranger.is_alive
    processes.end([stranger], first_signal=signal.SIGKILL, grace=1)
    assert process.is_alive


def test_a_dead_child_that_nobody_has_reaped_is_not_alive():
    # It ends when it is told to: a look at it must not come too late.
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    mark = processes.start_mark(child.pid)
    child.stdin.close()
    wait_for(lambda: processes.start_mark(child.pid) is None)
    assert mark is not None
    child.wait()


def test_what_cannot_be_started_says_so(tmp_path):
    with pytest.raises(processes.ProcessError, match="thing cannot be started: /nonexistent"):
        processes.launch("thing", ["/nonexistent"], tmp_path / "log")


def test_an_interruption_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), processes.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append("to the end")
    assert done == ["to the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


BACKGROUND = """
import runpy, signal, subprocess, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
runpy.run_path(sys.argv[1])["hear_signals"]()
look = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)"
sys.exit(subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout != "True True\\n")
"""


def test_what_tests_start_is_interrupted_also_where_they_run_in_the_background():
    """A shell has what it starts with & ignore Ctrl-C, and nohup has it ignore the end of the terminal."""
    foreground = Path(__file__).resolve().parents[2] / "foreground.py"
    assert subprocess.run([sys.executable, "-c", BACKGROUND, str(foreground)], check=False, timeout=60).returncode == 0


def test_the_end_of_a_log(tmp_path):
    (tmp_path / "log").write_text("one\ntwo\nthree\n")
    assert processes.tail(tmp_path / "log", lines=2) == "two\nthree"
    assert "cannot be read" in processes.tail(tmp_path / "none")


def test_a_taken_port_is_not_given_out(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setattr(ports, "FIRST_PORT", number)
        monkeypatch.setattr(ports, "LAST_PORT", number)
        with pytest.raises(ports.PortError, match="no free port"):
            ports.Ports().endpoint("127.0.0.1")


def test_where_an_address_cannot_be_bound_the_fallback_is_taken():
    # TEST-NET-1 belongs to no machine.
    endpoint = ports.Ports().endpoint("192.0.2.1")
    assert endpoint.address == "127.0.0.1"


def test_a_fleet_on_one_address_has_distinct_ports(tmp_path, monkeypatch):
    real = ports._can_bind
    monkeypatch.setattr(ports, "_can_bind", lambda address, port: address == "127.0.0.1" and real(address, port))
    fleet = layout.plan(tmp_path, 20, ports.Ports(random.Random(1)))
    endpoints = [member.endpoint for member in fleet.members] + [fleet.database]
    endpoints += [endpoint for balancer in fleet.load_balancers for endpoint in (balancer.front, balancer.runtime)]
    assert len(endpoints) == len(set(endpoints)) == 25
    assert {endpoint.address for endpoint in endpoints} == {"127.0.0.1"}


def test_two_workers_of_the_tests_never_try_the_same_port(monkeypatch):
    monkeypatch.setattr(ports, "_can_bind", lambda address, port: True)
    monkeypatch.setattr(ports.Ports, "_given", set())
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    found = []
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        found.append({endpoint.port for endpoint in (ports.Ports().endpoint("127.0.0.1") for _each in range(300))})
    assert [len(those) for those in found] == [300] * 3, "none is handed out twice, whoever asks"
    assert len(set.union(*found)) == 900 and all(ports.FIRST_PORT <= port <= ports.LAST_PORT for port in set.union(*found))


def test_two_addresses_of_a_fleet_never_have_the_same_port(monkeypatch):
    """Two Envoys would have the same shared memory, whose name is made of the port."""
    monkeypatch.setattr(ports, "_can_bind", lambda address, port: True)
    monkeypatch.setattr(ports.Ports, "_given", set())
    numbers = iter([20_000, 20_000, 20_100])
    monkeypatch.setattr(random.Random, "randint", lambda self, first, last: next(numbers))
    handed_out = ports.Ports(random.Random())
    first, second = handed_out.endpoint("127.0.0.11"), handed_out.endpoint("127.0.0.12")
    assert second.port - first.port == 100


def test_a_layout_survives_being_written_down(tmp_path):
    fleet = layout.plan(tmp_path, 5, ports.Ports())
    assert layout.from_record(tmp_path, fleet.as_record()) == fleet
    assert [member.zone for member in fleet.members] == ["east", "east", "east", "west", "west"]
    with pytest.raises(layout.LayoutError, match="no member 'app9': choose one of app1, app2"):
        fleet.member("app9")


@pytest.mark.parametrize("members", [0, 1, 201])
def test_a_fleet_of_an_odd_size_is_refused(tmp_path, members):
    with pytest.raises(layout.LayoutError, match="from 2 to 200"):
        layout.plan(tmp_path, members, ports.Ports())
