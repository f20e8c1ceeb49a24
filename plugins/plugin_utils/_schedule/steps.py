# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Methods as data: cumulative steps of a roll, each taking its share of every failure domain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate

from .limits import PREFIX, ScheduleError, resolve_count

# Members that name no pool are in one.
DEFAULT_POOL = "the pool"
# A server without a second one: it stays in the pool while its release is switched, and the load balancer holds what comes meanwhile.
IN_PLACE = "in_place"
NAMED_STEPS = {
    "rolling": ("100%",),
    "half_pool": ("50%", "100%"),
    "canary": (1, "10%", "50%", "100%"),
    # The side that has no traffic, at once.
    "blue_green": ("100%",),
    IN_PLACE: ("100%",),
}


@dataclass(frozen=True)
class Member:
    """One server of a pool, as observed before the roll.

    ``expected_s`` is how long its upgrade took last time (0 when unknown); ``in_traffic`` is what the load balancers
    say; ``step`` pins it to a step (0 is the first), otherwise the scheduler chooses.
    """

    name: str
    domain: str | None = None
    in_traffic: bool = True
    expected_s: float = 0.0
    step: int | None = None
    pool: str = DEFAULT_POOL


def named_steps(value: object) -> tuple[int | str, ...]:
    """Resolve a method's name or a list to cumulative steps.

    :raises ScheduleError: when *value* is neither a known name nor a non-empty list.
    """
    if isinstance(value, str) and value in NAMED_STEPS:
        return NAMED_STEPS[value]
    if isinstance(value, (list, tuple)) and value:
        return tuple(value)
    raise ScheduleError(f"rolling_steps is {value!r}: give a list such as [1, '10%', '100%'] or one of {', '.join(NAMED_STEPS)}")


def cumulative_sizes(steps: tuple[int | str, ...], total: int, pool_size: int, prefix: str = PREFIX) -> list[int]:
    """How many of *total* members are in each step and those before it: rounded up, and never more than there are.

    The steps are planned for the whole pool: a size that is allowed there is allowed for the members that are left of it, too.

    :raises ScheduleError: when the steps of the whole pool get smaller, or the last one is not all of it.
    """
    of_pool = [min(pool_size, resolve_count(step, pool_size, name=f"{prefix}steps", round_up=True)) for step in steps]
    if of_pool != sorted(of_pool) or of_pool[-1] < pool_size:
        raise ScheduleError(f"{prefix}steps is {list(steps)!r}: steps are cumulative and the last one is the whole pool")
    return list(accumulate((min(total, resolve_count(step, total, name=f"{prefix}steps", round_up=True)) for step in steps), max))


def split_into_steps(members: list[Member], steps: tuple[int | str, ...], pool_size: int | None = None, prefix: str = PREFIX) -> dict[str, int]:
    """Give every member a step (name to index) so that each step takes its share of every failure domain.

    Members that are out of traffic already come first: taking them costs no capacity. Pinned members keep their step.
    *pool_size*: of the whole pool, when *members* are those of it that are left to do. *prefix*: see `Limits`.
    """
    sizes = cumulative_sizes(steps, len(members), len(members) if pool_size is None else pool_size, prefix)
    chosen = {member.name: member.step for member in members if member.step is not None}
    beyond = next((member for member in members if member.step is not None and not 0 <= member.step < len(sizes)), None)
    if beyond:
        raise ScheduleError(f"{prefix}step of {beyond.name} is {beyond.step}: the steps count from 0 to {len(sizes) - 1}")
    taken = Counter(chosen.values())
    queue = iter(_interleave_domains([member for member in members if member.step is None]))
    filled = 0
    for index, size in enumerate(sizes):
        filled += taken[index]
        for member in queue if filled < size else ():
            chosen[member.name] = index
            filled += 1
            if filled >= size:
                break
    return chosen


def _interleave_domains(members: list[Member]) -> list[Member]:
    """Out of traffic first, then the domains spread evenly by their sizes, so that every prefix and every rest covers them."""
    size = Counter(member.domain for member in members)
    turn: Counter[str | None] = Counter()
    keyed = []
    for member in sorted(members, key=_by_readiness):
        share = (turn[member.domain] + 0.5) / size[member.domain]
        keyed.append((member.in_traffic, share, member.domain or "", member.name, member))
        turn[member.domain] += 1
    return [entry[-1] for entry in sorted(keyed, key=lambda entry: entry[:-1])]


def _by_readiness(member: Member) -> tuple[bool, float, str]:
    return (member.in_traffic, -member.expected_s, member.name)
