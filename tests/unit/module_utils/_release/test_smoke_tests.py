# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.http import Answer, HttpError, Request
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.smoke_tests import (
    Command, SmokeTest, SmokeTestError, require_tests, run, wait_for_answers,
)

SETTINGS = {"timeout": 30.0, "in_a_row": 2, "retries": 0, "delay": 1.0, "max_body_bytes": 1000}


class Clock:
    """Time that passes by sleeping, and by each question as long as it takes."""

    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def given(**changes):
    test = {"name": "t", "url": "http://127.0.0.1/", "command": None, "method": "GET", "headers": {}, "secret_headers": {}, "body": None, "status": None,
            "max_seconds": 5.0}
    return {**test, **changes}


def smoke_test(name, status=(200,), max_seconds=5.0):
    return SmokeTest(name, Request("GET", f"http://127.0.0.1/{name}", {}), frozenset(status), max_seconds)


class Service:
    """Answers each address with its list of statuses in turn (the last one for ever); None is no answer."""

    def __init__(self, clock, takes=0.0, **statuses):
        self.clock, self.takes, self.statuses = clock, takes, statuses
        self.asked = []

    def __call__(self, request, seconds):
        name = request.url.rsplit("/", 1)[1]
        statuses = self.statuses[name]
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        self.asked.append((name, seconds))
        self.clock.sleep(self.takes)
        if status is None:
            raise HttpError("connection refused")
        return Answer(status, [], str(len(self.asked)), False, self.takes)


def outcomes(tests, timeout=30, in_a_row=2, takes=0.0, **statuses):
    clock = Clock()
    service = Service(clock, takes, **statuses)
    return wait_for_answers(tests, service, timeout, in_a_row, clock=clock, sleep=clock.sleep), service, clock


def test_a_service_that_is_up_is_asked_as_often_as_needed_and_no_more():
    [outcome], service, clock = outcomes([smoke_test("a")], a=[200])
    assert (outcome.ready, outcome.requests, outcome.problem, len(outcome.answers)) == (True, 2, "", 2)
    assert service.asked == [("a", 5.0)] * 2
    assert clock.now < 1


def test_a_service_that_comes_up_is_waited_for():
    [outcome], _service, _clock = outcomes([smoke_test("a")], a=[None, None, 503, 200])
    assert (outcome.ready, outcome.requests) == (True, 5)
    assert [answer.status for answer in outcome.answers] == [200, 200]


def test_a_service_that_flaps_is_not_up():
    [outcome], _service, _clock = outcomes([smoke_test("a")], timeout=5, a=[200, 503] * 500)
    assert not outcome.ready
    assert outcome.problem in ("answered 503 instead of 200", "answered 200, but only 1 of 2 times in a row")


def test_a_break_starts_the_count_anew():
    [outcome], _service, _clock = outcomes([smoke_test("a")], in_a_row=3, a=[200, 200, None, 200])
    assert (outcome.ready, outcome.requests) == (True, 6)


@pytest.mark.parametrize(
    ("status", "problem"), [(503, "answered 503 instead of 200 or 204"), (404, "answered 404 instead of 200 or 204"), (None, "connection refused")]
)
def test_a_service_that_stays_down_is_given_up_in_time(status, problem):
    [outcome], _service, clock = outcomes([smoke_test("a", status=(200, 204))], timeout=3, a=[status])
    assert (outcome.ready, outcome.problem) == (False, problem)
    assert outcome.requests > 10
    assert 3 <= clock.now < 3.5


def test_a_test_that_is_ready_is_not_asked_again_while_others_wait():
    found, service, _clock = outcomes([smoke_test("a"), smoke_test("b")], a=[200], b=[503, 503, 503, 200])
    assert [outcome.ready for outcome in found] == [True, True]
    assert [name for name, _seconds in service.asked].count("a") == 2


def test_every_test_is_asked_once_even_when_the_time_is_over_and_not_more():
    tests = [smoke_test(name) for name in "abc"]
    found, service, _clock = outcomes(tests, timeout=1, takes=5.0, a=[None], b=[None], c=[200])
    assert [name for name, _seconds in service.asked] == ["a", "b", "c"]
    assert [outcome.ready for outcome in found] == [False] * 3


def test_no_time_to_wait_is_one_attempt():
    found, _service, _clock = outcomes([smoke_test("a")], timeout=0, in_a_row=1, a=[200])
    assert [outcome.ready for outcome in found] == [True]


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ([], "tests is empty"),
        ([given(), given()], "two smoke tests are named 't'"),
        ([given(command=["true"])], "smoke test 't' has both url and command"),
        ([given(url=None)], "smoke test 't' has neither url nor command"),
        ([given(url="nowhere")], "smoke test 't': url 'nowhere' is no HTTP address"),
        ([given(status=[])], "smoke test 't': status is empty"),
        ([given(max_seconds=0.0)], "smoke test 't': max_seconds is 0"),
    ],
)
def test_what_is_no_smoke_test_is_refused(tests, reason):
    with pytest.raises(SmokeTestError, match=reason):
        require_tests({**SETTINGS, "tests": tests})


@pytest.mark.parametrize(("name", "least"), [("timeout", 0), ("in_a_row", 1), ("retries", 0), ("delay", 0), ("max_body_bytes", 1)])
def test_settings_have_a_least_value(name, least):
    require_tests({**SETTINGS, "tests": [given()], name: least})
    with pytest.raises(SmokeTestError, match=f"{name} is {least - 1}: it must be at least {least}"):
        require_tests({**SETTINGS, "tests": [given()], name: least - 1})


def test_headers_become_text_and_the_secret_ones_are_among_them():
    [test] = require_tests({**SETTINGS, "tests": [given(headers={"X-Count": 1}, secret_headers={"Authorization": "Bearer x"})]})
    assert test.request.headers == {"X-Count": "1", "Authorization": "Bearer x"}


@pytest.mark.parametrize(
    ("body", "headers", "sent", "content_type"),
    [
        (None, {}, None, None),
        ("text", {}, b"text", None),
        ({"a": [1]}, {}, b'{"a": [1]}', "application/json"),
        ([1], {"content-type": "application/x"}, b"[1]", "application/x"),
    ],
)
def test_a_body_is_sent_as_text_or_as_json(body, headers, sent, content_type):
    [test] = require_tests({**SETTINGS, "tests": [given(body=body, headers=headers)]})
    assert test.request.body == sent
    assert {key.lower(): value for key, value in test.request.headers.items()}.get("content-type") == content_type
    assert sent is None or body == "text" or json.loads(sent) == body


def test_a_command_counts_by_its_exit_code_and_what_it_prints_is_its_answer():
    [test] = require_tests({**SETTINGS, "tests": [given(url=None, command=["sh", "-c", "echo ' shop 2.0.0 '; exit 3"])]})
    assert (test.request, test.status) == (Command(["sh", "-c", "echo ' shop 2.0.0 '; exit 3"]), {0})
    answer = run(test.request, 10)
    assert (answer.status, answer.body) == (3, "shop 2.0.0")
    [outcome] = wait_for_answers([test], run, 0, 1)
    assert (outcome.ready, outcome.problem) == (False, "ended with 3 instead of 0")


def test_a_command_that_is_not_there_is_no_answer():
    with pytest.raises(HttpError, match="/nowhere/shop --version cannot be run"):
        run(Command(["/nowhere/shop", "--version"]), 10)
