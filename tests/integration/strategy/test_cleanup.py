# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""However a run ends, its cleanup plays run: hosts that fail or are lost, a task file that cannot be read, Ctrl-C, a task that ends the run."""

from __future__ import annotations

import pytest
from integration.strategy.plays import HOSTS, break_on, is_alive, lose_on, on, say, wait_for

LINEAR = "alwayson.upgrade.linear_with_cleanup"


def work(*tasks, hosts="localhost", **keywords):
    return {"name": "work", "hosts": hosts, "gather_facts": False, "strategy": LINEAR, "tasks": list(tasks), **keywords}


LATER = work(say("later"), hosts="web")
CLEANUP = work(say("cleans up"), {"ansible.builtin.debug": {"msg": "why: {{ cleanup_reason | default('none') }}"}}, vars={"cleanup_play": True})
WEB_CLEANUP = work(say("tidies"), hosts="web", vars={"cleanup_play": True})
FAIL = {"name": "check", "ansible.builtin.fail": {"msg": "no room"}}


def ended(running):
    run = running.end()
    assert run.code != 0, run.output
    assert run.who("later") == [] and run.who("cleans up") == ["localhost"], run.output
    return run


@pytest.mark.parametrize(("tasks", "why"), [
    ([FAIL], "why: check: no room"),
    ([{"ansible.builtin.include_tasks": "broken.yml"}], "why: work: YAML parsing failed"),
    ([{"ansible.builtin.set_fact": {"cleanup_reason": "refused"}}, {"ansible.builtin.meta": "end_play"}, say("later")], "why: refused"),
    ([{"ansible.builtin.raw": "touch {{ lost }}/w1"},
      {"name": "reach", "ansible.builtin.raw": "true", "delegate_to": "w1", "vars": {"ansible_connection": "losable"}}], "why: reach: "),
], ids=["a failed task", "a file that cannot be read", "a task that ends the run", "a host that is unreachable"])
def test_a_run_that_localhost_ends(play, tasks, why):
    run = ended(play.start_plays([work(*tasks), LATER, CLEANUP, WEB_CLEANUP], files={"broken.yml": "- name: [\n"}))
    assert why in run.words, run.output
    assert set(run.who("tidies")) >= set(HOSTS[1:])


@pytest.mark.parametrize("task", [break_on(*HOSTS), {"name": "break", **lose_on(*HOSTS)}])
def test_a_play_that_fails_for_all_its_hosts(play, task):
    run = ended(play.start_plays([work(task, {"name": "visit", "ansible.builtin.raw": "true"}, hosts="web"), LATER, CLEANUP]))
    assert "why: w1: " in run.words, run.output


def test_a_rescue_is_no_end(play):
    rescued = {"block": [FAIL], "rescue": [say("repairs")]}
    run = play.start_plays([work(rescued), LATER, CLEANUP]).end()
    assert run.code == 0 and run.who("repairs") == ["localhost"] and sorted(run.who("later")) == HOSTS and "why: none" in run.words, run.output


def test_a_rolling_play_that_loses_all_its_hosts_is_followed_by_the_next_play(play):
    run = play([{"name": "lose", **lose_on("w1")}, say("go")], keywords={"hosts": "w1"},
               variables={"rolling_break_play": False, "rolling_min_live": 0, "rolling_pool_hosts": ["w1"]})
    assert run.went_on and run.went == [], run.output


def test_ctrl_c_counts_as_a_failed_task_and_the_cleanup_runs(play):
    block = {"block": [say("begins"), wait_for("release"), say("later")], "rescue": [say("repairs")], "always": [say("closes")]}
    running = play.start_plays([work(block), LATER, CLEANUP, WEB_CLEANUP])
    running.until("localhost begins")
    running.interrupt()
    running.until_said("a second Ctrl-C ends")
    running.log("release")
    run = ended(running)
    assert run.who("repairs") == run.who("closes") == ["localhost"] and sorted(run.who("tidies")) == HOSTS
    assert "why: interrupted by Ctrl-C" in run.words


def test_a_play_that_completes_is_not_interrupted(play):
    running = play.start_plays([work(say("begins"), wait_for("release"), say("completes"), vars={"cleanup_completes": True}), LATER, CLEANUP])
    running.until("localhost begins")
    running.interrupt()
    running.until_said("a second Ctrl-C ends")
    running.log("release")
    assert ended(running).who("completes") == ["localhost"]


def test_the_second_ctrl_c_ends_at_once_and_the_last_words_are_printed(play):
    words = {"ansible.builtin.set_fact": {"cleanup_last_words": "the lock stands: 'run' -e '{\"a\": 1}'"}}
    hang = {"name": "hang", "ansible.builtin.raw": "echo $$ > {{ lost }}/hanging; echo {{ inventory_hostname }} hangs >> {{ log }}; sleep 61.7534; true"}
    running = play.start_plays([work(words, hang), LATER, CLEANUP])
    running.until("localhost hangs")
    running.interrupt()
    running.until_said("a second Ctrl-C ends")
    running.interrupt()
    run = running.end()
    assert run.code != 0 and run.who("later") == run.who("cleans up") == []
    assert run.output.rstrip().endswith("the lock stands: 'run' -e '{\"a\": 1}'"), run.output
    assert not is_alive(int((play.lost / "hanging").read_text(encoding="utf-8")))


def test_last_words_that_were_taken_back_are_not_printed(play):
    words = [{"ansible.builtin.set_fact": {"cleanup_last_words": value}} for value in ("the lock stands", "")]
    run = play.start_plays([work(*words, {"name": "skipped", "ansible.builtin.raw": "true", **on("nobody")}), CLEANUP]).end()
    assert run.code == 0 and "lock stands" not in run.output, run.output
