# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether members that were upgraded do as well as the others, by what the load balancers counted of both. Pure.

HAProxy's response time is a sliding average: with each request it moves by a 512th towards that request's time (``swrate_add`` of its source, with
``TIME_STATS_SAMPLES``), and is the plain average before so many requests have come. So what the requests of a while took follows from the averages
before and after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .interface import READY, UP, Backend, Member, View

WINDOW = 512
GOOD, BAD, UNCLEAR = "good", "bad", "unclear"
NOTHING = Member("", READY, UP, arrivals=0, errors=0)


@dataclass(frozen=True)
class Sample:
    """The requests of a period: their number, how many failed, and the mean response time in milliseconds, None when it is not reported."""

    requests: int
    errors: int
    response_ms: float | None

    @property
    def error_percent(self) -> float:
        return 100.0 * self.errors / self.requests if self.requests else 0.0

    def as_data(self) -> dict[str, Any]:
        """For a module's result."""
        return {"requests": self.requests, "errors": self.errors, "error_percent": round(self.error_percent, 3),
                "response_ms": None if self.response_ms is None else round(self.response_ms, 1)}


@dataclass(frozen=True)
class Limits:
    """The limits of a good verdict: errors in percent, response times as a factor of the others' (0: none) plus milliseconds, and the fewest requests."""

    max_error_percent: float = 1.0
    max_latency_factor: float = 2.0
    latency_slack_ms: float = 50.0
    min_requests: int = 10


def analysis(canary: Sample, others: Sample, limits: Limits) -> tuple[str, list[str]]:
    """`GOOD`, `BAD` or `UNCLEAR`, and why it is not good, a sentence for each reason."""
    if canary.requests < limits.min_requests:
        return UNCLEAR, [f"{canary.requests} requests came, and a verdict needs {limits.min_requests}: soak for longer, or lower min_requests"]
    reasons = []
    if canary.error_percent > limits.max_error_percent:
        reasons.append(f"{canary.errors} of {canary.requests} requests failed ({canary.error_percent:.3g} %), and {limits.max_error_percent:g} % are allowed "
                       f"(the others: {others.error_percent:.3g} %)")
    if limits.max_latency_factor and canary.response_ms is not None and others.response_ms is not None and others.requests:
        most = others.response_ms * limits.max_latency_factor + limits.latency_slack_ms
        if canary.response_ms > most:
            reasons.append(f"answers took {canary.response_ms:.0f} ms on average, and {most:.0f} ms are allowed "
                           f"({others.response_ms:.0f} ms of the others, times {limits.max_latency_factor:g}, plus {limits.latency_slack_ms:g} ms)")
    return (BAD, reasons) if reasons else (GOOD, [])


class Watch:
    """What one load balancer counts from its first look on.

    A reload or a restart resets the counters, so each process is counted separately. Requests between the last look at a process and its end are not seen.
    """

    def __init__(self, view: View, backend: str) -> None:
        self._backend, self._process = backend, view.process
        # Of each process its counters at the first look, none at all of one that began in the meantime, and at the last look.
        self._parts: list[tuple[Backend, Backend]] = [(view.backends[backend],) * 2]

    @property
    def first(self) -> Backend:
        """The pool at the first look."""
        return self._parts[0][0]

    @property
    def last(self) -> Backend:
        """The pool at the last look."""
        return self._parts[-1][1]

    def look(self, view: View) -> None:
        """Take in another look."""
        pool = view.backends[self._backend]
        if view.process != self._process or _went_down(self.last, pool):
            self._process = view.process
            self._parts.append((Backend({}), pool))
        else:
            self._parts[-1] = (self._parts[-1][0], pool)

    def samples(self, name: str) -> list[Sample]:
        """What a member did, a sample for each process."""
        return [between(first.members.get(name, NOTHING), last.members[name]) for first, last in self._parts if name in last.members]


def _went_down(before: Backend, after: Backend) -> bool:
    """Whether counters were reset; not every load balancer reports which process counts."""
    return any(member.arrivals < before.members[name].arrivals for name, member in after.members.items() if name in before.members)


def sampled(watches: Iterable[Watch], names: Iterable[str]) -> Sample:
    """What members did in that while, on all load balancers together."""
    wanted = list(names)
    parts = [part for watch in watches for name in wanted for part in watch.samples(name)]
    requests = sum(part.requests for part in parts)
    timed = [(part.requests, part.response_ms) for part in parts if part.requests and part.response_ms is not None]
    weight = sum(number for number, _milliseconds in timed)
    average = sum(number * milliseconds for number, milliseconds in timed) / weight if weight else None
    return Sample(requests, sum(part.errors for part in parts), average)


def between(before: Member, after: Member) -> Sample:
    """The same of one member in one process."""
    requests = after.arrivals - before.arrivals
    return Sample(requests, max(0, (after.errors or 0) - (before.errors or 0)), response_ms(before.response_ms, before.arrivals, after.response_ms, requests))


def response_ms(before: float | None, count_before: int, after: float | None, requests: int) -> float | None:
    """The mean response time of so many requests, from the sliding averages before and after them; None when it is not reported."""
    if after is None or requests <= 0:
        return None
    if before is None or count_before == 0:
        return after
    if count_before + requests <= WINDOW:
        return max(0.0, (after * (count_before + requests) - before * count_before) / requests)
    moved = 1.0 - (1.0 - 1.0 / WINDOW) ** requests
    return max(0.0, before + (after - before) / moved)


def uncounted(pools: Mapping[str, Backend], names: Iterable[str]) -> list[str]:
    """The load balancers that do not report how many requests of these members failed."""
    wanted = list(names)
    return [balancer for balancer, pool in pools.items() if any(pool.members[name].errors is None for name in wanted)]
