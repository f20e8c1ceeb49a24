# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two colours of three members each, of which one serves: built, proven, cut over, and returned to, under load. The tests build on each other.

All of it on the oldest ansible-core, without a warning; the newest one is in test_whole_path.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from fleet.layout import BLUE_GREEN, TESTERS_KEY, ROUTE_KEY
from integration.cores import OLDEST
from integration.upgrade.conftest import an_operator
from sweep.kill_sweep import KILLED

TESTS = Path(__file__).resolve().parents[2]
HOOKS = Path(__file__).parent / "plugins"
KILL_PLUGINS = TESTS / "sweep" / "plugins"
BLUE, GREEN = ({f"app{number}" for number in range(first, 7, 2)} for first in (1, 2))
EVERYBODY = BLUE | GREEN
SERVICE = yaml.safe_load((TESTS / "fleet" / "blue_green.yml").read_text(encoding="utf-8"))
NEW = {**SERVICE, "upgrade_release": "2.0.0"}


@pytest.fixture(scope="module", name="operator")
def _operator():
    with an_operator("test_blue_green", core=OLDEST, pools=BLUE_GREEN) as operator:
        yield operator


def serving(operator, key: str = ROUTE_KEY) -> dict[str, str]:
    """Load balancer to the pool that its process sends everybody to, or the testers."""
    answers = {balancer.name: operator.fleet.runtime(balancer.name, f"show map {operator.fleet.layout.route_map(balancer)}")
               for balancer in operator.fleet.layout.load_balancers}
    return {name: next(line.split()[2] for line in answer.splitlines() if line.split()[1:2] == [key]) for name, answer in answers.items()}


def everywhere(pool: str) -> dict[str, str]:
    return {"lb1": pool, "lb2": pool}


def releases(operator) -> tuple[set[str], set[str]]:
    """What blue and what green runs."""
    versions = operator.versions()
    return {versions[name] for name in BLUE}, {versions[name] for name in GREEN}


def assert_nobody_noticed(run) -> None:
    assert run.report["requests_scheduled"] > 200
    assert (run.report["requests_failed"], run.report["version_regressions"]) == (0, 0), run.report["failures_by_class"]


def test_01_the_plan_names_the_side_that_is_built(operator):
    run = operator.run("plan", **NEW)
    assert run.code == 0, run.output
    assert "green, which has no traffic (blue has it, and is not changed, so that a return is possible)" in run.words
    assert "the cutover: all traffic to green" in run.words and set(run.changed.values()) == {0}
    assert serving(operator) == everywhere("blue")


@pytest.mark.thorough
def test_02_a_release_that_is_bad_never_gets_a_request(operator):
    run = operator.run("upgrade", **{**NEW, "upgrade_release": "2.0.1"})
    assert run.code != 0
    assert_nobody_noticed(run)
    assert serving(operator) == everywhere("blue") and releases(operator) == ({"1.0.0"}, {"1.0.0"})


def test_03_the_idle_side_is_upgraded_and_gets_all_traffic_at_once(operator):
    run = operator.run("upgrade", **NEW)
    assert run.code == 0, run.output[-4000:]
    assert_nobody_noticed(run)
    assert run.report["ok"] is True and set(run.report["members"]) == EVERYBODY
    assert {name for name, member in run.report["members"].items() if member["outcome"] == "upgraded"} == GREEN
    assert run.report["live_min"] == 3 and run.report["capacity_samples"] > 20, "green without traffic does not count"
    assert serving(operator) == everywhere("green") and releases(operator) == ({"1.0.0"}, {"2.0.0"})
    files = map(operator.fleet.layout.route_map, operator.fleet.layout.load_balancers)
    assert [file.read_text(encoding="ascii") for file in files] == [f"{ROUTE_KEY} green\n{TESTERS_KEY} green\n"] * 2
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}


def test_04_the_same_command_again_changes_nothing(operator):
    run = operator.run("upgrade", **NEW)
    assert run.code == 0, run.output
    assert "Nothing to do" in run.words and set(run.changed.values()) == {0}, run.changed
    status = operator.run("status", **SERVICE)
    assert status.code == 0 and status.words.count("in traffic") == 6 and status.words.count("stands by") == 6, status.output


def test_05_the_return_is_one_command_on_each_load_balancer(operator):
    run = operator.run("rollback", **SERVICE)
    assert run.code == 0, run.output[-4000:]
    assert_nobody_noticed(run)
    assert (run.report["release_from"], run.report["release_to"]) == ("2.0.0", "1.0.0")
    assert {member["outcome"] for member in run.report["members"].values()} == {"untouched"}
    assert serving(operator) == everywhere("blue") and releases(operator) == ({"1.0.0"}, {"2.0.0"})


@pytest.mark.thorough
def test_06_a_run_that_was_killed_before_its_cutover_goes_on(operator):
    killed = operator.run("upgrade", **NEW, environment={"ANSIBLE_CALLBACK_PLUGINS": str(KILL_PLUGINS), "ANSIBLE_CALLBACKS_ENABLED": "kill_at",
                                                         "KILL_AT_EVENT": "start:1:Send the traffic to the other pool",
                                                         "KILL_AT_EVENTS_FILE": str(operator.fleet.directory / "events")})
    assert killed.code == KILLED, killed.output[-2000:]
    resumed = operator.run("upgrade", **NEW)
    assert resumed.code == 0 and "was taken over" in resumed.words, resumed.output[-4000:]
    assert serving(operator) == everywhere("green")


@pytest.mark.thorough
def test_07_load_balancers_that_a_killed_cutover_left_apart_are_brought_together(operator):
    balancer = operator.fleet.layout.load_balancers[1]
    operator.fleet.runtime(balancer.name, f"set map {operator.fleet.layout.route_map(balancer)} {ROUTE_KEY} blue")
    assert serving(operator) == {"lb1": "green", "lb2": "blue"}
    run = operator.run("upgrade", **NEW)
    assert run.code == 0, run.output[-4000:]
    assert serving(operator) == everywhere("green") and run.report["requests_failed"] == 0


@pytest.mark.thorough
def test_08_what_users_would_see_decides_and_the_traffic_returns_by_itself(operator):
    """The release is right on every member, and wrong through the load balancers."""
    assert operator.run("rollback", **SERVICE).code == 0 and serving(operator) == everywhere("blue")
    users_only = "alwayson_front is defined and release_version is not defined and alwayson_flipped"
    through = [{"name": "as users reach it", "path": "/version", "expect": {"release": f"{{{{ '9.9.9' if {users_only} else upgrade_release }}}}"}}]
    run = operator.run("upgrade", **NEW, upgrade_smoke_tests=through)
    assert run.code != 0 and any("all traffic is on blue" in problem for problem in run.report["problems"]), run.report["problems"]
    assert serving(operator) == serving(operator, TESTERS_KEY) == everywhere("blue") and run.report["requests_failed"] == 0
    assert json.loads((operator.fleet.directory / "report.json").read_text(encoding="utf-8"))["ok"] is False


@pytest.mark.thorough
def test_09_testers_who_say_no_keeps_users_where_they_are(operator):
    """The hook asks both load balancers, as the testers and as a user."""
    run = operator.run("upgrade", **NEW, upgrade_before_cutover=[str(HOOKS / "testers_look.yml"), str(HOOKS / "fail.yml")])
    assert run.code != 0 and "a user gets 1.0.0 and the testers 2.0.0" in run.words, run.output[-3000:]
    assert any("upgrade_before_cutover: the team said no" in problem for problem in run.report["problems"]), run.report["problems"]
    assert serving(operator) == serving(operator, TESTERS_KEY) == everywhere("blue") and run.report["requests_failed"] == 0


@pytest.mark.parametrize(("variables", "words"), [
    # What the load balancers answer. What the description alone shows is in tests/unit/plugin_utils/_plan/test_blue_green.py too.
    ({"upgrade_colours": {"blue": "app_blue", "red": "app_green"}}, "has no backend 'red'"),
    ({"upgrade_route": {"map": "other.map", "key": ROUTE_KEY}}, "has no map 'other.map'"),
    *(pytest.param(*case, marks=pytest.mark.thorough) for case in (
        ({"upgrade_colours": {"blue": "app_blue"}}, "does not name two pools"),
        ({"upgrade_colours": {"blue": "app_blue", "green": "app_gren"}}, "did you mean 'app_green'"),
        ({"upgrade_route": {"map": "active.map"}}, "upgrade_route is not set"),
        ({"upgrade_route": {"map": "active.map", "key": "none"}}, "has no key 'none'"),
    )),
], ids=["misspelt pool", "misspelt map", "one pool", "misspelt group", "no key", "misspelt key"])
def test_10_bad_input_is_refused(operator, variables, words):
    before = serving(operator)
    run = operator.run("plan", **{**NEW, **variables})
    assert run.code != 0 and words in run.words, run.output
    assert serving(operator) == before
