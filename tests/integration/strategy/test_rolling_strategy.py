# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategy in small plays of its own, on every supported ansible-core that this machine can run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
CORES = {core: REPOSITORY / "build" / "cores" / core / "bin" / "ansible-playbook" for core in ("2.19", "2.20", "2.21")}
HOSTS = [f"w{number}" for number in range(1, 7)]
# Every visit is one appended line: who, and whether it came or went.
COME = {"name": "come", "ansible.builtin.shell": "echo {{ inventory_hostname }} come >> {{ log }}; sleep 0.1"}
GO = {"name": "go", "ansible.builtin.shell": "echo {{ inventory_hostname }} go >> {{ log }}"}
NEXT_PLAY = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.shell": "echo next play >> {{ log }}"}]}
BREAK_W3 = {"name": "break", "ansible.builtin.command": "{{ 'false' if inventory_hostname == 'w3' else 'true' }}"}


@dataclass
class Run:
    code: int
    output: str
    log: list[str]

    @property
    def came(self) -> list[str]:
        return [line.split()[0] for line in self.log if line.endswith(" come")]

    @property
    def words(self) -> str:
        return " ".join(self.output.split())

    @property
    def most_at_once(self) -> int:
        inside = most = 0
        for line in self.log:
            inside += {"come": 1, "go": -1}.get(line.split()[-1], 0)
            most = max(most, inside)
        return most


@pytest.fixture(params=sorted(CORES))
def play(request, tmp_path):
    """Run plays on one core; the first one rolls over six hosts."""
    program = CORES[request.param]
    if not program.exists():
        pytest.skip(f"ansible-core {request.param}: no Python on this machine runs it (see tests/cores.sh)")

    def run(tasks: list, *, keywords: dict | None = None, variables: dict | None = None, before: list | None = None, files: dict | None = None) -> Run:
        log = tmp_path / "log"
        log.write_text("", encoding="utf-8")
        rolling = {"hosts": "web", "gather_facts": False, "strategy": "alwayson.upgrade.rolling", "tasks": tasks, "vars": variables or {}, **(keywords or {})}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([*(before or []), rolling, NEXT_PLAY]), encoding="utf-8")
        for name, content in (files or {}).items():
            (tmp_path / name).write_text(yaml.safe_dump(content), encoding="utf-8")
        hosts = {name: {"zone": "east" if name in ("w1", "w3", "w5") else "west"} for name in HOSTS}
        inventory = {"all": {"vars": {"log": str(log), "ansible_connection": "losable", "ansible_python_interpreter": sys.executable},
                             "children": {"web": {"hosts": hosts}}}}
        (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"), "ANSIBLE_HOME": str(tmp_path / "ansible"),
                       "ANSIBLE_CONNECTION_PLUGINS": str(REPOSITORY / "tests/integration/upgrade/plugins"), "LOSABLE_DIRECTORY": str(tmp_path / "lost"),
                       "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"), "ANSIBLE_FORKS": "6"}
        done = subprocess.run([str(program), "-i", str(tmp_path / "inventory.yml"), str(tmp_path / "play.yml")], env=environment, cwd=tmp_path,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        return Run(done.returncode, done.stdout + done.stderr, log.read_text(encoding="utf-8").splitlines())

    return run


def test_a_window_of_two_over_includes_handlers_and_the_next_play(play):
    tasks = [COME, {"name": "include", "ansible.builtin.include_tasks": "more.yml"}, {**GO, "notify": "told"}]
    handlers = [{"name": "told", "ansible.builtin.shell": "echo {{ inventory_hostname }} told >> {{ log }}"}]
    run = play(tasks, keywords={"handlers": handlers}, variables={"rolling_max_unavailable": "34%"},
               files={"more.yml": [{"name": "included", "ansible.builtin.debug": {"msg": "{{ rolling.window }} {{ rolling.floor }}"}}]})
    assert run.code == 0, run.output
    assert sorted(run.came) == HOSTS
    assert run.most_at_once <= 2
    assert sum(line.endswith(" told") for line in run.log) == 6
    assert run.log[-1] == "next play"
    assert run.output.count("2 4") >= 6


def test_a_failed_host_stops_the_roll_and_the_playbook(play):
    run = play([COME, BREAK_W3, GO])
    assert run.code != 0
    assert run.came == ["w1", "w2", "w3"]
    assert "next play" not in run.log
    assert "the roll stops: w3 failed" in run.words and "Not started: w4, w5, w6" in run.words


def test_an_unreachable_host_stops_the_roll_and_the_playbook(play, tmp_path):
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "w2").touch()
    run = play([COME, GO])
    assert run.code != 0
    assert run.came == ["w1"]
    assert "next play" not in run.log
    assert "w2 was lost" in run.words


def test_a_rescued_host_that_says_it_failed_counts_as_failed(play):
    soft = {"block": [BREAK_W3], "rescue": [{"ansible.builtin.set_fact": {"rolling_failed": True}}]}
    run = play([COME, soft, GO])
    assert run.code != 0 and run.came == ["w1", "w2", "w3"] and "next play" not in run.log
    forgiven = play([COME, {"block": [BREAK_W3], "rescue": [{"ansible.builtin.debug": {"msg": "mended"}}]}, GO])
    assert forgiven.code == 0 and forgiven.came == HOSTS


def test_a_playbook_that_repairs_itself_goes_on_after_the_roll(play):
    run = play([COME, BREAK_W3, GO], variables={"rolling_break_play": False})
    assert run.came == ["w1", "w2", "w3"] and run.log[-1] == "next play"


def test_the_budget_is_for_the_whole_run(play):
    within = play([COME, BREAK_W3, GO], variables={"rolling_max_failures": 1, "rolling_min_live": 4})
    assert within.came == HOSTS and within.log[-1] == "next play"
    percent = play([COME, BREAK_W3, GO], keywords={"max_fail_percentage": 20}, variables={"rolling_min_live": 4})
    assert percent.came == HOSTS
    fatal = play([COME, BREAK_W3, GO], keywords={"any_errors_fatal": True})
    assert fatal.came == ["w1", "w2", "w3"]


def test_a_budget_does_not_lower_the_floor(play):
    run = play([COME, BREAK_W3, GO], variables={"rolling_max_failures": 1})
    assert run.code != 0 and run.came == ["w1", "w2", "w3"] and "less than the floor of 5" in run.words


def test_a_host_that_failed_in_an_earlier_play_counts_and_never_starts(play):
    earlier = {"hosts": "web", "gather_facts": False, "tasks": [BREAK_W3]}
    run = play([COME, GO], before=[earlier])
    assert run.code != 0 and run.came == [] and "w3 failed" in run.words


def test_domains_go_one_after_the_other_and_steps_wait(play):
    zones = play([COME, GO], variables={"rolling_domain": "{{ zone }}", "rolling_max_unavailable": 3, "rolling_domains_at_once": 1})
    assert zones.code == 0 and sorted(zones.came[:3]) == ["w1", "w3", "w5"] and sorted(zones.came[3:]) == ["w2", "w4", "w6"]
    halves = play([COME, GO], variables={"rolling_domain": "{{ zone }}", "rolling_max_unavailable": 3, "rolling_steps": "half_pool"})
    first = [line for line in halves.log[:6] if line != "next play"]
    assert halves.code == 0 and len({line.split()[0] for line in first}) == 3 and halves.most_at_once <= 3


@pytest.mark.parametrize(("tasks", "keywords", "variables", "words"), [
    ([COME], {"serial": 2}, {}, "replaces serial"),
    ([{**COME, "run_once": True}], {}, {}, "'come' is run_once"),
    ([{**COME, "run_once": "{{ true }}"}], {}, {}, "'come' is run_once"),
    ([COME], {}, {"rolling_max_unavailable": "lots"}, "rolling_max_unavailable is 'lots'"),
    ([COME], {}, {"rolling_steps": "sideways"}, "rolling_steps is 'sideways'"),
    ([COME], {}, {"rolling_min_live": 9}, "the pool has only 6 members"),
    ([COME], {}, {"rolling_pool_hosts": ["w1", "w9"]}, "w9, which is not in the inventory"),
])
def test_what_cannot_be_honoured_is_refused_before_any_host_starts(play, tasks, keywords, variables, words):
    run = play(tasks, keywords=keywords, variables=variables)
    assert run.code != 0 and run.log == [] and words in run.words, run.output


def test_nobody_starts_when_live_capacity_cannot_be_read(play):
    source = {"load_balancers": [{"name": "lb1", "endpoint": "tcp://127.0.0.1:1"}], "backend": "app"}
    run = play([COME], variables={"rolling_live": source, "rolling_capacity_timeout": 1})
    assert run.code != 0 and run.log == [] and "live capacity of the pool cannot be read" in run.words and "127.0.0.1:1" in run.words


def test_a_killed_worker_fails_its_host_and_the_others_finish(play):
    """The worker is the parent of the process that runs the task's shell; without care its host would be waited for forever."""
    suicide = {"name": "die", "ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.pipe', 'kill -9 $PPID') }}"}, "when": "inventory_hostname == 'w1'"}
    run = play([COME, suicide, GO], variables={"rolling_max_unavailable": 2})
    assert run.code != 0 and "w1" in run.words and "counts as failed" in run.words, run.output
    assert "w2 go" in run.log and "w1 go" not in run.log
