# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pool in a roll: who waits, who is in flight, and who may be next without breaking the pool's own limits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from .limits import Limits
from .steps import Member, split_into_steps


class PoolQueue:
    """The members of one pool by step and domain, in the order in which they go.

    ``pending`` names the members to be done; the others only count as capacity.
    """

    def __init__(self, name: str, members: list[Member], limits: Limits, pending: Collection[str]) -> None:
        self.name = name
        self.members = {member.name: member for member in members}
        self.size = len(members)
        self.window = limits.window(self.size)
        self.floor = limits.floor(self.size)
        self.in_flight: set[str] = set()
        self.succeeded_in_step: Counter[int] = Counter()
        self._left_in_step: Counter[int] = Counter()
        self._assumed_live = {member.name for member in members if member.in_traffic}
        sizes = Counter(member.domain for member in members)
        self._window_of = {domain: limits.window_of_domain(size) for domain, size in sizes.items()}
        wanted = set(pending)
        to_do = [member for member in members if member.name in wanted]
        self.step_of = split_into_steps(to_do, limits.steps) if to_do else {}
        self._enqueue(to_do)

    def _enqueue(self, members: list[Member]) -> None:
        """Fill the queue: step by step, within one a domain at a time, longest expected duration first."""
        ordered = sorted(members, key=lambda member: (member.domain or "", -member.expected_s, member.name))
        self._rank = {member.name: rank for rank, member in enumerate(ordered)}
        self._waiting: dict[int, dict[str | None, dict[str, None]]] = {}
        for member in ordered:
            step = self.step_of[member.name]
            self._waiting.setdefault(step, {}).setdefault(member.domain, {})[member.name] = None
            self._left_in_step[step] += 1

    # -- what happened

    def start(self, name: str) -> None:
        """A waiting member starts."""
        self._remove_from_queue(name)
        self.in_flight.add(name)

    def finish(self, name: str, succeeded: bool) -> None:
        """A member is done, or can never start."""
        if name in self.in_flight:
            self.in_flight.remove(name)
        elif name in self.step_of and self.is_waiting(name):
            self._remove_from_queue(name)
        if name in self.step_of:
            self._left_in_step[self.step_of[name]] -= 1
            self.succeeded_in_step[self.step_of[name]] += succeeded
        if succeeded:
            self._assumed_live.add(name)
        else:
            self._assumed_live.discard(name)

    def turn_back(self, names: list[str]) -> None:
        """Everything that waited stays as it is; *names* go through once more, in this order and in one step."""
        self.step_of = dict.fromkeys(names, 0)
        self.succeeded_in_step.clear()
        self._left_in_step.clear()
        self._waiting = {}
        self._rank = {name: rank for rank, name in enumerate(names)}
        for name in names:
            self._waiting.setdefault(0, {}).setdefault(self.members[name].domain, {})[name] = None
            self._left_in_step[0] += 1

    def _remove_from_queue(self, name: str) -> None:
        step, domain = self.step_of[name], self.members[name].domain
        del self._waiting[step][domain][name]
        if not self._waiting[step][domain]:
            del self._waiting[step][domain]
        if not self._waiting[step]:
            del self._waiting[step]

    # -- what follows from it

    def is_waiting(self, name: str) -> bool:
        """Whether the member is still to start."""
        return name in self._waiting.get(self.step_of[name], {}).get(self.members[name].domain, {})

    @property
    def waiting(self) -> list[str]:
        """The members still to start: step by step, and within one those out of traffic first."""
        return [name for step in sorted(self._waiting)
                for name in sorted((name for names in self._waiting[step].values() for name in names),
                                   key=lambda name: (name in self._assumed_live, self._rank[name]))]

    @property
    def waiting_count(self) -> int:
        """How many members are still to start."""
        return sum(len(names) for groups in self._waiting.values() for names in groups.values())

    def step_sizes(self) -> list[int]:
        """How many members each step has."""
        sizes = Counter(self.step_of.values())
        return [sizes[step] for step in sorted(sizes)]

    @property
    def current_step(self) -> int | None:
        """The lowest step with a member that is not done."""
        return min((step for step, left in self._left_in_step.items() if left), default=None)

    def is_step_done(self, step: int) -> bool:
        """Whether every member of the step is done, with success or without."""
        return not self._left_in_step[step]

    def assumed_live(self) -> frozenset[str]:
        """Who is live when no load balancer can be asked: in traffic at the start or done since, and neither failed nor lost."""
        return frozenset(self._assumed_live)

    def candidates(self, live: frozenset[str]) -> Iterator[str]:
        """The waiting members of the current step in the order in which they go: those that take no traffic anyway cost nothing and go first."""
        step = self.current_step
        groups = self._waiting.get(step, {}) if step is not None else {}
        idle = [name for names in groups.values() for name in names.keys() - live]
        yield from sorted(idle, key=self._rank.__getitem__)
        for domain in sorted(groups, key=str):
            yield from (name for name in groups[domain] if name in live)

    def refusal(self, name: str, starting: Collection[str], live: frozenset[str]) -> str:
        """Why *name* may not start beside those in flight and those about to, or an empty string."""
        busy = self.in_flight.union(starting)
        if len(busy) >= self.window:
            return f"{len(busy)} members of {self.name} are in flight; rolling_max_unavailable allows {self.window}"
        return self._domain_refusal(name, busy) or self._floor_refusal(name, busy, live)

    def step_refusal(self) -> str:
        """Why the members of the later steps wait."""
        step = self.current_step or 0
        return f"step {step + 1} of {self.name} is not finished"

    def _domain_refusal(self, name: str, busy: Collection[str]) -> str:
        domain = self.members[name].domain
        window = self._window_of[domain]
        if window is None:
            return ""
        in_flight = sum(1 for other in busy if self.members[other].domain == domain)
        return f"{in_flight} members of {domain} are in flight; rolling_max_per_domain allows {window}" if in_flight >= window else ""

    def _floor_refusal(self, name: str, busy: Collection[str], live: frozenset[str]) -> str:
        """Taking a live member must leave the floor; a member that is out already costs nothing."""
        if name not in live:
            return ""
        remaining = len(live.difference(busy))
        if remaining - 1 >= self.floor:
            return ""
        return f"{remaining} members of {self.name} are live beside those in flight; taking {name} would leave less than the floor of {self.floor}"
