# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the member_info module: it makes the requests out of the service's description, and checks the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ..module_utils._host.credentials import secrets_in
from ..module_utils._release.smoke_tests import ARGUMENTS, LEAST, SmokeTestError, require_tests
from ..modules import member_info
from ..modules.member_info import DESCRIPTION, FOR_REQUESTS
from ..plugin_utils._controller.in_worker import ForVerdict
from ..plugin_utils._plan import preflight
from ..plugin_utils._smoke import expectation
from ..plugin_utils._smoke.running_release import HealthAndRelease, health_and_release
from ..plugin_utils._smoke.verdict import Expected

TESTS = {"tests": ARGUMENTS["tests"]}
# Checked here, and not sent.
FOR_THE_CONTROLLER = ("expect", "expect_answer", *preflight.MARKS)
# What stands for the release until the host has reported which one runs.
UNKNOWN = "0"


class ActionModule(ForVerdict):
    """Runs the module on the member, once, and checks what came back."""

    worked_by = member_info

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        del tmp
        given = dict(self._task.args)
        own, read = given.pop("tests", None) or [], _read(given)
        # As it was given: a text is no list of words, and is refused as such.
        address, command = read["address"], given.get("version_command") or []
        description = health_and_release(read["description"], command)
        wrong: list[dict[str, Any]] = []
        tests = self._tests(description, address, UNKNOWN, own, command, wrong) if address and read["preflight"] else []
        answer = self.result_of_module({
            **given, "description": {}, "tests": [{key: value for key, value in test.items() if key not in FOR_THE_CONTROLLER} for test in tests],
            "once": [test["name"] for test in tests if test["holds_for"] != preflight.BOTH],
            **({} if read["serving"] else {"timeout": 0.0, "in_a_row": 1}),
        }, task_vars)
        if "outcomes" not in answer:
            return answer
        outcomes = {outcome["name"]: outcome for outcome in answer.pop("outcomes")}
        tests = self._tests(description, address, answer["current"] or UNKNOWN, own, command, []) if tests and address else []
        return {**answer, "asked": self._verdicts(tests, outcomes), "problems": [*answer["problems"], *wrong]}

    def _tests(self, description: HealthAndRelease, address: str, release: str, own: list[Any], command: list[Any],
               wrong: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All tests as the module takes them. What is wrong with one in itself goes to *wrong*; then the user's own are left out, or all of them."""
        tests: list[dict[str, Any]] = []
        asked: list[Any] = []
        try:
            for asked in ([], own):
                tests = _checked(preflight.member_requests(description, f"http://{address}", release, asked, command))
        except (SmokeTestError, expectation.ExpectationError, ValueError, TypeError) as error:
            wrong.append({"variable": preflight.variable_of(bool(asked), error), "what": str(error)})
        return tests

    def _verdicts(self, tests: list[dict[str, Any]], outcomes: dict[str, Any]) -> list[dict[str, Any]]:
        secrets = secrets_in({"tests": tests}, TESTS)
        marked = [{key: test[key] for key in preflight.MARKS} for test in tests]
        return [{**Expected.of(test).verdict(outcomes[test["name"]], secrets), **marks} for test, marks in zip(tests, marked)]


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the requests are made of, with their defaults; of a whole service's description, what they need of it."""
    options = {name: given[name] for name in FOR_REQUESTS if given.get(name) is not None}
    if isinstance(options.get("description"), Mapping):
        options["description"] = {name: value for name, value in options["description"].items() if name in DESCRIPTION}
    checked = ArgumentSpecValidator(FOR_REQUESTS).validate(options)
    if checked.error_messages:
        raise AnsibleActionFail("; ".join(checked.error_messages))
    return checked.validated_parameters


def _checked(tests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tests with their defaults; raises for the first that cannot be run or checked."""
    marks = [{key: test.pop(key) for key in preflight.MARKS} for test in tests]
    checked = ArgumentSpecValidator(TESTS).validate({"tests": tests})
    if checked.error_messages:
        raise SmokeTestError("; ".join(checked.error_messages))
    found = checked.validated_parameters["tests"]
    require_tests({**LEAST, "tests": found})
    for test in found:
        Expected.of(test)
    return [{**test, **mark} for test, mark in zip(found, marks)]
