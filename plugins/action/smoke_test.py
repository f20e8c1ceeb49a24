# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the smoke_test module: expectations are checked before, and answers after, the target asks."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ..module_utils._host.credentials import secrets_in
from ..module_utils._release.smoke_tests import ARGUMENTS, SmokeTestError, require_tests
from ..modules import smoke_test
from ..plugin_utils._controller.in_worker import ForVerdict
from ..plugin_utils._smoke import expectation
from ..plugin_utils._smoke.verdict import Expected, failure_message

FOR_THE_CONTROLLER = ("expect", "expect_answer")
WARNINGS = ("warnings", "deprecations")
WHAT_THE_MODULE_SAID = ("msg", "exception", "module_stderr", "module_stdout", "rc", *WARNINGS)


class ActionModule(ForVerdict):
    """Runs the module on the target and checks what came back."""

    worked_by = smoke_test

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        del tmp
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        expected, secrets = self._expected(arguments), secrets_in(arguments, ARGUMENTS)
        pending, started = arguments["tests"], time.time()
        verdicts: dict[str, dict[str, Any]] = {}
        for attempt in range(arguments["retries"] + 1):
            if attempt:
                time.sleep(arguments["delay"])
            answer = self._ask(arguments, pending, task_vars)
            if "outcomes" not in answer:
                return self._module_failed(result, answer)
            result.update({key: answer[key] for key in WARNINGS if key in answer})
            for outcome in answer["outcomes"]:
                verdicts[outcome["name"]] = expected[outcome["name"]].verdict(outcome, secrets)
            pending = [test for test in pending if verdicts[test["name"]]["passed"] is False]
            if not pending:
                break
        result.update(started_at=started, finished_at=time.time())
        return self._finish(result, [verdicts[test["name"]] for test in arguments["tests"]])

    def _expected(self, arguments: dict[str, Any]) -> dict[str, Expected]:
        """One evaluator per test by its name. Every invalid test is reported before any request is sent."""
        try:
            require_tests(arguments)
        except SmokeTestError as error:
            raise AnsibleActionFail(str(error)) from error
        expected, name = {}, ""
        try:
            for test in arguments["tests"]:
                name = test["name"]
                expected[name] = Expected.of(test)
        except expectation.ExpectationError as error:
            raise AnsibleActionFail(f"smoke test {name!r}: {error}") from error
        return expected

    def _ask(self, arguments: dict[str, Any], tests: list[dict[str, Any]], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        requests = [{key: value for key, value in test.items() if key not in FOR_THE_CONTROLLER} for test in tests]
        module_args = {key: value for key, value in arguments.items() if key not in ("retries", "delay")}
        return self.result_of_module({**module_args, "tests": requests}, task_vars)

    def _module_failed(self, result: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        result.update({key: answer[key] for key in WHAT_THE_MODULE_SAID if key in answer})
        result.update(failed=True, changed=False)
        return result

    def _finish(self, result: dict[str, Any], verdicts: list[dict[str, Any]]) -> dict[str, Any]:
        failed = [verdict for verdict in verdicts if verdict["passed"] is False]
        result.update(changed=False, passed=not failed, tests=verdicts)
        if failed:
            result.update(failed=True, msg=failure_message(failed, len(verdicts)))
        return result
