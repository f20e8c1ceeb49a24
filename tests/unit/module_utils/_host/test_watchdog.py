# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog: it acts when its process does not get to its end, and only then."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, signal, sys, time
sys.path.insert(0, {path!r})
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.watchdog import Mark, watchdog

note = Mark()

def act():
    with open({mark!r} + ".partial", "w") as file:
        file.write("noted" if note else "nothing")
    os.rename({mark!r} + ".partial", {mark!r})

with watchdog(act, {seconds}) as within:
    {inside}
"""


def run(tmp_path, inside: str, seconds: float = 60.0, acts: bool = False) -> tuple[int, bool]:
    """The status of a process with this inside the block, and whether there was an act, within half a minute after it where one is to come."""
    mark = tmp_path / "acted"
    text = PROGRAM.format(path=next(path for path in sys.path if path.endswith("collections")), mark=str(mark), seconds=seconds, inside=inside)
    status = subprocess.run([sys.executable, "-c", text], check=False, capture_output=True, timeout=60).returncode
    give_up = time.monotonic() + (30 if status < 0 or acts else 0.3)
    while not mark.exists() and time.monotonic() < give_up:
        time.sleep(0.02)
    return status, mark.exists()


@pytest.mark.parametrize(("inside", "status"), [("pass", 0), ("raise SystemExit(3)", 3), ("raise ValueError", 1)])
def test_nothing_is_done_for_who_gets_to_the_end_of_the_block_even_by_an_exception(tmp_path, inside, status):
    assert run(tmp_path, inside) == (status, False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_it_acts_for_who_is_killed(tmp_path, number):
    assert run(tmp_path, f"os.kill(os.getpid(), {int(number)})") == (-number, True)


def test_it_acts_for_a_whole_group_that_is_killed(tmp_path):
    assert run(tmp_path, "os.setpgid(0, 0); os.killpg(0, signal.SIGKILL)") == (-signal.SIGKILL, True)


def test_it_acts_for_who_is_late(tmp_path):
    assert run(tmp_path, "time.sleep(2)", seconds=0.2, acts=True) == (0, True)


def test_another_number_of_seconds_counts_from_then_on(tmp_path):
    assert run(tmp_path, "within(60); time.sleep(3)", seconds=2) == (0, False)
    assert run(tmp_path, "within(60); within(0.2); time.sleep(2)", seconds=60, acts=True) == (0, True)


def test_what_was_noted_down_outlives_who_is_killed(tmp_path):
    assert run(tmp_path, "note.set(True); note.set(False); note.set(True); os.kill(os.getpid(), signal.SIGKILL)")[1]
    assert (tmp_path / "acted").read_text(encoding="utf-8") == "noted"
