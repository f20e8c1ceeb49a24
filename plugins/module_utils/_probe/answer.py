# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer must say besides its status: headers, a text, values in its JSON. A page of errors with status 200 is no answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._host.foreign_json import parse
from .plan import ProbeError

try:
    import jmespath
except ImportError:
    jmespath = None


class Expectation(NamedTuple):
    """`headers` by their lower-case names, `text` in the body, and compiled JMESPath expressions with the values that they must have."""

    headers: Mapping[str, str]
    text: bytes
    values: tuple[tuple[Any, Any], ...]

    @property
    def needs_body(self) -> bool:
        """Whether the body has to be kept."""
        return bool(self.text or self.values)

    def is_met(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether an answer says all of it."""
        if any(headers.get(name) != value for name, value in self.headers.items()) or self.text not in body:
            return False
        if not self.values:
            return True
        try:
            answer = parse(body)
            return all(expression.search(answer) == value for expression, value in self.values)
        except (ValueError, TypeError, jmespath.exceptions.JMESPathError):
            return False


def expectation_of(kind: str, headers: Mapping[str, Any], contains: str, expect: Mapping[str, Any]) -> Expectation | None:
    """What the answers to an entry of the mix must say; None when any will do. Raise ProbeError when it cannot be understood."""
    if not headers and not contains and not expect:
        return None
    if expect and jmespath is None:
        raise ProbeError(f"expect of {kind} needs the Python library jmespath where the prober runs: install it there, or use contains")
    values, expression = [], ""
    try:
        for expression, value in expect.items():
            values.append((jmespath.compile(expression), value))
    except jmespath.exceptions.JMESPathError as error:
        raise ProbeError(f"expect of {kind} has {expression!r}, which is no JMESPath: {error}") from None
    return Expectation({name.lower(): str(value) for name, value in headers.items()}, contains.encode("utf-8"), tuple(values))
