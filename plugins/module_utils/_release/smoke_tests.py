# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoke tests as data, and the wait until each of them was answered several times in a row.

The requests are made on the target; what the answers must say is checked on the controller (plugin_utils/_smoke/expectation.py).
"""

from __future__ import annotations

import json
import time
from typing import Any, Callable, NamedTuple

from .._host.http import Answer, HttpError, Limits, Request, fetch, require_url
from .service import ServiceError, run_command

PAUSE_SECONDS = 0.1
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

TEST_ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str"},
    "command": {"type": "list", "elements": "str"},
    "method": {"type": "str", "default": "GET", "choices": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]},
    "headers": {"type": "dict", "default": {}},
    "secret_headers": {"type": "dict", "no_log": True, "default": {}},
    # Hidden as it is sent. An answer may say the same words, and is checked for them.
    "body": {"type": "raw", "no_log": True},
    "status": {"type": "list", "elements": "int"},
    "expect": {"type": "dict", "default": {}},
    "expect_answer": {"type": "dict", "default": {}},
    "max_seconds": {"type": "float", "default": 10.0},
}

ARGUMENTS = {
    "tests": {"type": "list", "elements": "dict", "required": True, "options": TEST_ARGUMENTS},
    "timeout": {"type": "float", "default": 30.0},
    "in_a_row": {"type": "int", "default": 2},
    "retries": {"type": "int", "default": 0},
    "delay": {"type": "float", "default": 1.0},
    "validate_certs": {"type": "bool", "default": True},
    "max_body_bytes": {"type": "int", "default": 262144},
}

# The fields of an outcome that are only shown; all others are checked.
MASKED = ("url", "method", "command", "problem")
LEAST = {"timeout": 0, "in_a_row": 1, "retries": 0, "delay": 0, "max_body_bytes": 1}


class SmokeTestError(Exception):
    """Invalid smoke test definition. The message names the test and what to correct."""


class Command(NamedTuple):
    """A program and its arguments. Its answer is its exit code as the status, and what it printed as the body."""

    words: list[str]


class SmokeTest(NamedTuple):
    """One request, or a command on the host, and the statuses that count as an answer to it, each within `max_seconds`."""

    name: str
    request: Request | Command
    status: frozenset[int]
    max_seconds: float


class Outcome(NamedTuple):
    """What became of a test: its last answers, and the last thing that was wrong ("" when it is ready)."""

    ready: bool
    requests: int
    problem: str
    answers: list[Answer]


class _Progress:
    """The run of good answers that a test has so far."""

    def __init__(self, test: SmokeTest, in_a_row: int) -> None:
        self.test = test
        self._in_a_row = in_a_row
        self._requests = 0
        self._good: list[Answer] = []
        self._last: list[Answer] = []
        self._problem = ""
        self._did = "ended with" if isinstance(test.request, Command) else "answered"

    @property
    def asked(self) -> bool:
        return self._requests > 0

    @property
    def ready(self) -> bool:
        return len(self._good) >= self._in_a_row

    def answered(self, answer: Answer) -> None:
        self._requests += 1
        self._last = [answer]
        if answer.status in self.test.status:
            self._good.append(answer)
            self._problem = f"{self._did} {answer.status}, but only {len(self._good)} of {self._in_a_row} times in a row"
        else:
            wanted = " or ".join(map(str, sorted(self.test.status)))
            self._good = []
            self._problem = f"{self._did} {answer.status} instead of {wanted}"

    def unanswered(self, problem: str) -> None:
        self._requests += 1
        self._last, self._good, self._problem = [], [], problem

    def outcome(self) -> Outcome:
        return Outcome(self.ready, self._requests, "" if self.ready else self._problem, self._good or self._last)


def require_tests(arguments: dict[str, Any]) -> list[SmokeTest]:
    """Turn the module's `tests` into SmokeTest objects; raise SmokeTestError for the first argument that makes no sense."""
    for name, least in LEAST.items():
        if arguments[name] < least:
            raise SmokeTestError(f"{name} is {arguments[name]:g}: it must be at least {least}")
    tests = arguments["tests"]
    if not tests:
        raise SmokeTestError("tests is empty: an upgrade without a smoke test proves nothing; give at least one")
    names = [test["name"] for test in tests]
    for name in names:
        if names.count(name) > 1:
            raise SmokeTestError(f"two smoke tests are named {name!r}: give each a name of its own")
    return [_require_test(test) for test in tests]


def ask_all(params: dict[str, Any], may_send: Callable[[SmokeTest], bool] = lambda test: True) -> list[dict[str, Any]]:
    """Send the requests of all tests that may be sent and return what came back, as data for the action plugin."""
    tests = require_tests(params)
    sendable = [test for test in tests if may_send(test)]

    def ask(request: Request | Command, seconds: float) -> Answer:
        if isinstance(request, Command):
            return run(request, seconds)
        return fetch(request, Limits(seconds, params["max_body_bytes"], params["validate_certs"]))

    outcomes = wait_for_answers(sendable, ask, params["timeout"], params["in_a_row"])
    by_name = {test.name: outcome for test, outcome in zip(sendable, outcomes)}
    return [_as_data(test, by_name.get(test.name)) for test in tests]


def masked_outcomes(outcomes: list[dict[str, Any]], masked: Callable[[object], object]) -> list[dict[str, Any]]:
    """The outcomes with the fields that are only shown masked, and those that are checked unchanged."""
    return [{**outcome, **{key: masked(outcome[key]) for key in MASKED if key in outcome}} for outcome in outcomes]


def is_safe(test: SmokeTest) -> bool:
    """Whether the test changes nothing, according to its HTTP method."""
    return getattr(test.request, "method", None) in SAFE_METHODS


def _as_data(test: SmokeTest, outcome: Outcome | None) -> dict[str, Any]:
    request = test.request
    asked = {"url": getattr(request, "url", None), "method": getattr(request, "method", None), "command": getattr(request, "words", None)}
    data = {"name": test.name, **asked, "sent": outcome is not None}
    if outcome is None:
        return data
    # The body stays text and the headers pairs: nothing that a server sends can pass for structure on the way.
    return {**data, **outcome._asdict(), "answers": [answer._asdict() for answer in outcome.answers]}


def wait_for_answers(
    tests: list[SmokeTest],
    ask: Callable[[Request | Command, float], Answer],
    timeout: float,
    in_a_row: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Outcome]:
    """Repeat the tests until each has `in_a_row` good answers in a row, or `timeout` seconds are over.

    `ask` takes a request and the seconds it may take, and raises HttpError when there is no answer. Every test runs
    at least once, so the wait can exceed `timeout` by the time of those requests, and otherwise by that of the last one.
    """
    deadline = clock() + timeout
    progress = [_Progress(test, in_a_row) for test in tests]
    while True:
        for one in progress:
            if not one.ready and (not one.asked or clock() < deadline):
                _ask_once(one, ask)
        if all(one.ready for one in progress) or clock() >= deadline:
            return [one.outcome() for one in progress]
        sleep(PAUSE_SECONDS)


def run(command: Command, seconds: float, clock: Callable[[], float] = time.monotonic) -> Answer:
    """Run a test's command; raise HttpError when it cannot be run or does not end in time."""
    started = clock()
    try:
        ended = run_command(command.words, seconds)
    except ServiceError as error:
        raise HttpError(str(error)) from error
    return Answer(ended.status, [], ended.said, False, clock() - started)


def _ask_once(progress: _Progress, ask: Callable[[Request | Command, float], Answer]) -> None:
    try:
        progress.answered(ask(progress.test.request, progress.test.max_seconds))
    except HttpError as error:
        progress.unanswered(str(error))


def _require_test(test: dict[str, Any]) -> SmokeTest:
    name = test["name"]
    if bool(test["url"]) == bool(test["command"]):
        raise SmokeTestError(f"smoke test {name!r} has {'both url and' if test['url'] else 'neither url nor'} command: give one of them")
    statuses = test["status"] if test["status"] is not None else [0 if test["command"] else 200]
    if not statuses:
        raise SmokeTestError(f"smoke test {name!r}: status is empty: name the statuses that count, for example [200]")
    if test["max_seconds"] <= 0:
        raise SmokeTestError(f"smoke test {name!r}: max_seconds is {test['max_seconds']:g}: it must be more than 0")
    if test["command"]:
        return SmokeTest(name, Command(test["command"]), frozenset(statuses), test["max_seconds"])
    try:
        require_url(test["url"])
    except HttpError as error:
        raise SmokeTestError(f"smoke test {name!r}: {error}") from error
    headers = {str(key): str(value) for key, value in {**test["headers"], **test["secret_headers"]}.items()}
    body = _body(test["body"], headers)
    return SmokeTest(name, Request(test["method"], test["url"], headers, body), frozenset(statuses), test["max_seconds"])


def _body(body: object, headers: dict[str, str]) -> bytes | None:
    """Text as it is; anything else as JSON, and then `headers` gets the content type unless it has one."""
    if body is None:
        return None
    if isinstance(body, str):
        return body.encode("utf-8")
    if "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = "application/json"
    return json.dumps(body).encode("utf-8")
