# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.alwayson.upgrade.plugins.action import smoke_test


def outcome(name, release="2.0.0", **changes):
    answer = {"status": 200, "headers": [], "body": f'{{"release": "{release}"}}', "truncated": False, "seconds": 0.1}
    given = {"name": name, "url": f"http://127.0.0.1/{name}", "method": "GET", "command": None, "sent": True, "ready": True, "requests": 1, "problem": ""}
    return {**given, "answers": [answer], **changes}


class Target:
    """Stands in for the module on the target: keeps what it was asked, and answers with one list of outcomes after the other."""

    def __init__(self, *rounds):
        self.rounds = list(rounds)
        self.asked = []

    def __call__(self, module_name, module_args, task_vars, wrap_async):
        assert module_name == "alwayson.upgrade.smoke_test"
        self.asked.append(module_args)
        answer = self.rounds.pop(0)
        return answer if isinstance(answer, dict) else {"changed": False, "outcomes": answer, "invocation": {"module_args": module_args}}


@pytest.fixture(name="waits")
def _waits(monkeypatch):
    waits = []
    monkeypatch.setattr(smoke_test.time, "sleep", waits.append)
    return waits


def run(target, **arguments):
    task = SimpleNamespace(action="smoke_test", args=arguments, async_val=0, check_mode=False, diff=False, no_log=False)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"), transport="ssh")
    action = smoke_test.ActionModule(task, connection, SimpleNamespace(check_mode=False), None, None, None)
    action._execute_module = target
    return action.run(task_vars={})


def given(*names, release="2.0.0", **changes):
    return [{"name": name, "url": f"http://127.0.0.1/{name}", "expect": {"release": release}, **changes} for name in names]


def test_the_target_is_asked_once_and_judged_here():
    target = Target([outcome("a"), outcome("b")])
    result = run(target, tests=given("a", "b"))
    assert (result["passed"], result["changed"], result.get("failed", False)) == (True, False, False)
    assert [test["name"] for test in result["tests"]] == ["a", "b"]
    [asked] = target.asked
    assert "expect" not in asked["tests"][0] and "expect_answer" not in asked["tests"][0]
    assert "retries" not in asked and "delay" not in asked
    assert asked["in_a_row"] == 2 and asked["timeout"] == 30.0


def test_only_what_failed_is_done_again(waits):
    target = Target([outcome("a"), outcome("b", "1.0.0")], [outcome("b", "1.0.0")], [outcome("b")])
    result = run(target, tests=given("a", "b"), retries=5, delay=3)
    assert result["passed"] is True
    assert [[test["name"] for test in asked["tests"]] for asked in target.asked] == [["a", "b"], ["b"], ["b"]]
    assert waits == [3.0, 3.0]


def test_a_failure_names_everything_and_keeps_the_order(waits):
    target = Target([outcome("a", "1.0.0"), outcome("b"), outcome("c", "1.0.0")])
    result = run(target, tests=given("a", "b", "c"))
    assert (result["failed"], result["passed"]) == (True, False)
    assert [test["passed"] for test in result["tests"]] == [False, True, False]
    assert result["msg"].startswith("2 of 3 smoke tests failed.\na: GET http://127.0.0.1/a: expected release")
    assert "invocation" not in result
    assert waits == []


def test_a_module_that_fails_is_a_failure_with_its_message():
    result = run(Target({"failed": True, "msg": "no Python here", "rc": 127, "invocation": {}}), tests=given("a"))
    assert (result["failed"], result["msg"], result["rc"]) == (True, "no Python here", 127)
    assert "passed" not in result and "invocation" not in result


def test_a_lost_module_never_passes():
    result = run(Target({}), tests=given("a"))
    assert result["failed"] is True


def test_warnings_are_passed_on():
    target = Target({"outcomes": [outcome("a")], "warnings": ["look out"]})
    assert run(target, tests=given("a"))["warnings"] == ["look out"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "tests"),
        ({"tests": []}, "tests is empty"),
        ({"tests": given("a", "a")}, "two smoke tests are named 'a'"),
        ({"tests": given("a", url="nowhere")}, "no HTTP address"),
        ({"tests": given("a", method="BREW")}, "BREW"),
        ({"tests": given("a", surprise=1)}, "surprise"),
        ({"tests": given("a", expect={"x[": 1})}, r"smoke test 'a': 'x\[' is no JMESPath expression"),
        ({"tests": given("a", expect_answer={"x": {"matches": "("}})}, "smoke test 'a': 'x': .* is no regular expression"),
        ({"tests": given("a"), "in_a_row": 0}, "in_a_row is 0"),
        ({"tests": given("a"), "timeout": -1}, "timeout is -1"),
        ({"tests": given("a"), "retries": -1}, "retries is -1"),
        ({"tests": given("a"), "max_body_bytes": 0}, "max_body_bytes is 0"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_target_is_asked(arguments, reason):
    target = Target()
    with pytest.raises(AnsibleActionFail, match=reason):
        run(target, **arguments)
    assert target.asked == []


def test_a_secret_that_is_sent_is_not_told_in_the_message():
    result = run(Target([outcome("a", "canary-word")]), tests=given("a", secret_headers={"X-Any": "canary-word"}))
    assert result["failed"] is True and "canary-word" not in str(result) and 'saw "********"' in result["msg"]
