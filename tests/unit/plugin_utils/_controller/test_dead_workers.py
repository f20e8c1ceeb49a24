# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers as the controller has them: processes that lead a group of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.dead_workers import DeadWorkers

FORK = multiprocessing.get_context("fork")


def work(pipe, stubborn: bool) -> None:
    """Leads a group, starts a process, waits; a stubborn one ignores that it is to end."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else signal.SIG_DFL)
    child = subprocess.Popen(["sleep", "61.7534"])
    pipe.send(child.pid)
    child.wait()


@pytest.fixture
def worker(request):
    here, there = FORK.Pipe()
    process = FORK.Process(target=work, args=(there, request.param))
    process._host, process._task = SimpleNamespace(name="w1"), SimpleNamespace(name="task")
    process.start()
    process.child = here.recv()
    yield process
    process.kill()
    process.join()
    if runs(process.child):
        os.kill(process.child, signal.SIGKILL)


def runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(true) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("worker", [False, True], indirect=True, ids=["obedient", "stubborn"])
def test_a_worker_that_is_to_end_ends_with_what_it_started(worker):
    now = [100.0]
    dead = DeadWorkers(patience=1.0, clock=lambda: now[0])
    dead.end(worker)
    dead.look([None, worker])
    now[0] += 1.5
    dead.look([worker])  # by now a stubborn one is killed
    until(lambda: worker.exitcode is not None)
    dead.look([worker])
    assert "w1" in dead and "w2" not in dead
    now[0] += 1.5
    gone = dead.gone()
    assert [(one.host.name, one.task.name, one.pid, one.exitcode < 0) for one in gone] == [("w1", "task", worker.pid, True)]
    until(lambda: not runs(worker.child))
    dead.look([worker])
    assert "w1" not in dead and dead.gone() == []


@pytest.mark.parametrize("worker", [True], indirect=True)
def test_what_a_killed_worker_leaves_behind_is_ended(worker):
    dead = DeadWorkers(patience=0.0)
    worker.kill()
    worker.join()
    assert runs(worker.child)
    dead.look([worker])
    until(lambda: dead.gone() != [])
    until(lambda: not runs(worker.child))


def test_a_worker_that_ended_well_is_none_of_its_affairs():
    well = FORK.Process(target=lambda: None)
    well.start()
    well.join()
    dead = DeadWorkers(patience=0.0)
    dead.look([well])
    assert dead.gone() == []
