# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's word to a roll under way: pause, go, abort from a second terminal, and Ctrl-C."""

from __future__ import annotations

import time

from integration.strategy.plays import COME, GO, is_alive, on, say, wait_for

LATER_ROLL = {"hosts": "web", "gather_facts": False, "strategy": "alwayson.upgrade.rolling", "vars": {"rolling_break_play": False}, "tasks": [say("again")]}


def test_pause_go_and_abort_from_a_second_terminal(play):
    tasks = [COME, wait_for("first release", **on("w1")), wait_for("second release", **on("w2")), GO]
    running = play.start(tasks, variables={"rolling_control": str(play.control), "rolling_break_play": False}, after=[LATER_ROLL])
    running.until("w1 come")
    play.control.write_text("pause\n", encoding="utf-8")
    running.until_said("control: write go to it to continue, or abort to stop")
    running.log("first release")
    running.until("w1 go")
    time.sleep(0.7)
    running.never("w2 come")
    play.control.write_text("go\n", encoding="utf-8")
    running.until("w2 come")
    play.control.write_text("abort\n", encoding="utf-8")
    running.until_said("an operator wrote abort to")
    running.log("second release")
    run = running.end()
    assert run.came == run.went == ["w1", "w2"] and run.went_on
    assert run.who("again") == [] and run.output.count("Not started: w3, w4, w5, w6") == 1, run.output


def test_the_first_ctrl_c_drains_the_window_and_what_repairs_still_runs(play):
    running = play.start([COME, wait_for("one release"), GO], variables={"rolling_max_unavailable": 2, "rolling_break_play": False}, after=[LATER_ROLL])
    running.until("w1 come")
    running.until("w2 come")
    running.interrupt()
    running.until_said("interrupted by Ctrl-C; members in flight are finished, a second Ctrl-C ends the run at once")
    running.log("one release")
    run = running.end()
    assert sorted(run.came) == sorted(run.went) == ["w1", "w2"] and run.went_on and run.who("again") == []


def test_the_second_ctrl_c_ends_at_once(play):
    hang = {"name": "hang", "ansible.builtin.raw": "echo $$ > {{ lost }}/hanging; echo {{ inventory_hostname }} hangs >> {{ log }}; sleep 61.7533; true"}
    running = play.start([COME, hang, GO])
    running.until("w1 hangs")
    running.interrupt()
    running.until_said("interrupted by Ctrl-C")
    running.interrupt()
    run = running.end()
    assert run.code != 0 and run.came == ["w1"] and run.went == [] and not run.went_on
    assert not is_alive(int((play.lost / "hanging").read_text(encoding="utf-8")))
