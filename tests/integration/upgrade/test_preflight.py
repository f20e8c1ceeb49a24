# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing leaves traffic before it is known that it can come back: wrong settings are refused by the plan, all of them at once, with what to correct."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from fleet.stand_ins import MEMBERS, OLD, StandIns
from json_server import Reply

REPOSITORY = Path(__file__).resolve().parents[3]
MARKED = {"name": "orders", "path": "/orders", "holds_for": "both"}


@pytest.fixture(name="fleet")
def _fleet(request):
    with StandIns(REPOSITORY / "build" / "integration" / f"preflight-{request.node.name[:40].replace('[', '-').strip(']')}") as fleet:
        yield fleet


def a_wrong_setting_for_each(fleet) -> list[str]:
    """One wrong setting on each host and on the load balancer, and what the refusal has to say."""
    # What was not there a moment ago, and comes and goes, is asked again; this one never stays.
    flapping = itertools.cycle([Reply(200, "ok"), Reply(503, "warming up")])
    fleet.members["app1"].routes["GET /healthz"] = lambda _asked: next(flapping)
    fleet.hosts["app2"]["release_start_command"] = ["/nonexistent/start"]
    fleet.hosts["app2"]["upgrade_smoke_tests"] = [MARKED]
    fleet.hosts["app3"]["member_port"] = 1
    fleet.balancer["front_url"] = None
    return [
        f"app1 takes traffic, but would fail the tests for returning to it: GET {fleet.members['app1'].url}/healthz: answered", "Correct upgrade_health_path",
        "app2: /nonexistent/start cannot be run by", "there is no /nonexistent/start. Correct release_start_command",
        f"GET {fleet.members['app2'].url}/orders: answered 404 instead of 200", "Correct the test 'orders' of upgrade_smoke_tests",
        "app3 takes traffic, but would fail the tests for returning to it: GET http://127.0.0.1:1/version: connection refused",
        "Correct member_address or member_port",
        "lb1 has no front_url",
    ]


def all_over_the_fleet(fleet) -> list[str]:
    """Settings of the service that are wrong, folders that are not the application's, and a front that sends users elsewhere."""
    fleet.service |= {"upgrade_health_path": "/helthz", "upgrade_version_query": "version"}
    fleet.hosts["app2"]["release_root"] = str(fleet.directory / "hosts")
    fleet.hosts["app3"] |= {"release_root": str(fleet.directory / "nothing"), "member_address": "::1"}
    fleet.balancer["front_url"] = "http://127.0.0.1:1"
    return [f"app1, app2 take traffic, but would fail the tests for returning to it: GET {fleet.members['app1'].url}/helthz: answered 404 instead of 200",
            'saw "{\\"error\\": \\"no such path\\"}"', "Correct upgrade_health_path, which is '/helthz'",
            'expected version to be "1.0.0", saw null', "Correct upgrade_version_query, which is 'version'",
            f"GET http://[::1]:{fleet.hosts['app3']['member_port']}/version: connection refused", "Correct member_address or member_port",
            "app2 is in traffic, and no release is current in its release_root: correct release_root",
            f"app3: there is no folder {fleet.directory}/nothing", "Correct release_root",
            "lb1: release, GET http://127.0.0.1:1/version: connection refused", "Correct front_url of lb1"]


@pytest.mark.parametrize("break_something", [a_wrong_setting_for_each, all_over_the_fleet], ids=lambda function: function.__name__)
def test_wrong_settings_are_refused_by_the_plan_in_one_message(fleet, break_something):
    words = break_something(fleet)
    run = fleet.run("plan")
    assert run.code != 0
    assert [word for word in words if word not in run.output.replace('\\"', '"') and word not in run.output] == [], run.output
    assert fleet.balancer_api.changes == []


def test_a_prober_that_would_reach_nothing_is_refused_by_the_plan(fleet):
    run = fleet.run("upgrade", upgrade_probe={"targets": [fleet.balancer_api.url, "http://127.0.0.1:1"]})
    assert run.code != 0 and "GET http://127.0.0.1:1/healthz: connection refused" in run.output and "Correct upgrade_probe.targets" in run.output, run.output
    assert fleet.balancer_api.changes == [] and f"GET {fleet.balancer_api.url}" not in run.output


def test_a_wrong_become_is_refused_by_the_plan(fleet):
    fleet.hosts["app2"] |= {"ansible_become": True, "ansible_become_user": "no-such-user"}
    run = fleet.run("plan")
    assert run.code != 0, run.output
    words = ["app2 is reachable, but no module runs there: ", ". Correct Ansible's settings for it, such as ansible_become"]
    assert [word for word in words if word not in run.output] == [], run.output
    assert fleet.balancer_api.changes == []


def test_an_upgrade_refuses_the_same_and_touches_nothing(fleet):
    [what, cure] = ["http://127.0.0.1:1/version: connection refused", "Correct member_address or member_port"]
    fleet.hosts["app2"]["member_port"] = 1
    run = fleet.run("upgrade")
    assert run.code != 0 and what in run.output and cure in run.output, run.output
    assert fleet.balancer_api.changes == []
    assert {path.name for path in fleet.directory.glob("hosts/*/releases/*")} == {OLD}


@pytest.mark.thorough
def test_jmespath_is_asked_for_before_anything_moves(fleet):
    hidden = fleet.directory / "hidden"
    hidden.mkdir()
    (hidden / "jmespath.py").write_text("raise ImportError('no jmespath here')\n", encoding="ascii")
    run = fleet.run("plan", environment={"PYTHONPATH": str(hidden)})
    # This kind of load balancer, which is driven from here, needs it first.
    assert run.code != 0 and "needs the Python library jmespath where this runs" in run.words and "Nothing was changed" in run.words, run.output
    assert "-m pip install jmespath" in run.words and fleet.balancer_api.changes == []


def test_a_test_that_the_old_release_never_passed_does_not_keep_it_out(fleet):
    """The new release fails its test, and so would the old one, which serves nevertheless."""
    run = fleet.run("upgrade", upgrade_smoke_tests=[{"name": "new feature", "path": "/feature"}])
    assert run.code != 0 and "new feature" in run.output, run.output
    assert set(fleet.taken_out) == {"/set/app1/maint"}
    assert set(fleet.admin.values()) == {"ready"} and {fleet.current(name) for name in MEMBERS} == {OLD}


def test_check_mode_does_what_the_plan_does_and_leaves_no_lock(fleet):
    run = fleet.run("upgrade", "--check")
    assert run.code == 0 and "check mode ends here" in run.output and "waves (live capacity" in run.output, run.output
    assert fleet.balancer_api.changes == [] and not (fleet.directory / "state").exists()
    fleet.hosts["app2"]["member_port"] = 1
    run = fleet.run("upgrade", "--check")
    assert run.code != 0 and "Correct member_address or member_port" in run.output, run.output
    assert fleet.balancer_api.changes == [] and not (fleet.directory / "state").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["--limit", "app1,localhost"], "--limit=app1,localhost leaves out app2, app3, lb1, which are hosts of the service. Leave it out: to upgrade a part"),
    (["--start-at-task", "Report", "--tags", "roll"], "--start-at-task='Report' would skip tasks that later tasks need"),
], ids=lambda value: value[0].strip("-") if isinstance(value, list) else "")
def test_options_that_would_skip_a_part_are_refused(fleet, arguments, words):
    run = fleet.run("upgrade", *arguments)
    assert run.code != 0 and words in run.words, run.output
    assert fleet.balancer_api.requests == []


def test_a_lock_that_cannot_be_kept_is_reported_with_its_host_and_variable(fleet):
    run = fleet.run("upgrade", upgrade_state_directory="/proc/alwayson")
    words = ["app1: the lock cannot be used: ", "Correct upgrade_state_directory, which is /proc/alwayson"]
    assert run.code != 0 and [word for word in words if word not in run.output] == [], run.output
    assert fleet.balancer_api.changes == []
