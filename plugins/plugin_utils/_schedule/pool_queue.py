# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pool in a roll: who waits, who is in flight, and in which order they go. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from .limits import Limits, ScheduleError
from .steps import Member, split_into_steps


class PoolQueue:
    """The members of one pool by step and domain, in the order in which they go.

    ``pending`` names the members to be done; the others only count as capacity.
    """

    def __init__(self, name: str, members: list[Member], limits: Limits, pending: Collection[str]) -> None:
        self.name = name
        self.members = {member.name: member for member in members}
        self.size = len(members)
        self.prefix = limits.prefix
        self.window = limits.window(self.size)
        self.floor = limits.floor(self.size)
        self.in_flight: set[str] = set()
        self.domains_in_flight: Counter[str | None] = Counter()
        self.succeeded_in_step: Counter[int] = Counter()
        self._left_in_step: Counter[int] = Counter()
        self._assumed_live = {member.name for member in members if member.in_traffic}
        sizes = Counter(member.domain for member in members)
        self._window_of = {domain: limits.window_of_domain(size) for domain, size in sizes.items()}
        wanted = set(pending)
        to_do = [member for member in members if member.name in wanted]
        self.step_of = split_into_steps(to_do, limits.steps, self.size, limits.prefix) if to_do else {}
        self._enqueue(to_do)

    def _enqueue(self, members: list[Member]) -> None:
        """Fill the queue: step by step, within one a domain at a time, longest expected duration first."""
        self._line_up([member.name for member in sorted(members, key=_by_domain)])

    def _line_up(self, names: list[str]) -> None:
        """The members go in this order within their step."""
        self._rank = {name: rank for rank, name in enumerate(names)}
        self._left_in_step = Counter(self.step_of[name] for name in names)
        self._waiting: dict[int, dict[str, None]] = {step: {} for step in sorted(self._left_in_step)}
        for name in names:
            self._waiting[self.step_of[name]][name] = None

    # -- what happened

    def start(self, name: str) -> None:
        """A waiting member starts."""
        if not self.is_waiting(name):
            raise ScheduleError(f"{name} is not waiting to start")
        self._remove_from_queue(name)
        self.in_flight.add(name)
        self.domains_in_flight[self.members[name].domain] += 1

    def finish(self, name: str, succeeded: bool) -> None:
        """A member is done, or can never start."""
        if name in self.in_flight:
            self._land(name)
        elif self.is_waiting(name):
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
        self._line_up(names)

    def _land(self, name: str) -> None:
        domain = self.members[name].domain
        self.in_flight.remove(name)
        self.domains_in_flight[domain] -= 1
        if not self.domains_in_flight[domain]:
            del self.domains_in_flight[domain]

    def _remove_from_queue(self, name: str) -> None:
        del self._waiting[self.step_of[name]][name]

    # -- what follows from it

    def is_waiting(self, name: str) -> bool:
        """Whether the member is still to start."""
        return name in self.step_of and name in self._waiting[self.step_of[name]]

    @property
    def waiting(self) -> list[str]:
        """The members still to start: step by step, and within one those out of traffic first."""
        return [name for names in self._waiting.values() for name in sorted(names, key=lambda name: (name in self._assumed_live, self._rank[name]))]

    @property
    def waiting_count(self) -> int:
        """How many members are still to start."""
        return sum(map(len, self._waiting.values()))

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
        """The live members when no load balancer can be read: in traffic at the start or done since, and neither failed nor lost."""
        return frozenset(self._assumed_live)

    def window_of(self, domain: str | None) -> int | None:
        """How many members of the failure domain may be in flight; None without a limit."""
        return self._window_of[domain]

    def has_candidates(self) -> bool:
        """Whether a member of the current step is still to start."""
        return bool(self._waiting_now())

    def _waiting_now(self) -> dict[str, None]:
        """The waiting members of the current step, in their order."""
        step = self.current_step
        return {} if step is None else self._waiting.get(step, {})

    def candidates(self, live: frozenset[str], skipped_domains: Collection[str | None] = ()) -> Iterator[str]:
        """The waiting members of the current step in the order in which they go: those that take no traffic anyway cost nothing and go first.

        *skipped_domains* may grow during the iteration: members of these domains are left out from then on.
        """
        waiting = self._waiting_now()
        for name in sorted(waiting.keys() - live, key=self._rank.__getitem__):
            if self.members[name].domain not in skipped_domains:
                yield name
        for name in waiting:
            if name in live and self.members[name].domain not in skipped_domains:
                yield name

    def step_refusal(self) -> str:
        """Why the members of the later steps wait."""
        step = self.current_step or 0
        return f"step {step + 1} of {self.name} is not finished"


def _by_domain(member: Member) -> tuple[bool, str, float, str]:
    """One domain after the other, members without one first; the longest expected duration first."""
    return (member.domain is not None, member.domain or "", -member.expected_s, member.name)
