# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a command that does not end in time, or while this process is interrupted. Its output is tested with services."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import programs
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.processes import ENDED, started

SLEEP = ["sh", "-c", "echo begun $$; exec sleep 30"]


def is_alive(pid: int) -> bool:
    return started(pid) not in ("", ENDED)


def test_a_command_that_does_not_end_in_time_is_killed_and_what_it_wrote_is_reported():
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        programs.run(SLEEP, 0.5)
    word, pid = raised.value.output.split()
    assert word == "begun" and not is_alive(int(pid))


def test_one_that_may_go_on_does():
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        programs.run(SLEEP, 0.5, goes_on=True)
    pid = int(raised.value.output.split()[1])
    try:
        assert is_alive(pid) and os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGKILL)


def test_an_interruption_ends_the_command(monkeypatch):
    begun = []

    def interrupted(process, _seconds):
        monkeypatch.undo()
        begun.append(process.pid)
        raise KeyboardInterrupt
    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        programs.run(SLEEP)
    assert begun and not is_alive(begun[0])
