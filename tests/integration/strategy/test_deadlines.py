# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time limits: of one member, of the roll's progress, and of waiting for capacity."""

from __future__ import annotations

from integration.strategy.plays import COME, GO, is_alive, on, say

HANG = {"name": "hang", "ansible.builtin.raw": "trap '' TERM; echo $$ > {{ lost }}/hanging; sleep 61.7532; true", **on("w1")}


def test_a_member_that_takes_too_long_is_ended_repaired_and_counts_as_failed(play):
    """The task ignores the request to end, and is killed then; nothing of it remains when the rescue begins."""
    gone = {"name": "gone", "ansible.builtin.raw": "grep -qs 'State:.[RSD]' /proc/$(cat {{ lost }}/hanging)/status || echo w1 gone >> {{ log }}"}
    mend = [gone, say("mend {{ ansible_failed_task.name }}")]
    run = play([COME, {"block": [HANG], "rescue": mend}, GO], variables={"rolling_member_timeout": 5})
    assert run.code != 0 and not run.went_on
    assert run.came == run.who("gone") == run.who("mend hang") == run.went == ["w1"]
    assert "w1 was in flight for more than 5 s (rolling_member_timeout) in task 'hang': w1 counts as failed" in run.words
    assert "the roll stops: w1 failed" in run.words
    assert not is_alive(int((play.lost / "hanging").read_text(encoding="utf-8")))


def test_without_progress_nobody_new_starts_and_those_in_flight_finish(play):
    run = play([COME, {"ansible.builtin.raw": "sleep 5"}, GO], variables={"rolling_max_unavailable": 2, "rolling_progress_deadline": 1})
    assert run.code != 0 and not run.went_on
    assert sorted(run.came) == sorted(run.went) == ["w1", "w2"] and "rolling_progress_deadline allows 1" in run.words


def test_nobody_starts_when_live_capacity_cannot_be_read(play):
    source = {"load_balancers": [{"name": "lb1", "endpoint": "tcp://127.0.0.1:1"}], "backend": "app"}
    run = play([COME], variables={"rolling_live": source, "rolling_capacity_timeout": 0})
    assert run.code != 0 and run.log == [] and "live capacity of the pool cannot be read" in run.words and "127.0.0.1:1" in run.words
