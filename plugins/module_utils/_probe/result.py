# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a record of requests to its figures: percentiles, seconds, the void ones, and the final result. Pure.

A second is void in which the prober itself was late (send lag p99 above 100 ms) or could not send: what it says about latency is partly about
the prober. Its latencies are left out of every percentile. Its failures stay failures; what was not measured is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .plan import Plan, first_request_of_second
from .record import FAILURES, OK, PENDING, TIMEOUT, UNMEASURED, Record

VOID_SEND_LAG = 0.1
PERCENTILES = {"p50": 50, "p99": 99, "p100": 100}


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least `percent` % of the ascending values do not exceed (nearest rank); None without values."""
    if not ordered:
        return None
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def percentiles_ms(seconds: Iterable[float]) -> dict[str, float | None]:
    """{p50, p99, p100} in milliseconds."""
    ordered = sorted(seconds)
    return {name: _milliseconds(percentile(ordered, percent)) for name, percent in PERCENTILES.items()}


def bound_95(requests: int, failed: int) -> float | None:
    """With no failure among N requests, the share of failures is below 3/N with 95 % confidence. None when there was one."""
    return 3 / requests if requests and not failed else None


class Windows:
    """The seconds of a run, one row each. Rows of seconds in which everything has ended are computed once."""

    def __init__(self, plan: Plan, record: Record, started: float) -> None:
        self._plan = plan
        self._record = record
        self._started = started
        self._complete: list[dict[str, Any]] = []

    def rows(self) -> list[dict[str, Any]]:
        """All rows up to the newest request, the last ones still changing.

        Each is {t, scheduled, failed, unmeasured, p50, p99, p100, versions, send_lag_p99_ms, void}, with t in epoch seconds.
        """
        scheduled = self._record.scheduled
        seconds = int((scheduled - 1) / self._plan.rate) + 1 if scheduled else 0
        while len(self._complete) < seconds and self._is_complete(len(self._complete)):
            self._complete.append(self._row(len(self._complete)))
        return self._complete + [self._row(second) for second in range(len(self._complete), seconds)]

    def requests_of(self, second: int) -> range:
        """The numbers of the requests meant for this second."""
        first, behind = (first_request_of_second(edge, self._plan.rate) for edge in (second, second + 1))
        return range(min(first, self._record.scheduled), min(behind, self._record.scheduled))

    def _is_complete(self, second: int) -> bool:
        """True when nothing about this second can change: all its requests were scheduled, and all have ended."""
        if first_request_of_second(second + 1, self._plan.rate) > self._record.scheduled:
            return False
        requests = self.requests_of(second)
        return PENDING not in self._record.outcome[requests.start:requests.stop]

    def _row(self, second: int) -> dict[str, Any]:
        requests = self.requests_of(second)
        outcomes = self._record.outcome[requests.start:requests.stop]
        lag = percentile(sorted(self._record.lag[requests.start:requests.stop]), 99)
        unmeasured = sum(outcomes.count(outcome) for outcome in UNMEASURED)
        void = bool(unmeasured) or (lag is not None and lag > VOID_SEND_LAG)
        return {
            "t": round(self._started + second, 3),
            "scheduled": len(requests),
            "failed": len(outcomes) - outcomes.count(OK) - outcomes.count(PENDING) - unmeasured,
            "unmeasured": unmeasured,
            **percentiles_ms(() if void else measured_latencies(self._record, requests)),
            "versions": self._versions_of(requests),
            "send_lag_p99_ms": _milliseconds(lag),
            "void": void,
        }

    def _versions_of(self, requests: range) -> dict[str, int]:
        numbers = self._record.version[requests.start:requests.stop]
        counted = ((name, numbers.count(number)) for number, name in enumerate(self._record.version_names) if name)
        return {name: count for name, count in counted if count}


def measured_latencies(record: Record, requests: range) -> list[float]:
    """Seconds of what was answered as expected, and of what was given up (at the objective, so a stall cannot hide)."""
    pairs = zip(record.outcome[requests.start:requests.stop], record.latency[requests.start:requests.stop])
    return [latency for outcome, latency in pairs if outcome in (OK, TIMEOUT)]


def void_windows(rows: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """The void seconds as [{from, to, send_lag_p99_ms}], those in a row joined; times in epoch seconds."""
    found: list[dict[str, float]] = []
    previous = None
    for row in rows:
        if row["void"] and previous is not None and previous["void"]:
            found[-1]["to"] = round(row["t"] + 1, 3)
            found[-1]["send_lag_p99_ms"] = max(found[-1]["send_lag_p99_ms"], row["send_lag_p99_ms"])
        elif row["void"]:
            found.append({"from": row["t"], "to": round(row["t"] + 1, 3), "send_lag_p99_ms": row["send_lag_p99_ms"]})
        previous = row
    return found


def live_figures(plan: Plan, record: Record, rows: Sequence[dict[str, Any]], recent: int = 60) -> dict[str, Any]:
    """The figures so far, for a screen: totals, and the last `recent` seconds as rows."""
    return {
        "rate": plan.rate,
        "objective_seconds": plan.objective,
        "requests_scheduled": record.scheduled,
        "requests_pending": record.pending,
        "requests_failed": record.failed,
        "requests_unmeasured": record.unmeasured,
        "failures_by_class": record.failures_by_class,
        "version_regressions": len(record.regressed_clients),
        "clients": plan.clients,
        "versions": record.versions,
        "latency_max_ms": _milliseconds(record.max_latency),
        "void_seconds": sum(row["void"] for row in rows),
        "series": list(rows[-recent:]),
    }


def final_figures(plan: Plan, record: Record, windows: Windows) -> dict[str, Any]:
    """The figures of a run in which every request has ended."""
    rows = windows.rows()
    by_kind, overall = _latencies_by_kind(plan, record, windows, rows)
    measured = record.scheduled - record.unmeasured
    return {
        "rate": plan.rate,
        "targets": [target.url for target in plan.targets],
        "objective_seconds": plan.objective,
        "requests_scheduled": record.scheduled,
        "requests_failed": record.failed,
        "requests_unmeasured": record.unmeasured,
        "availability": 1 - record.failed / measured if measured else None,
        "failures_by_class": record.failures_by_class,
        "unmeasured_by_class": record.unmeasured_by_class,
        "version_regressions": len(record.regressed_clients),
        "version_regression_answers": record.regressions,
        "clients": plan.clients,
        "latency_ms": percentiles_ms(overall),
        "bound_95": bound_95(measured, record.failed),
        "void_windows": void_windows(rows),
        "send_lag_p99_ms": _milliseconds(percentile(sorted(record.lag), 99)),
        "versions": record.versions,
        "by_kind": by_kind,
        "series": rows,
    }


def _latencies_by_kind(plan: Plan, record: Record, windows: Windows, rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[float]]:
    """{kind: {scheduled, failed, p50, p99, p100}}, and all latencies that count."""
    kinds = plan.kinds_in_turn
    scheduled, failed = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    latencies: dict[str, list[float]] = {kind: [] for kind in scheduled}
    for second, row in enumerate(rows):
        for index in windows.requests_of(second):
            kind, outcome = kinds[index % len(kinds)], record.outcome[index]
            scheduled[kind] += 1
            failed[kind] += outcome in FAILURES
            if outcome in (OK, TIMEOUT) and not row["void"]:
                latencies[kind].append(record.latency[index])
    summary = {kind: {"scheduled": scheduled[kind], "failed": failed[kind], **percentiles_ms(latencies[kind])} for kind in scheduled}
    return summary, [latency for measured in latencies.values() for latency in measured]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
