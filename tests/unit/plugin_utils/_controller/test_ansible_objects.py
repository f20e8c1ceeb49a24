# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dealings with ansible-core's objects, on stand-ins that have what is read of them."""

from __future__ import annotations

from enum import Enum, IntFlag
from types import SimpleNamespace

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.ansible_objects import Results, Slots, TaskRefused, Tasks, forget_roles, has_failed

RunState = Enum("RunState", "SETUP TASKS RESCUE ALWAYS COMPLETE")
FailState = IntFlag("FailState", {"NONE": 0, "TASKS": 2, "RESCUE": 4})


def task(action: str = "raw", **given):
    values = {"action": action, "args": {}, "run_once": False, "any_errors_fatal": False, "implicit": False, "_uuid": action, **given}
    return SimpleNamespace(**values, get_name=lambda: "some task")


def block(*tasks, rescue=(), always=()):
    return SimpleNamespace(block=list(tasks), rescue=list(rescue), always=list(always))


def state(run: str = "TASKS", fail: str = "NONE", **child):
    return SimpleNamespace(run_state=RunState[run], fail_state=FailState[fail],
                           **{"tasks_child_state": None, "rescue_child_state": None, "always_child_state": None, **child})


def host(name: str):
    return SimpleNamespace(name=name)


def test_slots_never_shrink_and_know_who_is_looked_at():
    slots = Slots()
    for name, in_flight in (("a", {"a"}), ("b", {"a", "b"}), ("c", {"b", "c"}), ("d", {"b", "c", "d"})):
        slots.put(host(name), in_flight)
    assert [slot.name for slot in slots] == ["c", "b", "d"] and slots.at is None
    slots.put(host("d"), {"d"})
    slots.put(host("b"), {"b", "d"})
    assert [slot.name for slot in slots] == ["c", "b", "d"]
    slots.put(host("e"), {"b", "d", "e"})
    assert [slot.name for slot in slots] == ["e", "b", "d"]
    assert slots[1] is slots.at and slots.at.name == "b"


def test_slots_show_the_hosts_of_a_refreshed_inventory():
    slots, new = Slots(), {name: host(name) for name in "ab"}
    for name in "ab":
        slots.put(host(name), {"a", "b"})
    slots.renew(new.get)
    assert list(slots) == [new["a"], new["b"]]


def test_results_remember_the_last_one_and_take_none_from_who_was_given_up():
    results = Results()
    answers = [SimpleNamespace(host=host("a"), task=task(_uuid="1")), SimpleNamespace(_host=host("b"), _task=task(_uuid="1"))]
    results.given_up.add(("b", "1"))
    for answer in answers:
        results.append(answer)
    assert list(results) == answers[:1] and results.last is None
    assert results.popleft() is results.last is answers[0]
    with pytest.raises(IndexError):
        results.popleft()


@pytest.mark.parametrize(("wrong", "words"), [
    (task(run_once=True), "task 'some task' is run_once"),
    (task("meta", args={"_raw_params": "noop"}, run_once="{{ x }}"), "is run_once"),
    (task("ansible.builtin.meta", args={"_raw_params": "end_batch"}), "end_batch cannot be honoured"),
    (task("meta", args={"_raw_params": "end_everything"}), "meta: end_everything is none of those that a rolling play knows: clear_facts, "),
    (task("add_host"), "uses add_host, which runs once for all hosts"),
])
def test_what_cannot_be_honoured_is_found_in_every_part_of_a_block(wrong, words):
    for blocks in ([block(wrong)], [block(), block(block(task(), wrong))], [block(rescue=[wrong])], [block(always=[block(wrong)])]):
        with pytest.raises(TaskRefused, match=words) as refused:
            Tasks(lambda given: given.action == "add_host").take_over(blocks)
        assert refused.value.task is wrong


def test_what_free_would_warn_of_is_taken_over():
    once, fatal, implicit = task("a", run_once="{{ x }}"), task("b", any_errors_fatal=True), task("meta", run_once=True, implicit=True)
    tasks = Tasks(lambda _task: False)
    tasks.take_over([block(once, implicit)])
    assert tasks.run_once(once) == "{{ x }}" and once.run_once is False and not tasks.errors_are_fatal
    tasks.take_over([block(fatal)])
    assert tasks.errors_are_fatal and fatal.any_errors_fatal is False and tasks.run_once(fatal) is False


@pytest.mark.parametrize(("given", "failed"), [
    (None, False),
    (state(), False),
    (state("RESCUE", "TASKS"), True),
    (state("ALWAYS", "TASKS"), True),
    (state("ALWAYS"), False),
    (state("RESCUE"), True),
    (state(tasks_child_state=state(tasks_child_state=state("RESCUE", "TASKS"))), True),
    (state("ALWAYS", always_child_state=state()), False),
])
def test_a_host_has_failed_from_its_failure_until_its_rescue_has_succeeded(given, failed):
    assert has_failed(given) is failed


def test_a_role_can_run_again():
    roles = [SimpleNamespace(_completed={"a": True, "b": True}, _had_task_run={"b": True}) for _count in range(2)]
    forget_roles(SimpleNamespace(role_cache={"one": roles[:1], "two": roles[1:]}), "b")
    assert [(role._completed, role._had_task_run) for role in roles] == [({"a": True}, {})] * 2
