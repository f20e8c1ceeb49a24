# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An existing play keeps its meaning: handlers, blocks, delegation, includes, meta, throttle, and the switches of ansible-playbook."""

from __future__ import annotations

import os
import pty

from integration.strategy.plays import COME, GO, HOSTS, break_on, on, say, wait_for

META = "ansible.builtin.meta"


def test_handlers_are_run_where_they_are_notified(play):
    """At a flush in the middle, at the end, and after a failure when they are forced."""
    tasks = [{**COME, "notify": "first"}, {META: "flush_handlers"}, say("flushed"), {**say("more"), "notify": ["first", "topic"]}, break_on("w2"), GO]
    handlers = [say("first"), say("second", listen="topic"), say("third", notify="last"), say("last")]
    run = play(tasks, keywords={"handlers": handlers, "force_handlers": True})
    said_by = {name: [line.split()[1] for line in run.log if line.startswith(name)] for name in HOSTS}
    assert said_by["w1"] == ["come", "first", "flushed", "more", "go", "first", "second"]
    assert said_by["w2"] == ["come", "first", "flushed", "more", "first", "second"]
    assert run.code != 0 and run.came == ["w1", "w2"] and not run.went_on


def test_blocks_delegation_includes_roles_loops_and_facts(play):
    tasks = [
        COME,
        {"block": [{"block": [break_on("w2", "w5")], "always": [say("inner always")]}], "rescue": [say("rescue {{ ansible_failed_task.name }}")],
         "always": [say("always")]},
        {"ansible.builtin.include_tasks": "{{ zone }}.yml", "vars": {"word": "included"}},
        {"ansible.builtin.import_tasks": "imported.yml"},
        {"ansible.builtin.include_role": {"name": "small"}, "loop": ["a", "b"]},
        {"name": "elsewhere", "ansible.builtin.raw": "echo {{ inventory_hostname }} by {{ ansible_host | default('w6') }} >> {{ log }}", "delegate_to": "w6"},
        {"ansible.builtin.set_fact": {"mine": "{{ inventory_hostname }}"}},
        say("{{ mine }} {{ hostvars[inventory_hostname].mine }}"),
        {"ansible.builtin.assert": {"that": ["ansible_play_hosts | length == 6", "ansible_play_hosts_all | length == 6"]}},
        GO,
    ]
    files = {"east.yml": [say("{{ word }} east")], "west.yml": [{"ansible.builtin.include_tasks": "deeper.yml"}], "deeper.yml": [say("{{ word }} west")],
             "imported.yml": [say("imported")], "roles/small/tasks/main.yml": [say("role {{ item }}")]}
    run = play(tasks, variables={"rolling_max_unavailable": 3}, files=files)
    assert run.code == 0 and run.went_on, run.output
    for word in ("inner always", "always", "imported", "role a", "role b", "go"):
        assert sorted(run.who(word)) == HOSTS, word
    assert sorted(run.who("rescue break")) == ["w2", "w5"] and sorted(run.who("included west")) == ["w2", "w4", "w6"]
    assert sorted(run.who("included east")) == ["w1", "w3", "w5"] and all(run.who(f"{name} {name}") == [name] for name in HOSTS)
    assert sum(" by " in line for line in run.log) == 6


def test_meta_tasks(play):
    """end_host ends one host; clear_host_errors and noop are harmless; end_play is an end on purpose: those in flight stop too, the playbook goes on."""
    tasks = [COME, {META: "noop"}, {META: "clear_host_errors"}, {META: "end_host", **on("w1")}, say("more"), {META: "end_play", **on("w3")}, GO]
    run = play(tasks)
    assert run.code == 0 and run.went_on
    assert run.came == ["w1", "w2", "w3"] and run.who("more") == ["w2", "w3"] and run.went == ["w2"]
    assert "the play ended itself (meta: end_play). Not started: w4, w5, w6" in run.words


def test_an_inventory_that_is_refreshed_in_the_middle(play):
    """Several hosts do it at once, while results, includes and handlers of others are on their way."""
    change = {"name": "change", "ansible.builtin.raw": "sed -i 's/word: old/word: new/' {{ playbook_dir }}/inventory.yml"}
    tasks = [{**COME, "notify": "first"}, change, {META: "refresh_inventory"}, {META: "reset_connection"}, say("{{ word }}"),
             {META: "refresh_inventory"}, {"ansible.builtin.include_tasks": "more.yml"}, {"ansible.builtin.include_role": {"name": "small"}}, GO]
    role = [say("in the role"), {META: "end_role", **on("w1")}, say("its rest")]
    run = play(tasks, variables={"rolling_max_unavailable": 3}, host_vars={"all": {"word": "old"}}, keywords={"handlers": [say("first")]},
               files={"more.yml": [say("included")], "roles/small/tasks/main.yml": role})
    assert run.code == 0 and run.went_on, run.output
    assert sorted(run.who("its rest")) == HOSTS[1:], run.output
    for word in ("come", "new", "included", "in the role", "go", "first"):
        assert sorted(run.who(word)) == HOSTS, (word, run.output)


def test_a_host_that_the_refreshed_inventory_lacks_stops_the_roll(play):
    gone = {"name": "gone", "ansible.builtin.raw": "sed -i '/^ *w4:/,+1d' {{ playbook_dir }}/inventory.yml"}
    run = play([COME, gone, {META: "refresh_inventory"}, GO])
    assert run.code != 0 and run.came == ["w1"] and run.went == [] and "the refreshed inventory has no w4, which the roll takes" in run.words, run.output


def test_facts_and_errors_are_cleared_for_nobody_else_in_flight(play):
    def clears(action):
        return [{META: action, **on("w2")}, say("cleared", **on("w2"))]
    broken = {"block": [break_on("w1")], "always": [say("in always", **on("w1")), wait_for("w2 cleared", **on("w1"))]}
    run = play([COME, broken, wait_for("w1 in always", **on("w2")), *clears("clear_host_errors"), GO], variables={"rolling_max_unavailable": 2})
    assert run.code != 0 and sorted(run.came) == ["w1", "w2"] and run.went == ["w2"], run.output
    run = play([COME, wait_for("w1 come", **on("w2")), *clears("clear_facts"), wait_for("w2 cleared"), say("{{ ansible_facts.system | default('none') }}")],
               keywords={"gather_facts": True, "gather_subset": "!all"}, variables={"rolling_max_unavailable": 2}, arguments=("--limit", "w1,w2"))
    assert run.code == 0 and run.who("Linux") == ["w1"] and run.who("none") == ["w2"], run.output


def test_end_play_in_a_roll_that_has_stopped_does_not_hide_the_stop(play):
    broken = {"block": [break_on("w1")], "always": [say("gone", **on("w1"))]}
    run = play([COME, broken, wait_for("w1 gone", **on("w2")), {META: "end_play", **on("w2")}, GO], variables={"rolling_max_unavailable": 2})
    assert run.code != 0 and not run.went_on and sorted(run.came) == ["w1", "w2"]


def test_throttle_and_gathered_facts(play):
    line = "echo {{ inventory_hostname }} %s >> {{ log }}"
    narrow = {"name": "narrow", "throttle": 1, "ansible.builtin.raw": f"{line % 'in'}; sleep 0.1; {line % 'out'}"}
    known = say("{{ ansible_facts.system }} {{ ansible_facts.python.type }}")
    three = ["w1", "w2", "w3"]
    together = [wait_for(f"{name} come") for name in three]
    run = play([COME, *together, narrow, known, GO], keywords={"gather_facts": True, "gather_subset": "!all"}, variables={"rolling_max_unavailable": 3},
               arguments=("--limit", ",".join(three)))
    order = [line.split()[1] for line in run.log if line.split()[1] in ("in", "out")]
    assert run.code == 0 and order == ["in", "out"] * 3 and run.most_at_once == 3
    assert sorted(run.who(f"{os.uname().sysname} cpython")) == three


def test_check_mode_tags_and_skipped_tags(play):
    tagged = [say("come", tags="yes"), say("no", tags="no"), {"ansible.builtin.command": "touch {{ lost }}/{{ inventory_hostname }}", "tags": "yes"},
              say("go", tags="yes", check_mode=False)]
    run = play(tagged, arguments=("--check", "--tags", "yes,no", "--skip-tags", "no"), variables={"rolling_max_unavailable": 2})
    assert run.code == 0 and run.log == [f"{name} go" for name in run.went] and sorted(run.went) == HOSTS
    assert list(play.lost.iterdir()) == []


def test_a_step_is_left_out_where_the_answer_is_no(play):
    """free would wait for such a host for ever (ansible#86656)."""
    here, there = pty.openpty()
    try:
        os.write(here, b"y\nn\ny\n" * 2 + b"c\n")
        run = play([COME, say("more"), GO], arguments=("--step", "--limit", "w1,w2,w3"), stdin=there)
    finally:
        os.close(here)
        os.close(there)
    assert run.came == ["w1", "w2", "w3"] and run.who("more") == ["w3"] and run.went == ["w1", "w2", "w3"], run.output
