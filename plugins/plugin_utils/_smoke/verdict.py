# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a smoke test, from what the module on the target saw. Pure: no I/O and no clock."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Set as AbstractSet
from typing import Any, NamedTuple

from . import expectation


class Expected(NamedTuple):
    """What one test expects of the JSON body and of the whole answer."""

    in_json: list[expectation.Expectation]
    in_answer: list[expectation.Expectation]

    @classmethod
    def of(cls, test: Mapping[str, Any]) -> Expected:
        """What a test with its defaults expects; raises ExpectationError when that cannot be read."""
        return cls(expectation.compiled(test["expect"]), expectation.compiled(test["expect_answer"]))

    def verdict(self, outcome: dict[str, Any], secrets: AbstractSet[str] = frozenset()) -> dict[str, Any]:
        """The verdict as data: {name, url, method, command, status, seconds, requests, passed, why}.

        `outcome` is {name, url, method, command, sent} and, when it was sent, {ready, requests, problem, answers}. Every answer must
        fulfil every expectation; the same reason is given once. The `secrets` are checked as all other values are, and the reasons do not show them.
        """
        outcome = expectation.plain(outcome)
        shown = {key: outcome[key] for key in ("name", "url", "method", "command")}
        if not outcome["sent"]:
            why = [f"not sent in check mode: {outcome['method'] or 'a command'} might change something"]
            return {**shown, "status": None, "seconds": None, "requests": 0, "passed": None, "why": why}
        answers = [expectation.document(**answer) for answer in outcome["answers"]]
        why = self._why(outcome, answers, secrets)
        return {
            **shown,
            "status": answers[-1]["status"] if answers else None,
            "seconds": max((answer["seconds"] for answer in answers), default=None),
            "requests": outcome["requests"],
            "passed": not why,
            "why": why,
        }

    def _why(self, outcome: dict[str, Any], answers: list[dict[str, Any]], secrets: AbstractSet[str]) -> list[str]:
        if not outcome["ready"]:
            return [_unready(outcome, answers, secrets)]
        found = [reason for answer in answers for reason in expectation.reasons(self.in_json, self.in_answer, answer, secrets)]
        return list(dict.fromkeys(found))


def failure_message(failed: list[dict[str, Any]], count: int) -> str:
    """One line per failed verdict, and what to do next."""
    lines = [f"{len(failed)} of {count} smoke tests failed."]
    lines += [f"{verdict['name']}: {asked(verdict)}: {'; '.join(verdict['why'])}." for verdict in failed]
    lines.append(f"Next: see the log of the service, and ask it from the same host: {_by_hand(failed[0])}")
    return "\n".join(lines)


def asked(verdict: Mapping[str, Any]) -> str:
    """The command, or the method and the address, in words."""
    return shlex.join(verdict["command"]) if verdict["command"] else f"{verdict['method']} {verdict['url']}"


def _by_hand(verdict: dict[str, Any]) -> str:
    if verdict["command"]:
        return shlex.join(verdict["command"])
    method = [] if verdict["method"] == "GET" else ["-X", verdict["method"]]
    return shlex.join(["curl", "-i", *method, verdict["url"]])


def _unready(outcome: dict[str, Any], answers: list[dict[str, Any]], secrets: AbstractSet[str]) -> str:
    shown = f"{outcome['problem']} ({outcome['requests']} requests)"
    body = answers[-1]["body"] if answers else ""
    return f"{shown}, saw {expectation.shown(body, secrets)}" if body else shown
