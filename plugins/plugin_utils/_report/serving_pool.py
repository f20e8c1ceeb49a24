# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue-green: which pool had the traffic when, and its capacity. Users do not notice what happens to the other pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from .._plan.shapes import Figures, ServedCapacity


def serving_at(report: Figures, moment: float) -> str | None:
    """The pool that had the traffic then; None when all traffic never moves between pools."""
    return next((row["pool"] for row in reversed(report["serving"]) if row["since"] is None or row["since"] <= moment), None)


def serves(report: Figures, member: Mapping[str, Any], begins: float, ends: float) -> Iterator[tuple[float, float, bool]]:
    """The stretches of this time, and whether users reached the member's pool in each."""
    edges = sorted({begins, ends, *(row["since"] for row in report["serving"] if row["since"] is not None and begins < row["since"] < ends)})
    for start, end in zip(edges, edges[1:]):
        yield start, end, not report["serving"] or serving_at(report, start) == member["pool"]


def without_traffic(report: Figures, member: Mapping[str, Any]) -> bool:
    """Whether the member's pool had no traffic while it was worked on."""
    out, back = member["out_at"], member["in_at"]
    return bool(report["serving"]) and None not in (out, back) and not any(users for _from, _to, users in serves(report, member, out, back))


def capacity_that_serves(report: Figures) -> ServedCapacity:
    """``capacity`` and ``live_min`` of the pool that had the traffic at each moment, by each load balancer; nothing has to be kept free in it."""
    pools = report["capacity_pools"]
    capacity = []
    for row in report["capacity"]:
        pool = serving_at(report, row["t"]) if row["t"] is not None else None
        capacity.append({"t": row["t"], "live": {name: live for name, live in row["live"].items() if pools.get(name, pool) == pool}})
    live = [min(row["live"].values()) for row in capacity if row["live"]]
    return {"capacity": capacity, "live_min": min(live, default=None), "live_floor": None}


def worked_on(report: Figures) -> dict[str, Mapping[str, Any]]:
    """The members that the run was about: of blue-green those of one pool, else all."""
    return {name: member for name, member in report["members"].items() if report["pool"] is None or member["pool"] == report["pool"]}
