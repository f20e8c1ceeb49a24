# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.flock import LockError, exclusive

HOLD = (
    "import fcntl, os, sys\n"
    "handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
    "fcntl.flock(handle, fcntl.LOCK_EX)\n"
    "os.write(handle, str(os.getpid()).encode())\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture(name="lock")
def _lock(tmp_path):
    return str(tmp_path / ".lock")


@pytest.fixture(name="holder")
def _holder(lock):
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_the_holder_leaves_its_process_id(lock):
    with exclusive(lock, 0), open(lock, encoding="ascii") as file:
        assert file.read() == f"{os.getpid()}\n"


def test_a_second_mutator_waits_for_so_long_and_then_names_the_first(lock, holder):
    waits = []
    now = iter(range(100))
    refusal = f"process {holder.pid} holds {lock}, for more than 5 s"
    with pytest.raises(LockError, match=refusal), exclusive(lock, 5, clock=lambda: next(now), sleep=waits.append):
        pytest.fail("two mutators at once")
    assert len(waits) == 4


def test_the_lock_is_free_when_its_holder_is_killed(lock, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with exclusive(lock, 0):
        pass


def test_the_lock_is_free_after_an_error_and_can_be_taken_again(lock):
    with pytest.raises(RuntimeError), exclusive(lock, 0):
        raise RuntimeError
    with exclusive(lock, 0):
        pass


def test_the_lock_is_not_inherited_by_what_is_started(lock):
    with exclusive(lock, 0):
        daemon = subprocess.Popen(["sleep", "30"])
    try:
        with exclusive(lock, 0):
            assert daemon.poll() is None
    finally:
        daemon.kill()
        daemon.wait()


def test_a_link_in_place_of_the_lock_is_not_followed(lock, tmp_path):
    os.symlink(tmp_path / "victim", lock)
    with pytest.raises(OSError, match="symbolic links"), exclusive(lock, 0):
        pytest.fail("followed")
    assert not (tmp_path / "victim").exists()
