# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirement E3: slots, not batches. The next host starts as soon as one is done."""

from __future__ import annotations

import pytest
from integration.strategy.plays import COME, GO, HOSTS, on, say, wait_for

MORE = [say("included")]


@pytest.mark.parametrize("shape", ["plain", "in a block with rescue"])
def test_e3_the_others_go_on_one_after_the_other_beside_a_slow_host(play, shape):
    """w1 waits until the last host has gone: in batches it would wait for ever."""
    tasks = [COME, wait_for("w6 go", **on("w1")), GO]
    if shape != "plain":
        tasks = [{"block": tasks, "rescue": [say("mend")]}]
    run = play(tasks, variables={"rolling_max_unavailable": "34%"})
    assert run.code == 0 and run.went_on, run.output
    assert [name for name in run.came if name != "w1"] == ["w2", "w3", "w4", "w5", "w6"] and run.went == ["w2", "w3", "w4", "w5", "w6", "w1"]
    assert run.most_at_once == 2 and run.who("mend") == []
    # ansible-core's own about third-party strategies, and no other.
    assert run.output.count("[DEPRECATION WARNING]") == run.output.count("Use of strategy plugins not included in ansible.builtin") == 1
    assert run.output.count("[WARNING]") == run.output.count("Deprecation warnings can be disabled") == 1


def test_the_window_holds_over_includes_handlers_and_roles(play):
    tasks = [COME, wait_for("w2 come"), {"ansible.builtin.include_tasks": "more.yml"}, {"ansible.builtin.include_role": {"name": "small"}},
             {**GO, "notify": "tell"}]
    run = play(tasks, keywords={"handlers": [say("tell")]}, variables={"rolling_max_unavailable": 3},
               files={"more.yml": [{"ansible.builtin.debug": {"msg": "{{ [rolling.window, rolling.floor] }} {{ rolling.in_flight | length <= 3 }}"}}],
                      "roles/small/tasks/main.yml": [say("in the role")]})
    assert run.code == 0 and sorted(run.came) == HOSTS and 2 <= run.most_at_once <= 3
    assert sorted(run.who("tell")) == sorted(run.who("in the role")) == HOSTS
    assert run.output.count("[3, 3] True") == 6


def test_fewer_forks_than_the_window_are_said_and_honoured(play):
    run = play([COME, GO], variables={"rolling_max_unavailable": 4}, arguments=("--forks", "2"))
    assert run.code == 0 and sorted(run.came) == HOSTS and run.most_at_once <= 2
    assert "forks allows 2 members in flight, fewer than rolling_max_unavailable (4): run ansible-playbook with --forks 4" in run.words


def test_hosts_without_a_task_for_them_do_not_end_the_roll(play):
    """Tags that select nothing of the play: every member is done as soon as it starts."""
    run = play([COME, GO], arguments=("--tags", "another"), keywords={"tags": ["mine"]})
    assert run.code == 0 and run.log == [] and "the play ended" not in run.words
