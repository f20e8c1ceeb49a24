# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requests that a member gets before anything is changed, and the verdicts on its answers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.alwayson.upgrade.plugins.action import member_info
from ansible_collections.alwayson.upgrade.plugins.modules.member_info import DESCRIPTION
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._smoke import expectation, running_release

SERVICE = {"health_path": "/healthz", "version_path": "/version", "version_query": "release", "version_header": None, "version_pattern": None,
           "has_version_command": False}


class Member:
    """Stands in for the module: answers every request with 200 and its release, and keeps what it was asked."""

    def __init__(self, current="1.0.0", answers="1.0.0"):
        self.current, self.answers, self.asked = current, answers, None

    def __call__(self, module_name, module_args, task_vars, wrap_async):
        assert module_name == "alwayson.upgrade.member_info"
        self.asked = module_args
        answer = {"status": 200, "headers": [], "body": f'{{"release": "{self.answers}"}}', "truncated": False, "seconds": 0.1}
        outcomes = [{"name": test["name"], "url": test.get("url"), "method": "GET", "command": test.get("command"), "sent": True, "ready": True, "requests": 1,
                     "problem": "", "answers": [answer]} for test in module_args["tests"]]
        return {"changed": False, "current": self.current, "problems": [], "outcomes": outcomes}


def look(member, **arguments):
    given = {"root": "/srv/shop", "serving": True, "address": "[::1]:80", "description": SERVICE, **arguments}
    task = SimpleNamespace(action="member_info", args=given, async_val=0, check_mode=False, diff=False, no_log=False)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"), transport="ssh")
    action = member_info.ActionModule(task, connection, SimpleNamespace(check_mode=False), None, None, None)
    action._execute_module = member
    return action.run(task_vars={})


def test_one_call_asks_everything_and_the_release_that_runs_is_what_counts():
    member = Member()
    result = look(member, tests=[{"name": "feature", "path": "/f"}, {"path": "/o", "holds_for": "both", "expect": {"release": "1.0.0"}}])
    assert [test["url"] for test in member.asked["tests"]] == [f"http://[::1]:80/{path}" for path in ("version", "healthz", "f", "o")]
    assert not any(key in test for test in member.asked["tests"] for key in ("expect", "expect_answer", "about", "holds_for"))
    assert member.asked["once"] == ["feature"]
    assert [(test["about"], test["holds_for"], test["passed"]) for test in result["asked"]] == [
        ("release", "both", True), ("health", "both", True), ("own", "new", True), ("own", "both", True)]
    assert result["problems"] == [] and "outcomes" not in result
    [wrong] = [test for test in look(Member(answers="build 7"))["asked"] if not test["passed"]]
    assert wrong["why"] == ['expected release to be "1.0.0", saw "build 7"']


@pytest.mark.parametrize(("description", "command", "asked"), [
    ({}, [], ("/version", "/healthz")),
    ({"health_path": "/up", "version_query": "release"}, [], ("/version", "/up")),
    ({"version_header": "X-Release", "version_path": "/up", "hosts": {"members": []}}, [], ("/up", "/healthz")),
    ({}, ["shop", "--version"], (None, "/healthz")),
])
def test_a_description_may_be_a_part_of_one(description, command, asked):
    member = Member()
    result = look(member, description=description, version_command=command)
    assert [test["url"] for test in member.asked["tests"]] == [path and f"http://[::1]:80{path}" for path in asked]
    assert [test["command"] for test in member.asked["tests"]] == [command or None, None]
    assert result["problems"] == []


def test_a_command_that_the_host_lacks_is_a_problem():
    for command in ([], "shop --version"):
        [problem] = look(Member(), description={"has_version_command": True}, version_command=command)["problems"]
        assert "upgrade_version_command" in problem["what"]


def test_what_is_no_description_is_refused():
    with pytest.raises(AnsibleActionFail, match="description"):
        look(Member(), description="shop")
    member = Member()
    look(member, preflight="no")
    assert member.asked["tests"] == []


def test_a_part_has_the_defaults_of_the_whole():
    assert {name: option.get("default") for name, option in DESCRIPTION.items()} == {**running_release.DEFAULTS, "has_version_command": None}


def test_a_member_without_traffic_is_not_waited_for():
    member = Member()
    look(member, serving=False)
    assert (member.asked["timeout"], member.asked["in_a_row"]) == (0.0, 1)
    look(member, preflight=False)
    assert member.asked["tests"] == []


def test_a_test_that_cannot_be_asked_is_a_problem_and_the_others_are_asked():
    for tests, why in (([{"name": "x"}], "neither path nor url"), ("orders", "give a list of tests"), ([{"path": "/a", "statuz": 1}], "statuz"),
                       ([{"path": "/a", "expect": {"a ||": 1}}], "no JMESPath expression"), ([{"path": "/a", "holds_for": "old"}], "new, both"),
                       ([{"name": "health", "path": "/a"}], "two smoke tests are named 'health'")):
        result = look(Member(), tests=tests)
        [problem] = result["problems"]
        assert problem["variable"] == "upgrade_smoke_tests" and why in problem["what"]
        assert [test["about"] for test in result["asked"]] == ["release", "health"]


def test_a_query_that_is_none_is_a_problem_of_the_service():
    [problem] = look(Member(), description={**SERVICE, "version_query": "release ||"}, tests=[{"path": "/a"}])["problems"]
    assert "upgrade_version_path" in problem["variable"] and "no JMESPath expression" in problem["what"]


def test_jmespath_is_missing_on_the_controller(monkeypatch):
    monkeypatch.setattr(expectation, "jmespath", None)
    [problem] = look(Member())["problems"]
    assert problem["variable"] == "" and "jmespath is missing on the controller" in problem["what"]


def test_a_secret_that_is_sent_is_not_told():
    result = look(Member(answers="canary-word"), tests=[{"name": "feature", "path": "/f", "secret_headers": {"X-Any": "canary-word"}}])
    assert any("********" in str(test["why"]) for test in result["asked"]) and "canary-word" not in str(result["asked"])
