# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least time that the members' own outages allow, whatever the order: what a run is measured against.

A member's outage *o* is what its own work takes: draining, upgrading, smoke test, returning. With at most *k* members out at once no
schedule is faster than ``max(sum(o) / k, max(o))``; half-pool runs each half at once, so it is the longest of the one plus the longest of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .facts import number, seconds_between

WAITING = "waiting"
HALF_POOL = "half_pool"
STRANDED = ("left_out", "lost")  # outcomes of a member that is still out of traffic


def outage(member: Mapping[str, Any]) -> float | None:
    """The seconds that the member's own work took; None when nothing was measured.

    The stages' sum when there are stages, because a finished member of the first half waits out of traffic for the flip
    and that wait is no work on it; otherwise the seconds out of traffic.
    """
    stages = [
        seconds_between(stage.get("started"), stage.get("finished")) for stage in member.get("stages") or () if not is_waiting(stage.get("name"))
    ]
    measured = [seconds for seconds in stages if seconds is not None]
    return round(sum(measured), 3) if measured else number(member.get("seconds_out"))


def is_waiting(stage: object) -> bool:
    """Whether a stage of this name is waiting for others rather than work."""
    return str(stage or "").lower().startswith(WAITING)


def duration_floor(members: Iterable[Mapping[str, Any]], *, method: str | None, at_once: int | None) -> float | None:
    """The least seconds for these members; None when no outage was measured.

    :param at_once: k of a rolling run. Unknown, only the longest single outage is certain.
    """
    outages = [(member.get("step"), seconds) for member in members if (seconds := outage(member))]
    if not outages:
        return None
    if method == HALF_POOL:
        longest: dict[object, float] = {}
        for step, seconds in outages:
            longest[step] = max(seconds, longest.get(step, 0.0))
        return round(sum(longest.values()), 3)
    everyone = [seconds for _step, seconds in outages]
    return round(max(*everyone, sum(everyone) / at_once if at_once else 0.0), 3)
