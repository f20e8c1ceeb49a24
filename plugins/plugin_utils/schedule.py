# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may leave traffic now, or why nobody may.

The same scheduler runs the fleet, predicts the plan and is simulated in tests. It reads no clock and does no I/O:
what happened is told to it (``started``, ``finished``), what is observed is an argument (``live``), and it answers
with a ``Decision``. The live capacity it protects counts a member once it is *seen* in traffic on the load balancers
and not in flight, so a member that was admitted but has not left yet is never counted on.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field

OUTCOMES = ("ok", "failed", "lost")
NAMED_STEPS = {
    "rolling": ("100%",),
    "half_pool": ("50%", "100%"),
    "canary": (1, "10%", "50%", "100%"),
}
_COUNT = re.compile(r"^(\d+)(%?)$")


class ScheduleError(ValueError):
    """A limit or a step that cannot be honoured; the message names the variable and what it may be."""


def resolve_count(value: int | str, total: int, *, name: str, round_up: bool = False) -> int:
    """Turn a number or a percentage of *total* into a number of members.

    Rounding follows Kubernetes: what is taken away rounds down, what is demanded (``round_up``) rounds up.

    :raises ScheduleError: when *value* is neither a number nor a percentage from 0 to 100.
    """
    match = _COUNT.match(str(value).strip()) if not isinstance(value, bool) else None
    if match is None:
        raise ScheduleError(f"{name} is {value!r}: give a number of members or a percentage such as '25%'")
    number = int(match[1])
    if not match[2]:
        return number
    if number > 100:
        raise ScheduleError(f"{name} is {value!r}: a percentage goes from 0% to 100%")
    exact = total * number / 100
    return math.ceil(exact) if round_up else math.floor(exact)


@dataclass(frozen=True)
class Member:
    """One server of the pool, as observed before the roll.

    ``expected_s`` is how long its upgrade took last time (0 when unknown); ``in_traffic`` is what the load balancers
    say; ``step`` pins it to a step (0 is the first), otherwise the scheduler chooses.
    """

    name: str
    domain: str | None = None
    in_traffic: bool = True
    expected_s: float = 0.0
    step: int | None = None


@dataclass(frozen=True)
class Limits:
    """What the roll may never do. Numbers or percentages of the pool; see the strategy's documentation."""

    max_unavailable: int | str = 1
    min_live: int | str | None = None
    max_per_domain: int | None = None
    domains_at_once: int | None = None
    steps: tuple[int | str, ...] = ("100%",)
    max_failures: int | str = 0
    on_failure: str = "stop"

    def window(self, pool_size: int) -> int:
        """How many members may be in flight: rounded down, at least one."""
        return max(1, resolve_count(self.max_unavailable, pool_size, name="rolling_max_unavailable"))

    def floor(self, pool_size: int) -> int:
        """How many members stay live: rounded up; by default all but the window."""
        if self.min_live is None:
            return max(0, pool_size - self.window(pool_size))
        floor = resolve_count(self.min_live, pool_size, name="rolling_min_live", round_up=True)
        if floor > pool_size:
            raise ScheduleError(f"rolling_min_live is {self.min_live!r}: the pool has only {pool_size} members")
        return floor

    def failure_budget(self, pool_size: int) -> int:
        """How many members may fail or be lost before the roll stops."""
        if self.on_failure not in ("stop", "skip"):
            raise ScheduleError(f"rolling_on_failure is {self.on_failure!r}: give 'stop' or 'skip'")
        if self.on_failure == "skip":
            return pool_size
        return resolve_count(self.max_failures, pool_size, name="rolling_max_failures")


@dataclass(frozen=True)
class Decision:
    """``start``: the members that may start now, in order; when empty, ``reason`` says why nobody may."""

    start: tuple[str, ...]
    reason: str = ""
    stopped: bool = False


def named_steps(value: object) -> tuple[int | str, ...]:
    """Resolve a method's name or a list to cumulative steps.

    :raises ScheduleError: when *value* is neither a known name nor a non-empty list.
    """
    if isinstance(value, str) and value in NAMED_STEPS:
        return NAMED_STEPS[value]
    if isinstance(value, (list, tuple)) and value:
        return tuple(value)
    raise ScheduleError(f"rolling_steps is {value!r}: give a list such as [1, '10%', '100%'] or one of {', '.join(NAMED_STEPS)}")


def split_into_steps(members: list[Member], steps: tuple[int | str, ...]) -> dict[str, int]:
    """Give every member a step (name to index) so that each step takes its share of every failure domain.

    Members that are out of traffic already come first: taking them costs no capacity. Pinned members keep their step.
    """
    total = len(members)
    sizes = [resolve_count(step, total, name="rolling_steps", round_up=True) for step in steps]
    if sizes != sorted(sizes) or sizes[-1] < total:
        raise ScheduleError(f"rolling_steps is {list(steps)!r}: steps are cumulative and the last one is the whole pool")
    chosen = {member.name: member.step for member in members if member.step is not None}
    queue = _interleave_domains([member for member in members if member.step is None])
    for index, size in enumerate(sizes):
        while queue and sum(1 for step in chosen.values() if step <= index) < size:
            chosen[queue.pop(0).name] = index
    return chosen


def _interleave_domains(members: list[Member]) -> list[Member]:
    """Out of traffic first, then one member of each domain in turn, so that every prefix covers the domains evenly."""
    turn: Counter[str | None] = Counter()
    keyed = []
    for member in sorted(members, key=_by_readiness):
        keyed.append((member.in_traffic, turn[member.domain], member.domain or "", member.name, member))
        turn[member.domain] += 1
    return [entry[-1] for entry in sorted(keyed, key=lambda entry: entry[:-1])]


def _by_readiness(member: Member) -> tuple[bool, float, str]:
    return (member.in_traffic, -member.expected_s, member.name)


@dataclass
class Schedule:
    """A roll under way: the members, the limits, and what has happened so far.

    ``pool`` is every member of the pool; ``pending`` the ones still to be upgraded, in order.
    """

    pool: list[Member]
    limits: Limits
    pending: list[str] = field(default_factory=list)
    in_flight: list[str] = field(default_factory=list)
    outcome: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [member.name for member in self.pool]
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            raise ScheduleError(f"member {repeated[0]} is in the pool twice: give each member one name")
        self._members = {member.name: member for member in self.pool}
        self.window = self.limits.window(len(self.pool))
        self.floor = self.limits.floor(len(self.pool))
        self.budget = self.limits.failure_budget(len(self.pool))
        wanted = set(self.pending or names)
        queue = [member for member in self.pool if member.name in wanted]
        self.step_of = split_into_steps(queue, self.limits.steps) if queue else {}
        self.pending = [member.name for member in sorted(queue, key=self._order)]

    def _order(self, member: Member) -> tuple[int, bool, str, float, str]:
        """Step by step; within one: out of traffic first, one domain at a time, longest expected duration first."""
        return (self.step_of[member.name], member.in_traffic, member.domain or "", -member.expected_s, member.name)

    # -- what happened

    def started(self, name: str) -> None:
        """A pending member starts its upgrade."""
        self.pending.remove(name)
        self.in_flight.append(name)

    def finished(self, name: str, outcome: str) -> None:
        """A member left its upgrade: ok, failed, or lost (unreachable). Also for members that never could start."""
        if outcome not in OUTCOMES:
            raise ScheduleError(f"outcome of {name} is {outcome!r}: one of {', '.join(OUTCOMES)}")
        for queue in (self.in_flight, self.pending):
            if name in queue:
                queue.remove(name)
        self.outcome[name] = outcome

    # -- what follows from it

    @property
    def unsuccessful(self) -> list[str]:
        """The members that failed or were lost, in the order in which it was known."""
        return [name for name, outcome in self.outcome.items() if outcome != "ok"]

    @property
    def stop_reason(self) -> str:
        """Why nobody starts any more, or an empty string."""
        gone = self.unsuccessful
        if len(gone) <= self.budget:
            return ""
        told = ", ".join(f"{name} {'was lost' if self.outcome[name] == 'lost' else 'failed'}" for name in gone)
        return f"{told}; rolling_max_failures allows {self.budget}"

    @property
    def current_step(self) -> int | None:
        """The lowest step that still has a member to finish."""
        return min((self.step_of[name] for name in [*self.in_flight, *self.pending]), default=None)

    def assumed_live(self) -> frozenset[str]:
        """Who is live when no load balancer can be asked: in traffic at the start or upgraded since, and not gone."""
        gone = set(self.unsuccessful)
        return frozenset(name for name, member in self._members.items()
                         if name not in gone and (member.in_traffic or self.outcome.get(name) == "ok"))

    def decide(self, live: frozenset[str] | None = None) -> Decision:
        """Who may start now, given the names of the members *seen* in traffic on every load balancer.

        Without ``live`` the scheduler assumes (see ``assumed_live``).
        """
        if self.stop_reason:
            return Decision((), self.stop_reason, stopped=True)
        seen = self.assumed_live() if live is None else live
        start: list[str] = []
        reason = "" if self.pending else "every member has started"
        for name in self.pending:
            refusal = self._refusal(name, start, seen)
            if refusal:
                reason = reason or refusal
                continue
            start.append(name)
        return Decision(tuple(start), "" if start else reason)

    def _refusal(self, name: str, starting: list[str], live: frozenset[str]) -> str:
        """Why *name* may not start beside those in flight and those about to, or an empty string."""
        busy = [*self.in_flight, *starting]
        if len(busy) >= self.window:
            return f"{len(busy)} members are in flight; rolling_max_unavailable allows {self.window}"
        if self.step_of[name] != self.current_step:
            return f"{name} belongs to step {self.step_of[name] + 1}; step {(self.current_step or 0) + 1} is not finished"
        return self._domain_refusal(name, busy) or self._floor_refusal(name, busy, live)

    def _domain_refusal(self, name: str, busy: list[str]) -> str:
        domain = self._members[name].domain
        domains = Counter(self._members[other].domain for other in busy)
        if self.limits.max_per_domain is not None and domains[domain] >= self.limits.max_per_domain:
            return f"{domains[domain]} members of {domain} are in flight; rolling_max_per_domain allows {self.limits.max_per_domain}"
        if self.limits.domains_at_once is not None and domain not in domains and len(domains) >= self.limits.domains_at_once:
            return f"{', '.join(sorted(map(str, domains)))} in flight; rolling_domains_at_once allows {self.limits.domains_at_once}"
        return ""

    def _floor_refusal(self, name: str, busy: list[str], live: frozenset[str]) -> str:
        """Taking a live member must leave the floor; a member that is out already costs nothing."""
        remaining = len(live.difference(busy))
        if name in live and remaining - 1 < self.floor:
            return f"{remaining} members are live beside those in flight; taking {name} would leave less than the floor of {self.floor}"
        return ""


def waves(schedule: Schedule) -> list[dict]:
    """Predict the roll with every batch finishing at once: ``[{step, members, live}]``, live being what remains meanwhile.

    Consumes *schedule*. Stops early, with a wave without members and the reason, when the scheduler would never go on.
    """
    predicted = []
    while schedule.pending:
        decision = schedule.decide()
        if not decision.start:
            predicted.append({"step": None, "members": [], "live": len(schedule.assumed_live()), "reason": decision.reason})
            break
        step = schedule.step_of[decision.start[0]]
        remaining = schedule.assumed_live().difference(decision.start)
        predicted.append({"step": step, "members": list(decision.start), "live": len(remaining), "reason": ""})
        for name in decision.start:
            schedule.started(name)
        for name in decision.start:
            schedule.finished(name, "ok")
    return predicted
