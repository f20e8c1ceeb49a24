# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer must say, as {JMESPath expression: expected value}, and in words where it does not.

The expected value is compared as JSON: a number is not its text, and true is not 1. A dictionary with one of these keys
alone compares otherwise: `equals`, `matches` (a regular expression), `captures` (a regular expression, and what its first
group must be), `at_least`, `at_most`, `contains`.

Pure: no I/O and no clock. An answer is hostile until proven otherwise, so it is only ever data here, and is shown as JSON
in ASCII, shortened.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Set as AbstractSet
from typing import Any, Callable, NamedTuple

try:
    import jmespath
    from jmespath.exceptions import JMESPathError
except ImportError:
    jmespath = None
    JMESPathError = ValueError

from ...module_utils._host.credentials import masked
from ...module_utils._host.foreign_json import ForeignJsonError, parse

SHOWN_LENGTH = 200


class ExpectationError(Exception):
    """An expectation cannot be evaluated whatever the answer is; the message says what to correct."""


class MissingJmespathError(ExpectationError):
    """The Python that runs Ansible has no jmespath."""


class Expectation(NamedTuple):
    """A compiled expectation: `expression` as written, its `program`, and the operator with its operand."""

    expression: str
    program: Any
    operator: str
    operand: Any


def compiled(expect: dict[str, Any]) -> list[Expectation]:
    """Compile {expression: expected}; raise ExpectationError for the first that is wrong in itself."""
    if expect and jmespath is None:
        raise MissingJmespathError(
            f"the Python package jmespath is missing on the controller; install it for the Python that runs Ansible: {sys.executable} -m pip install jmespath"
        )
    return [_compile(expression, plain(expected)) for expression, expected in expect.items()]


def document(status: int, headers: list[Any], body: str, truncated: bool, seconds: float) -> dict[str, Any]:
    """The answer as a document: {status, headers: {lower case: value}, json, not_json, body, seconds}.

    `json` is None when the body is not JSON, and `not_json` then says why. A header that occurs twice is joined by commas.
    """
    joined: dict[str, str] = {}
    for name, value in plain(headers):
        joined[name.lower()] = f"{joined[name.lower()]}, {value}" if name.lower() in joined else value
    content, not_json = _parse_json(plain(body), truncated)
    return {"status": int(status), "headers": joined, "json": content, "not_json": not_json, "body": plain(body), "seconds": float(seconds)}


def reasons(in_json: list[Expectation], in_answer: list[Expectation], answer: dict[str, Any], secrets: AbstractSet[str] = frozenset()) -> list[str]:
    """Say in words what `answer` (see `document`) does not fulfil; nothing when it fulfils everything.

    `in_json` looks into the JSON body, `in_answer` into the whole document. The words do not have the `secrets`.
    """
    if in_json and answer["not_json"]:
        names = ", ".join(expectation.expression for expectation in in_json)
        found = [f"expected JSON to read {names} from, but the body {answer['not_json']}: {shown(answer['body'], secrets)}"]
    else:
        found = [_reason(expectation, answer["json"], secrets) for expectation in in_json]
    found += [_reason(expectation, answer, secrets) for expectation in in_answer]
    return [reason for reason in found if reason]


def plain(value: Any) -> Any:
    """The value in exact built-in types only: JMESPath identifies types by their names, and Ansible hands over subclasses."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    raise ExpectationError(f"{value!r} is of the type {type(value).__name__}, which JSON does not have: quote it to make it text")


def shown(value: Any, secrets: AbstractSet[str] = frozenset()) -> str:
    """The value as JSON in ASCII, without the `secrets`, shortened: nothing in it can act on a terminal or on a template."""
    text = masked(json.dumps(value), secrets)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}... ({len(text)} characters)"


def _compile(expression: object, expected: Any) -> Expectation:
    if not isinstance(expression, str):
        raise ExpectationError(f"{expression!r} is no JMESPath expression: quote it")
    expression = str.__str__(expression)
    try:
        program = jmespath.compile(expression)
    except JMESPathError as error:
        raise ExpectationError(f"{expression!r} is no JMESPath expression: {' '.join(str(error).split())}") from error
    operator, operand = _operation(expected)
    _require_operand(expression, operator, operand)
    return Expectation(expression, program, operator, operand)


def _operation(expected: Any) -> tuple[str, Any]:
    if isinstance(expected, dict) and len(expected) == 1:
        [(operator, operand)] = expected.items()
        if operator in OPERATORS:
            return operator, operand
    return "equals", expected


def _require_operand(expression: str, operator: str, operand: Any) -> None:
    if operator in ("at_least", "at_most") and not _is_number(operand):
        raise ExpectationError(f"{expression!r}: {operator} takes a number, not {shown(operand)}")
    if operator == "captures" and not (isinstance(operand, list) and len(operand) == 2 and isinstance(operand[1], str)):
        raise ExpectationError(f"{expression!r}: captures takes a regular expression and the text that its first group must be, not {shown(operand)}")
    if operator in ("matches", "captures"):
        pattern = operand if operator == "matches" else operand[0]
        try:
            groups = re.compile(pattern).groups
        except (re.error, TypeError) as error:
            raise ExpectationError(f"{expression!r}: {shown(pattern)} is no regular expression: {error}") from error
        if operator == "captures" and not groups:
            raise ExpectationError(f"{expression!r}: {shown(pattern)} has no group, so it captures nothing")


def _reason(expectation: Expectation, data: Any, secrets: AbstractSet[str]) -> str:
    """Why `data` does not fulfil the expectation; "" when it does."""
    words, fulfilled = OPERATORS[expectation.operator]
    operand = expectation.operand
    operands = [shown(part, secrets) for part in (operand if expectation.operator == "captures" else [operand])]
    wanted = f"expected {expectation.expression} {words} {' with '.join(operands)}{' as its first group' if len(operands) > 1 else ''}"
    try:
        seen = expectation.program.search(data)
        if fulfilled(seen, operand):
            return ""
    except JMESPathError as error:
        return f"{wanted}, but the answer does not allow to evaluate it: {shown(' '.join(str(error).split()), secrets)}"
    except RecursionError:
        return f"{wanted}, but the answer is nested too deeply"
    return f"{wanted}, saw {shown(seen, secrets)}{_hint(seen, operand)}"


def _hint(seen: Any, operand: Any) -> str:
    if isinstance(seen, str) and _is_number(operand):
        return " (text, not a number: quote the expected value)"
    return ""


def _parse_json(body: str, truncated: bool) -> tuple[Any, str]:
    if truncated:
        return None, "is longer than what is read of it"
    try:
        return parse(body), ""
    except ForeignJsonError:
        return None, "is not JSON"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(seen: Any, expected: Any) -> bool:
    """Equal as JSON values."""
    if isinstance(seen, bool) or isinstance(expected, bool):
        return seen is expected
    if isinstance(seen, list) and isinstance(expected, list):
        return len(seen) == len(expected) and all(map(_same, seen, expected))
    if isinstance(seen, dict) and isinstance(expected, dict):
        return seen.keys() == expected.keys() and all(_same(seen[key], expected[key]) for key in seen)
    return seen == expected


def _matches(seen: Any, pattern: str) -> bool:
    return isinstance(seen, str) and re.search(pattern, seen) is not None


def _captures(seen: Any, operand: list[Any]) -> bool:
    found = re.search(operand[0], seen) if isinstance(seen, str) else None
    return found is not None and found[1] == operand[1]


def _at_least(seen: Any, least: float) -> bool:
    return _is_number(seen) and seen >= least


def _at_most(seen: Any, most: float) -> bool:
    return _is_number(seen) and seen <= most


def _contains(seen: Any, part: Any) -> bool:
    if isinstance(seen, str):
        return isinstance(part, str) and part in seen
    if isinstance(seen, (list, dict)):
        return any(_same(item, part) for item in seen)
    return False


OPERATORS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "equals": ("to be", _same),
    "matches": ("to match", _matches),
    "captures": ("to match", _captures),
    "at_least": ("to be at least", _at_least),
    "at_most": ("to be at most", _at_most),
    "contains": ("to contain", _contains),
}
