# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether members that were upgraded do as well as the others, judged by what the load balancers counted of both. Pure.

HAProxy's response time is a sliding average: with each request it moves by a 512th towards that request's time (``swrate_add`` of its source, with
``TIME_STATS_SAMPLES``), and is the plain average before so many requests have come. So what the requests of a while took follows from the averages
before and after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Mapping, Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import Backend, Member

WINDOW = 512
GOOD, BAD, UNCLEAR = "good", "bad", "unclear"


@dataclass(frozen=True)
class Sample:
    """What became of the requests of a while: their number, how many failed, and how long the answers took on average, None when that is not told."""

    requests: int
    errors: int
    response_ms: float | None

    @property
    def error_percent(self) -> float:
        return 100.0 * self.errors / self.requests if self.requests else 0.0

    def as_data(self) -> dict:
        """For a module's result."""
        return {"requests": self.requests, "errors": self.errors, "error_percent": round(self.error_percent, 3),
                "response_ms": None if self.response_ms is None else round(self.response_ms, 1)}


@dataclass(frozen=True)
class Limits:
    """What is still good: errors in percent, response times as a factor of the others' and milliseconds on top of that (0: not judged), on so many requests."""

    max_error_percent: float = 1.0
    max_latency_factor: float = 2.0
    latency_slack_ms: float = 50.0
    min_requests: int = 10


def judged(canary: Sample, others: Sample, limits: Limits) -> tuple[str, list[str]]:
    """`GOOD`, `BAD` or `UNCLEAR`, and why it is not good, a sentence for each reason."""
    if canary.requests < limits.min_requests:
        return UNCLEAR, [f"{canary.requests} requests came, and a verdict needs {limits.min_requests}: soak for longer, or lower min_requests"]
    reasons = []
    if canary.error_percent > limits.max_error_percent:
        reasons.append(f"{canary.errors} of {canary.requests} requests failed, {canary.error_percent:.3g} %, and {limits.max_error_percent:g} % may "
                       f"(of the others {others.error_percent:.3g} %)")
    if limits.max_latency_factor and canary.response_ms is not None and others.response_ms is not None and others.requests:
        most = others.response_ms * limits.max_latency_factor + limits.latency_slack_ms
        if canary.response_ms > most:
            reasons.append(f"answers took {canary.response_ms:.0f} ms on average, and {most:.0f} ms may be "
                           f"({others.response_ms:.0f} ms of the others, times {limits.max_latency_factor:g}, and {limits.latency_slack_ms:g} ms)")
    return (BAD, reasons) if reasons else (GOOD, [])


def sampled(before: Sequence[Backend], after: Sequence[Backend], names: Iterable[str]) -> Sample:
    """What members did between two looks, on all load balancers together."""
    parts = [between(earlier.members[name], later.members[name]) for name in names for earlier, later in zip(before, after)]
    requests = sum(part.requests for part in parts)
    timed = [part for part in parts if part.requests and part.response_ms is not None]
    weight = sum(part.requests for part in timed)
    average = sum(part.response_ms * part.requests for part in timed) / weight if weight else None
    return Sample(requests, sum(part.errors for part in parts), average)


def between(before: Member, after: Member) -> Sample:
    """The same of one member on one load balancer. Counters that went down were reset by a reload: what they count now came after that."""
    was_reset = after.arrivals < before.arrivals
    began, failed, average = (0, 0, None) if was_reset else (before.arrivals, before.errors or 0, before.response_ms)
    requests = after.arrivals - began
    return Sample(requests, max(0, (after.errors or 0) - failed), response_ms(average, began, after.response_ms, requests))


def response_ms(before: float | None, count_before: int, after: float | None, requests: int) -> float | None:
    """How long so many requests took on average, from the sliding averages before and after them; None when that is not told."""
    if after is None or requests <= 0:
        return None
    if before is None or count_before == 0:
        return after
    if count_before + requests <= WINDOW:
        return max(0.0, (after * (count_before + requests) - before * count_before) / requests)
    moved = 1.0 - (1.0 - 1.0 / WINDOW) ** requests
    return max(0.0, before + (after - before) / moved)


def uncounted(pools: Mapping[str, Backend], names: Iterable[str]) -> list[str]:
    """The load balancers that do not tell how many requests of these members failed."""
    wanted = list(names)
    return [balancer for balancer, pool in pools.items() if any(pool.members[name].errors is None for name in wanted)]
