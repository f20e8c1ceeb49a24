# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Up and down: whatever happens in between, nothing keeps running, and nothing but the fleet's own is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fleet import embedded, haproxy, processes, record
from fleet.embedded import EmbeddedFleet, FleetError

CLI = Path(embedded.__file__).with_name("cli.py")


def left_of(directory: Path) -> list[str]:
    """The processes that work in or for this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            traces = entry.joinpath("cmdline").read_text(errors="replace") + os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(directory) in traces and processes.start_mark(int(entry.name)) is not None:
            found.append(traces)
    return found


def assert_nothing_is_left(directory: Path) -> None:
    """Soon: what was killed may have children, which notice that by and by."""
    deadline = time.monotonic() + 30
    while left := left_of(directory):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def cli(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, CLI, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_up_and_down_on_the_command_line_leave_no_process(tmp_path):
    directory = tmp_path / "a run"
    up = cli("up", "--directory", directory, "--members", 2)
    assert up.returncode == 0, up.stderr
    assert len(left_of(directory)) > 7
    deadline = time.monotonic() + 60  # a health check may be late on a busy machine
    while (status := cli("status", "--directory", directory)).stdout.count("UP L7OK") != 4:
        assert time.monotonic() < deadline, status.stdout
    assert status.returncode == 0
    refused = cli("up", "--directory", directory)
    assert refused.returncode == 1
    assert "take it down first" in refused.stderr
    down = cli("down", "--directory", directory)
    assert (down.returncode, down.stderr) == (0, "")
    assert left_of(directory) == []
    assert cli("down", "--directory", directory).stdout == "nothing was running\n"
    assert cli("status", "--directory", directory).returncode == 3
    # The folder can be used again, with another release.
    assert cli("up", "--directory", directory, "--members", 2, "--release", "1.0.0").returncode == 0
    assert cli("down", "--directory", directory).returncode == 0
    assert left_of(directory) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("signum", "when"), [(signal.SIGINT, "app2 at"), (signal.SIGTERM, "lb1 at")])
def test_an_interrupted_up_leaves_no_process(tmp_path, signum, when):
    command = [sys.executable, "-u", str(CLI), "up", "--directory", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        for line in up.stdout:
            if line.startswith(when):
                up.send_signal(signum)
                break
        _output, errors = up.communicate(timeout=60)
    assert (up.returncode, errors) == (130, "fleet: interrupted\n")
    assert left_of(tmp_path / "run") == []


def test_an_up_that_fails_says_why_and_leaves_no_process(tmp_path, monkeypatch):
    # Neither ends before both have said why.
    log = tmp_path / "run" / "log"
    script = f"echo no such licence; until grep -qs licence {log}/lb1.log && grep -qs licence {log}/lb2.log; do sleep 0.05; done; exit 3"
    monkeypatch.setattr(haproxy, "find_binary", lambda configuration, cellar: ["sh", "-c", script])
    fleet = EmbeddedFleet(tmp_path / "run", members=2)
    with pytest.raises(FleetError, match=r"(?s)ended: lb[12].*lb1\.log\nno such licence.*lb2\.log\nno such licence"):
        fleet.up()
    assert fleet.running() == []
    assert left_of(tmp_path / "run") == []


@pytest.mark.skipif(not Path("/proc/sysvipc/shm").exists(), reason="looks for shared memory in /proc")
def test_down_after_sudden_deaths_leaves_nothing(tmp_path):
    def segments() -> set[str]:
        return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}

    fleet = EmbeddedFleet(tmp_path / "run", members=2)
    fleet.up()
    interlock = (tmp_path / "run/postgres/data/postmaster.pid").read_text().splitlines()[6].split()[1]
    assert interlock in segments()
    for name in ("postgres", "app1", "lb1"):
        fleet.record.processes[name].send(signal.SIGKILL)
    fleet.down()
    assert_nothing_is_left(tmp_path / "run")
    assert interlock not in segments()


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "precious").write_text("mine")
    with pytest.raises(record.RecordError, match="holds log, but no fleet"):
        EmbeddedFleet(tmp_path).up()
    assert (tmp_path / "log" / "precious").read_text() == "mine"
    assert EmbeddedFleet(tmp_path).down() == []


def test_a_fleet_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FleetError, match=r"there is no fleet in .*start one"):
        EmbeddedFleet(tmp_path).member_version("app1")


def test_a_configuration_that_no_haproxy_accepts_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(haproxy.debian, "unpack", lambda package, cellar: None)
    (tmp_path / "wrong.cfg").write_text("global\n  nonsense\n")
    with pytest.raises(haproxy.HaproxyError, match="unknown keyword 'nonsense'"):
        haproxy.find_binary(tmp_path / "wrong.cfg", tmp_path)
