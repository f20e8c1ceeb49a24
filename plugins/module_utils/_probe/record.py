# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of every request: ten bytes each, so that a million of them fit and percentiles stay exact. Pure.

Requests are numbered in the order of their intended times. A request is scheduled first, and ends exactly once.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection
from typing import Any

from .._host.version import VersionError, parse

PENDING, OK = 0, 1
HTTP_5XX, HTTP_4XX, HTTP_OTHER, REFUSED, RESET_NEW, RESET_ON_REUSED, TRUNCATED, MALFORMED, TLS, TIMEOUT, UNSENT, UNSEEN, WRONG_ANSWER = range(2, 15)
FAILURES = {
    HTTP_5XX: "http_5xx",
    HTTP_4XX: "http_4xx",
    HTTP_OTHER: "http_other",
    REFUSED: "refused",
    RESET_NEW: "reset_new",
    RESET_ON_REUSED: "reset_on_reused",
    TRUNCATED: "truncated",
    MALFORMED: "malformed",
    TLS: "tls",
    TIMEOUT: "timeout",
    WRONG_ANSWER: "wrong_answer",
}
# These say nothing about the service: the prober itself could not send the request in time, or could not look at its answer in time.
UNMEASURED = {UNSENT: "unsent", UNSEEN: "unseen"}
UNKNOWN_VERSION = 0
_MAX_VERSIONS = 255
_OTHER_VERSIONS = "other"


class Record:
    """The outcome, latency, send lag and version of each request, and totals that are right at any moment.

    `latency` and `lag` are seconds from the intended time: to the end of the answer, and to the moment of sending.
    """

    def __init__(self) -> None:
        self.outcome = array("B")
        self.latency = array("f")
        self.lag = array("f")
        self.version = array("B")
        self.version_names: list[str] = [""]
        self.counts = [0] * (WRONG_ANSWER + 1)
        self.version_counts = [0]
        self.max_latency = 0.0
        self.regressed_clients: set[object] = set()
        self.regressions = 0
        self._version_numbers: dict[str, int] = {}

    @property
    def scheduled(self) -> int:
        """The number of requests that were due, whether they could be sent or not."""
        return len(self.outcome)

    @property
    def pending(self) -> int:
        """Requests that have not ended yet."""
        return self.scheduled - sum(self.counts)

    @property
    def failed(self) -> int:
        """Requests that did not get the expected answer within the objective."""
        return sum(self.counts[outcome] for outcome in FAILURES)

    @property
    def unmeasured(self) -> int:
        """Requests that say nothing about the service."""
        return sum(self.counts[outcome] for outcome in UNMEASURED)

    @property
    def unmeasured_by_class(self) -> dict[str, int]:
        """{class: n} of what was not measured."""
        return {name: self.counts[outcome] for outcome, name in UNMEASURED.items()}

    @property
    def failures_by_class(self) -> dict[str, int]:
        """{class: n} of all classes, those that did not occur included."""
        return {name: self.counts[outcome] for outcome, name in FAILURES.items()}

    @property
    def versions(self) -> dict[str, int]:
        """{version: whole answers from it}."""
        return {name: count for name, count in zip(self.version_names, self.version_counts) if name}

    def schedule(self, lag: float) -> int:
        """Add the next request, taken up `lag` seconds after its intended time; return its number."""
        self.outcome.append(PENDING)
        self.latency.append(0.0)
        self.lag.append(lag)
        self.version.append(UNKNOWN_VERSION)
        return len(self.outcome) - 1

    def finish(self, index: int, outcome: int, latency: float, version: str = "") -> None:
        """Note how request `index` ended, once."""
        if self.outcome[index] != PENDING:
            raise ValueError(f"request {index} ended twice")
        self.outcome[index] = outcome
        self.latency[index] = latency
        self.counts[outcome] += 1
        if outcome in (OK, TIMEOUT) and latency > self.max_latency:
            self.max_latency = latency
        if version:
            number = self._number_of(version)
            self.version[index] = number
            self.version_counts[number] += 1

    def note_regression(self, client: object) -> None:
        """This client was answered by an older release than one it had seen before it asked."""
        self.regressions += 1
        self.regressed_clients.add(client)

    def _number_of(self, version: str) -> int:
        number = self._version_numbers.get(version)
        if number is None:
            name = version if len(self.version_names) < _MAX_VERSIONS else _OTHER_VERSIONS
            if name not in self._version_numbers:
                self._version_numbers[name] = len(self.version_names)
                self.version_names.append(name)
                self.version_counts.append(0)
            number = self._version_numbers[name]
        return number


class VersionOrder:
    """Decides which of two versions a service should answer later than the other.

    With *towards*, a move under way leads from any release to that one, forward or back. Without it, the newer one by their numbers comes
    later: 1.10.0 after 1.9.0. A leading v is allowed.
    """

    MAX_REMEMBERED = 1000

    def __init__(self, towards: str | None = None) -> None:
        self._towards = towards
        self._precedence: dict[str, tuple[Any, ...] | None] = {}

    def precedence(self, version: str) -> tuple[Any, ...] | None:
        """A key that sorts versions; None for what has no order, such as the hash of a commit."""
        if self._towards is not None:
            return (version == self._towards,) if version else None
        if version not in self._precedence:
            if len(self._precedence) >= self.MAX_REMEMBERED:
                self._precedence.clear()
            self._precedence[version] = _precedence(version)
        return self._precedence[version]


def _precedence(version: str) -> tuple[Any, ...] | None:
    try:
        return parse(version[1:] if version[:1] in ("v", "V") else version).precedence
    except VersionError:
        return None


def outcome_of_status(status: int, expected: Collection[int]) -> int:
    """Classify the status of a whole answer. With nothing expected in particular, 200 to 399 is fine."""
    if status in expected or (not expected and 200 <= status < 400):
        return OK
    if 400 <= status < 500:
        return HTTP_4XX
    return HTTP_5XX if status >= 500 else HTTP_OTHER
