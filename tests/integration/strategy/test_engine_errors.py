# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What free does not survive: errors of the engine and workers that die. The guilty host fails, the others finish, nobody new starts."""

from __future__ import annotations

import pytest
from integration.strategy.plays import COME, GO, break_on, is_alive, on, say, wait_for

BESIDE = {"rolling_max_unavailable": 2}
MISSING = {"name": "include", "ansible.builtin.include_tasks": "missing.yml", **on("w1")}
BROKEN = {"name": "include", "ansible.builtin.include_tasks": "broken.yml", **on("w2")}
FILES = {"broken.yml": "- raw: 'a'\n  no_such_module_of_anybody: b\n"}


def fails_where(host: str) -> str:
    """A template that is undefined on one host."""
    return f"{{{{ nowhere if inventory_hostname == '{host}' else 1 }}}}"


@pytest.mark.parametrize(("guilty", "words"), [
    ([MISSING, BROKEN, say("throttled", throttle=fails_where("w3")), say(f"name {fails_where('w4')}")],
     ["missing.yml", "conflicting action statements", "Failed to convert the throttle value", "'nowhere' is undefined"]),
    ([{"ansible.builtin.include_role": {"name": "missing"}, **on("w1")}, {"ansible.builtin.meta": "end_host", "when": "inventory_hostname == 'w2' and nowhere"},
      {**say("notify"), "notify": "nobody", "changed_when": "inventory_hostname == 'w3'"}, say("never", when="inventory_hostname != 'w4' or nowhere")],
     ["role 'missing' was not found", "'nowhere' is undefined", "handler 'nobody' was not found"]),
])
def test_an_error_of_the_engine_fails_its_host_and_spares_the_others(play, guilty, words):
    """w1 to w4 are in the middle of the play and each guilty of another error; w5 is there with them, and w6 is never begun."""
    together = wait_for("w5 come")
    run = play([COME, together, *guilty, together, GO], variables={"rolling_max_unavailable": 5}, files=FILES)
    assert run.code != 0 and not run.went_on
    assert sorted(run.came) == ["w1", "w2", "w3", "w4", "w5"] and run.went == ["w5"], run.output
    assert all(word in run.words for word in words) and "Not started: w6" in run.words


def test_hosts_mend_themselves_after_an_error_of_the_engine_and_still_stop_the_roll(play):
    """ansible-core itself would end with 0 when a file is missing."""
    together = wait_for("w1 mend"), wait_for("w2 mend")
    run = play([COME, {"block": [MISSING, BROKEN], "rescue": [say("mend")]}, *together, GO], variables={"rolling_max_unavailable": 3}, files=FILES)
    assert run.code != 0 and not run.went_on and "Not started: w4, w5, w6" in run.words
    assert sorted(run.who("mend")) == ["w1", "w2"] and sorted(run.went) == ["w1", "w2", "w3"]
    assert "missing.yml" in run.words and "conflicting action statements" in run.words


def test_killed_workers_fail_their_hosts_and_the_others_finish(play):
    """The worker is the parent of the shell that kills it; free would wait for its host for ever. What it had started ends with it."""
    orphan = "lost ~ '/orphan_' ~ inventory_hostname"
    shell = f"'sleep 61.7531 & echo $! > ' ~ {orphan} ~ '; kill -9 $PPID; sleep 61.7531'"
    die = {"name": "die", "ansible.builtin.debug": {"msg": f"{{{{ lookup('ansible.builtin.pipe', {shell}) }}}}"}}
    rescued = {"block": [{**die, **on("w2")}], "rescue": [say("mend {{ ansible_failed_task.name }}")]}
    beside = {"ansible.builtin.raw": "until test -s {{ lost }}/orphan_w1 -a -s {{ lost }}/orphan_w2; do sleep 0.05; done; sleep 0.3", **on("w3")}
    run = play([COME, {**die, **on("w1")}, rescued, beside, GO], variables={"rolling_max_unavailable": 3})
    assert run.code != 0 and not run.went_on, run.output
    for name in ("w1", "w2"):
        assert f"the worker process of {name} ended with -9 in task 'die': {name} counts as failed" in run.words
        assert not is_alive(int((play.lost / f"orphan_{name}").read_text(encoding="utf-8")))
    assert sorted(run.came) == ["w1", "w2", "w3"] and run.who("mend die") == ["w2"] and sorted(run.went) == ["w2", "w3"]


def test_a_process_that_cannot_be_started_fails_its_host(play):
    """No memory, too many processes: ansible-core would wait for an answer for ever."""
    tasks = [COME, wait_for("w1 tidy", **on("w2")), {"block": [GO], "always": [say("tidy")]}]
    run = play(tasks, variables=BESIDE, environment={"ANSIBLE_CALLBACKS_ENABLED": "no_processes", "NO_PROCESS_FOR": "w1 go"})
    assert run.code != 0 and "the controller could not start a process for task 'go'" in run.words
    assert sorted(run.came) == ["w1", "w2"] and run.went == ["w2"] and not run.went_on


LOST = {"ANSIBLE_CALLBACKS_ENABLED": "no_results", "NO_RESULTS_OF": "lost"}


def test_results_that_do_not_arrive_any_more_end_the_roll_and_not_the_playbook(play):
    """Other strategies wait for ever."""
    sleeps = {"name": "sleeps", "ansible.builtin.raw": "echo $$ >> {{ log }}.pids; echo w2 sleeps >> {{ log }}; exec sleep 600", **on("w2")}
    # Once w2 sleeps, no result but that of w1 is on its way.
    tasks = [COME, sleeps, wait_for("w2 sleeps"), {**say("lost"), "when": "inventory_hostname == 'w1'"}, GO]
    run = play(tasks, variables={**BESIDE, "rolling_break_play": False}, environment=LOST)
    assert "the thread of ansible-core that takes the results of tasks has died" in run.words and "Not started: w3" in run.words, run.output
    assert run.went == [] and sorted(run.came) == ["w1", "w2"] and run.went_on, run.output
    for pid in (play.folder / "log.pids").read_text(encoding="ascii").split():
        assert not is_alive(int(pid))


def test_results_that_do_not_arrive_any_more_are_followed_by_cleanup(play):
    work, cleanup = ({"hosts": "localhost", "gather_facts": False, "strategy": "alwayson.upgrade.linear_with_cleanup", "tasks": tasks, "vars": variables}
                     for tasks, variables in (([say("lost"), say("later")], {}), ([say("cleans up")], {"cleanup_play": True})))
    run = play.start_plays([work, cleanup], environment=LOST).end()
    assert run.code != 0 and run.who("cleans up") == ["localhost"] and run.who("later") == [], run.output
    assert "takes the results of tasks has died" in run.words


@pytest.mark.parametrize("including", ["include_tasks", "import_tasks"])
def test_any_errors_fatal_of_a_task_is_a_budget_of_none(play, including):
    tasks = [COME, {"name": "more", f"ansible.builtin.{including}": "more.yml"}, break_on("w2"), GO]
    run = play(tasks, keywords={"max_fail_percentage": 50}, variables={"rolling_min_live": 3}, files={"more.yml": [say("fatal", any_errors_fatal=True)]})
    assert run.code != 0 and run.came == ["w1", "w2"] and "rolling_max_failures allows 0" in run.words
    assert "not supported" not in run.words
