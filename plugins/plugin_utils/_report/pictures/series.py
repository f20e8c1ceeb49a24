# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one row per second to as many as a picture can show, without hiding the worst second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .frame import STEPS


def thinned(series: Sequence[Mapping[str, Any]], most: int) -> tuple[list[dict[str, Any]], float]:
    """At most *most* rows in the order of time, and the seconds that each covers.

    Counts are summed; of p50 the median is kept, of p99 and p100 the worst, so that a long run's picture still shows its worst second.
    A stretch without any row stays a gap.
    """
    if not series:
        return [], 1.0
    ordered = sorted(series, key=lambda row: row["t"])
    span = ordered[-1]["t"] - ordered[0]["t"] + 1
    width = next((step for step in STEPS if span / step <= most), span / most)
    buckets: dict[int, list[Mapping[str, Any]]] = {}
    for row in ordered:
        buckets.setdefault(int((row["t"] - ordered[0]["t"]) // width), []).append(row)
    return [_merged(ordered[0]["t"] + index * width, rows) for index, rows in buckets.items()], float(width)


def _merged(moment: float, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    versions: Counter[str] = Counter()
    for row in rows:
        versions.update(row["versions"])
    return {
        "t": moment,
        "scheduled": sum(row["scheduled"] or 0 for row in rows),
        "failed": sum(row["failed"] or 0 for row in rows),
        "p50": median(_known(rows, "p50")) if _known(rows, "p50") else None,
        "p99": max(_known(rows, "p99"), default=None),
        "p100": max(_known(rows, "p100"), default=None),
        "versions": dict(versions),
    }


def _known(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows if row[name] is not None]


def unbroken(rows: Sequence[Mapping[str, Any]], width: float, *names: str) -> list[list[Mapping[str, Any]]]:
    """The rows in stretches that have no gap and know every one of these values."""
    stretches: list[list[Mapping[str, Any]]] = []
    previous = None
    for row in rows:
        if any(row[name] is None for name in names):
            previous = None
            continue
        if previous is None or row["t"] - previous["t"] > width * 1.5:
            stretches.append([])
        stretches[-1].append(row)
        previous = row
    return stretches
