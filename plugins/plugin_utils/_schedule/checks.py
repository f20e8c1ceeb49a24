# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, or warned of, before a roll starts: variables that would not be read, and floors that leave no room for the policy. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable
from typing import Any

from .limits import ScheduleError
from .scheduler import Schedule
from .variables import PREFIX, known_variables

# Facts that the strategy leaves on the hosts.
FACTS = ("rolling_seconds", "rolling_stopped")
# So similar, behind the prefix, that it is a typing error and not a variable of the user's own.
ALIKE = 0.8


def refuse_keywords(play: Any) -> None:
    """Refuse keywords of the play that set an order or limits themselves.

    :raises ScheduleError: for the first that the play has.
    """
    for keyword in ("serial", "order"):
        if getattr(play, keyword):
            raise ScheduleError(f"alwayson.upgrade.rolling replaces {keyword}: remove {keyword} from the play; "
                                "rolling_max_unavailable, rolling_domain and rolling_expected_s decide who goes when")


def refuse_misspelt(names: Iterable[str]) -> None:
    """A misspelt variable would silently leave its default in force.

    :raises ScheduleError: for the first unknown name that resembles a known one.
    """
    known = [name.removeprefix(PREFIX) for name in known_variables()]
    for name in sorted(set(names).difference(known_variables(), FACTS)):
        meant = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=ALIKE)
        if meant:
            raise ScheduleError(f"{name} is not a variable of a roll: did you mean {PREFIX}{meant[0]}? "
                                "If it is a variable of your own, give it another name")


def refuse_without_way_back(schedule: Schedule, seen: Collection[str]) -> None:
    """Once the budget is spent, taking a member back must leave the floor, or no member could ever return.

    :param seen: the pools whose live members are read from load balancers: there a failed member may be live again.
    :raises ScheduleError: with the floor that leaves room.
    """
    if schedule.policy.on_failure != "rollback":
        return
    for pool in schedule.pools.values():
        room = max(0, pool.size - schedule.budget - 2)
        if pool.name not in seen and pool.floor > room:
            raise ScheduleError(
                f"rolling_on_failure is rollback, but the floor of {pool.name} is {pool.floor} of {pool.size}: once {_members(schedule.budget + 1)} failed, "
                f"no member could leave traffic to return to the previous release. Set rolling_min_live to at most {room}, or give rolling_live")


def room_warnings(schedule: Schedule, seen: Collection[str]) -> list[str]:
    """Floors that stop the roll before its budget does, which the user may not expect."""
    if not schedule.budget:
        return []
    return [f"rolling_max_failures allows {schedule.budget}, but a failed member is not live: after the first one the floor of {pool.floor} of {pool.size} "
            f"lets no member of {pool.name} start. Set rolling_min_live to at most {pool.size - 2} to use the budget"
            for pool in schedule.pools.values() if pool.name not in seen and pool.size > 1 and pool.floor > pool.size - 2]


def budget_of(play: Any, errors_are_fatal: bool, hosts: int) -> int | None:
    """What the keywords of a play and of its tasks say about failures; None when they say nothing."""
    if play.any_errors_fatal or errors_are_fatal:
        return 0
    return None if play.max_fail_percentage is None else budget_of_percentage(play.max_fail_percentage, hosts)


def budget_of_percentage(percentage: float, hosts: int) -> int:
    """What ``max_fail_percentage`` means for the whole run: the most failures that do not exceed it."""
    return math.floor(hosts * percentage / 100)


def _members(count: int) -> str:
    return "one member" if count == 1 else f"{count} members"
