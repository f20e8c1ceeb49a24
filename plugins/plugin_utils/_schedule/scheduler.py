# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which members may leave traffic now, or why none may.

The same scheduler runs the fleet, predicts the plan and is simulated in tests. It reads no clock and does no I/O:
its caller reports what happened (``started``, ``finished``), observations and the time are arguments, and it answers
with a ``Decision``. The live capacity it protects counts a member once it is *seen* in traffic on the load balancers
and not in flight, so a member that was admitted but has not left yet is never counted on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .choice import Choice
from .limits import Limits, RunPolicy, ScheduleError
from .pool_queue import PoolQueue
from .steps import Member

OUTCOMES = ("ok", "failed", "lost")
# Given by the scheduler itself: upgraded, then taken back to the release before.
RETURNED = "returned"
FORWARD, BACK = "forward", "back"


@dataclass(frozen=True)
class Decision:
    """``start``: the members that may start now, in order; when empty, ``reason`` says why none may.

    ``stopped``: no member will start again in this direction; ``direction``: back when upgraded members return to the release before.
    """

    start: tuple[str, ...]
    reason: str = ""
    stopped: bool = False
    direction: str = FORWARD


class Schedule:
    """A roll under way: members of one or more pools, the limits, and what has happened so far.

    :param members: every member of every pool.
    :param limits: one pool's limits, or pool name to limits.
    :param policy: what holds for all pools together.
    :param pending: the names to be upgraded, all by default; the other members only count as capacity.
    :raises ScheduleError: for a limit, a step or a name that cannot be honoured.
    """

    def __init__(self, members: Sequence[Member], limits: Limits | Mapping[str, Limits], policy: RunPolicy = RunPolicy(),
                 pending: Sequence[str] | None = None) -> None:
        self.policy = policy
        self.members = tuple(members)
        self._member = _by_name(members)
        by_pool: dict[str, list[Member]] = {}
        for member in members:
            by_pool.setdefault(member.pool, []).append(member)
        wanted = self._member.keys() if pending is None else self._known(pending)
        self.pools = {name: PoolQueue(name, pool, _limits_of(name, limits), wanted) for name, pool in by_pool.items()}
        self.budget = policy.failure_budget(len(members))
        self._domain_window = policy.window_of_domains(len({member.domain for member in members}))
        self.in_flight: dict[str, float | None] = {}
        self.outcome: dict[str, str] = {}
        self.direction = FORWARD
        self.stop_reason = ""
        self.hold_reason = ""
        self.goes_back = False
        self._back_stop_reason = ""
        self._unsuccessful: list[str] = []
        self._last_progress: float | None = None

    # -- what happened

    def started(self, name: str, now: float | None = None) -> None:
        """A waiting member starts, at *now* (seconds on any clock that only goes forward)."""
        self.pool_of(name).start(name)
        self.in_flight[name] = now
        self._last_progress = now

    def finished(self, name: str, outcome: str, now: float | None = None) -> None:
        """A member is done: ok, failed, or lost (unreachable). Also for members that can never start."""
        if outcome not in OUTCOMES:
            raise ScheduleError(f"outcome of {name} is {outcome!r}: one of {', '.join(OUTCOMES)}")
        if name in self.outcome and name not in self.in_flight and not self.pool_of(name).is_waiting(name):
            raise ScheduleError(f"{name} is done already: {self.outcome[name]}")
        self.in_flight.pop(name, None)
        self._last_progress = now
        succeeded = outcome == "ok"
        self.pool_of(name).finish(name, succeeded)
        if self.direction == BACK and succeeded:
            outcome = RETURNED
        self.outcome[name] = outcome
        if not succeeded:
            self._unsuccessful.append(name)
            self._handle_failure(name)

    def extended(self, name: str, now: float) -> None:
        """A member in flight gets its time again, for the repair after its deadline."""
        self.in_flight[name] = now

    def stop(self, reason: str) -> None:
        """Start no further member; those in flight are finished. For the operator, an error, a deadline; the first reason stays."""
        if self.goes_back:
            self._back_stop_reason = self._back_stop_reason or reason
        else:
            self.stop_reason = self.stop_reason or reason

    def stop_for_failures(self, reason: str) -> None:
        """A failure may be undone, when the policy says so; everything else that stops a roll leaves it where it is."""
        if not self.stop_reason:
            self.stop_reason = reason
            self.goes_back = self.policy.on_failure == "rollback"

    def hold(self, reason: str) -> None:
        """Start no member until ``go_on``."""
        self.hold_reason = reason

    def go_on(self) -> None:
        """After ``hold``."""
        self.hold_reason = ""

    def _known(self, names: Sequence[str]) -> Sequence[str]:
        unknown = next((name for name in names if name not in self._member), None)
        if unknown is not None:
            raise ScheduleError(f"{unknown} is to be done, but no pool has it")
        return names

    def _handle_failure(self, name: str) -> None:
        if self.direction == BACK:
            self.stop(f"{self._described(name)} during the rollback")
            return
        gone = ", ".join(map(self._described, self._unsuccessful))
        if len(self._unsuccessful) > self.budget:
            self.stop_for_failures(f"{gone}; rolling_max_failures allows {self.budget}")
        pool = self.pool_of(name)
        step = pool.step_of.get(name)
        if step is not None and pool.is_step_done(step) and pool.current_step is not None and not pool.succeeded_in_step[step]:
            self.stop_for_failures(f"no member of step {step + 1} of {pool.name} succeeded ({gone})")

    def _described(self, name: str) -> str:
        return f"{name} {'was lost' if self.outcome[name] == 'lost' else 'failed'}"

    # -- what follows from it

    @property
    def pending(self) -> list[str]:
        """The members still to start, pool by pool, in order."""
        return [name for pool in self.pools.values() for name in pool.waiting]

    @property
    def pending_count(self) -> int:
        """How many members are still to start."""
        return sum(pool.waiting_count for pool in self.pools.values())

    @property
    def unsuccessful(self) -> list[str]:
        """The members that failed or were lost, in the order in which it was known."""
        return list(self._unsuccessful)

    @property
    def done(self) -> bool:
        """Whether no member is in flight and none will start any more (a roll that is held or short of capacity is not done)."""
        if self.in_flight:
            return False
        if self._turn_is_due():
            return False
        return bool(self._end_reason()) or all(pool.current_step is None for pool in self.pools.values())

    def _end_reason(self) -> str:
        """Why no member starts any more in the present direction."""
        if self.direction == BACK:
            return self._back_stop_reason
        return "; ".join(filter(None, (self.stop_reason, self._back_stop_reason)))

    def overdue(self, now: float) -> list[str]:
        """The members in flight for longer than ``member_timeout``."""
        limit = self.policy.member_timeout
        return [name for name, since in self.in_flight.items() if limit is not None and since is not None and now - since > limit]

    def decide(self, live: Mapping[str, frozenset[str]] | None = None, *, blind: Mapping[str, str] | None = None, now: float | None = None) -> Decision:
        """Who may start now.

        :param live: pool to the names of its members *seen* in traffic on every load balancer; for a pool that is not in it, see ``assumed_live``.
        :param blind: pool to why its load balancers could not be read; no member of such a pool starts.
        :param now: the time, for the deadline on progress.
        """
        self._check_progress(now)
        if not self.in_flight and self._turn_is_due():
            self._turn_back()
        ended = self._end_reason()
        if ended:
            return Decision((), ended, stopped=not self._turn_is_due(), direction=self.direction)
        if self.hold_reason:
            return Decision((), self.hold_reason, direction=self.direction)
        choice = self._choose(live or {}, blind or {})
        return Decision(tuple(choice.start), "" if choice.start else self._why_nobody(choice, blind or {}), direction=self.direction)

    def _choose(self, live: Mapping[str, frozenset[str]], blind: Mapping[str, str]) -> Choice:
        seen = {name: live[name] if name in live else pool.assumed_live() for name, pool in self.pools.items() if name not in blind}
        return Choice(self.pools.values(), seen, max_in_flight=self.policy.max_in_flight, domains_at_once=self._domain_window)

    def _why_nobody(self, choice: Choice, blind: Mapping[str, str]) -> str:
        reasons = [f"live capacity of {name} cannot be read, so no member starts: {why}" for name, why in blind.items()
                   if name in self.pools and self.pools[name].waiting_count]
        return "; ".join(dict.fromkeys([*reasons, *choice.reasons])) or "every member has started"

    # -- deadlines, and the way back

    def _check_progress(self, now: float | None) -> None:
        limit = self.policy.progress_deadline
        if limit is None or now is None or self._last_progress is None or not self.in_flight:
            return
        if now - self._last_progress > limit:
            self.stop(f"no member has finished for {now - self._last_progress:.0f} s; rolling_progress_deadline allows {limit:g}")

    def _turn_is_due(self) -> bool:
        """Whether upgraded members (or such that may still become so) will return, once no member is in flight."""
        if not self.goes_back or self.direction == BACK or self._back_stop_reason:
            return False
        return bool(self.in_flight) or "ok" in self.outcome.values()

    def _turn_back(self) -> None:
        """The upgraded members return to the release before, the last one first. Members that were waiting keep it."""
        self.direction = BACK
        upgraded = [name for name, outcome in reversed(self.outcome.items()) if outcome == "ok"]
        for pool in self.pools.values():
            pool.turn_back([name for name in upgraded if name in pool.members])

    def step_of(self, name: str) -> int:
        """The step that the member belongs to, from 0."""
        return self.pool_of(name).step_of[name]

    def pool_of(self, name: str) -> PoolQueue:
        """The queue of the pool that the member belongs to."""
        return self.pools[self._member[name].pool]


def _limits_of(pool: str, limits: Limits | Mapping[str, Limits]) -> Limits:
    if isinstance(limits, Limits):
        return limits
    if pool not in limits:
        raise ScheduleError(f"pool {pool} has no limits: give limits for {', '.join(limits) or 'it'}, and for {pool}")
    return limits[pool]


def _by_name(members: Sequence[Member]) -> dict[str, Member]:
    counts = Counter(member.name for member in members)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise ScheduleError(f"member {repeated[0]} is in the pool twice: give each member one name")
    return {member.name: member for member in members}
