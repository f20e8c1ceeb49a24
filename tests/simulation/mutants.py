# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bugs planted into the scheduler, one small piece replaced each: a simulation that misses one of them proves nothing about it.

Each names what is wrong, the promises of which one must notice it, and the piece: where it is and what takes its place, made of the original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from unittest.mock import patch

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule import pool_queue, steps
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.choice import Choice, _Opening
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy, resolve_count
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.pool_queue import PoolQueue
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import BACK, Schedule

from . import controller
from .fleet import NEW
from .rules import Violation
from .tally import Tally
from .world import World, play


@dataclass(frozen=True)
class Mutant:
    name: str
    promises: str
    where: object
    attribute: str
    made: Callable

    @contextmanager
    def planted(self) -> Iterator[None]:
        with patch.object(self.where, self.attribute, self.made(vars(self.where)[self.attribute])):
            yield


def caught(mutant: Mutant, seed: str, fleets: int) -> tuple[int, Violation] | None:
    """The number of the first fleet that notices the bug, and how; None when none does."""
    with mutant.planted():
        for number in range(fleets):
            try:
                play(f"{seed}:{number}", Tally())
            except Violation as violation:
                return number, violation
    return None


def _after(extra: Callable) -> Callable:
    """The original, and then this: ``extra(self, *arguments)``."""
    def made(original):
        def both(self, *arguments, **named):
            result = original(self, *arguments, **named)
            extra(self, *arguments, **named)
            return result
        return both
    return made


def _instead(replacement: Callable) -> Callable:
    return lambda _original: replacement


def _rounded_up(attribute: str) -> Callable:
    return _instead(lambda self, total: max(1, resolve_count(getattr(self, attribute), total, name=attribute, round_up=True)))


def _judged_by(counts: Callable) -> Callable:
    """The budget spent by some failures only: ``counts(schedule, one that failed, the one that failed now)``."""
    def judge(self, name):
        if self.direction == BACK:
            self.stop("during the rollback")
        elif sum(counts(self, other, name) for other in self._unsuccessful) > self.budget:
            self.stop_for_failures("rolling_max_failures allows")
        else:
            pool = self.pool_of(name)
            step = pool.step_of.get(name)
            if step is not None and pool.is_step_done(step) and pool.current_step is not None and not pool.succeeded_in_step[step]:
                self.stop_for_failures("no member of step")
    return _instead(judge)


def _shut_while_busy(self) -> str:
    return f"{self._busy} are in flight; rolling_max_unavailable allows {self._pool.window}" if self._pool.in_flight else ""


def _forget_a_stop(self, *_arguments, **_named) -> None:
    if not self.goes_back:
        self.stop_reason = ""


def _count_from_the_first_start(original):
    def started(self, name, now=None):
        first = self._last_progress
        original(self, name, now)
        self._last_progress = now if first is None else first
    return started


def _take_back_failed_ones(self) -> None:
    self.direction = BACK
    names = [name for name, outcome in reversed(self.outcome.items()) if outcome in ("ok", "failed")]
    for pool in self.pools.values():
        pool.turn_back([name for name in names if name in pool.members])


def _wait_again(self, name: str, succeeded: bool) -> None:
    if not succeeded and name in self.step_of:
        self._waiting[self.step_of[name]][name] = None
        self._left_in_step[self.step_of[name]] += 1


MUTANTS = [
    Mutant("the window rounds up", "W I3", Limits, "window", _rounded_up("max_unavailable")),
    Mutant("the window is one too large", "W", _Opening, "_window_refusal", lambda original: lambda self: (
        original(self) if self._busy > self._pool.window else "")),
    Mutant("those in flight before are not counted in the window", "W", _Opening, "__init__", _after(lambda self, *_pool: setattr(self, "_busy", 0))),
    Mutant("the limit of a domain is ignored", "W", _Opening, "_is_full", _instead(lambda self, domain: False)),
    Mutant("the limit of a domain rounds up", "W", Limits, "window_of_domain", lambda original: lambda self, size: (
        None if self.max_per_domain is None else _rounded_up("max_per_domain")(original)(self, size))),
    Mutant("domains at once are ignored", "W", Choice, "allows_domain", _instead(lambda self, domain: True)),
    Mutant("domains at once are one too many", "W", RunPolicy, "window_of_domains", lambda original: lambda self, count: (
        None if original(self, count) is None else original(self, count) + 1)),
    Mutant("domains in flight are counted pool by pool", "W", Choice, "allows_domain", _instead(lambda self, domain: (
        self._domains_at_once is None or domain in self._domains or len(self._domains) - (len(self._domains) > 1) < self._domains_at_once))),
    Mutant("the controller's forks are ignored", "W", Choice, "refusal", _instead(lambda self: "")),
    Mutant("the floor is off by one", "I3", _Opening, "_would_go_under_the_floor",
           _instead(lambda self, name: name in self._live and self._remaining < self._pool.floor)),
    Mutant("the floor rounds down", "I3", Limits, "floor", lambda original: lambda self, size: (
        original(self, size) if self.min_live is None else resolve_count(self.min_live, size, name="floor"))),
    Mutant("members in flight count as live", "I3", _Opening, "_look", _after(lambda self: setattr(self, "_remaining", len(self._live)))),
    Mutant("those chosen just now count as live", "I3", _Opening, "take", _after(lambda self, name: setattr(self, "_remaining", self._remaining + 1))),
    Mutant("lost and failed members count as live", "I3", PoolQueue, "finish", _after(lambda self, name, succeeded: self._assumed_live.add(name))),
    Mutant("the load balancers are not asked", "I3 O E", Schedule, "_choose", lambda original: lambda self, live, blind: original(self, {}, blind)),
    Mutant("a pool that nobody can see goes on", "I3", Schedule, "_choose", lambda original: lambda self, live, blind: original(self, live, {})),
    Mutant("a member out of traffic costs capacity", "E", _Opening, "_would_go_under_the_floor",
           _instead(lambda self, name: self._remaining - 1 < self._pool.floor)),
    Mutant("a step does not wait for the one before", "S", PoolQueue, "current_step",
           _instead(property(lambda self: min((step for step, names in self._waiting.items() if names), default=None)))),
    Mutant("steps round down", "S", steps, "cumulative_sizes", _instead(lambda wanted, total, *_others: [
        *(min(total, resolve_count(step, total, name="steps")) for step in wanted[:-1]), total])),
    Mutant("steps get smaller than the operator said when members are left", "I7", pool_queue, "split_into_steps",
           lambda original: lambda members, wanted, _pool_size, prefix: original(members, wanted, prefix=prefix)),
    Mutant("pinned members go where they like", "S", pool_queue, "split_into_steps", lambda original: lambda members, *wanted: (
        original([replace(member, step=None) for member in members], *wanted))),
    Mutant("a failed member keeps its step unfinished", "E I10", PoolQueue, "finish", _after(lambda self, name, succeeded: (
        self._left_in_step.update({self.step_of[name]: int(not succeeded)}) if name in self.step_of else None))),
    Mutant("the canary rule is missing", "I10", PoolQueue, "is_step_done", _instead(lambda self, step: False)),
    Mutant("skip overrules the canary rule", "I10", Schedule, "stop_for_failures", lambda original: lambda self, reason: (
        original(self, reason) if self.policy.on_failure != "skip" else None)),
    Mutant("the budget is off by one", "B", RunPolicy, "failure_budget", lambda original: lambda self, count: original(self, count) + 1),
    Mutant("the roll stops one failure too early", "E B R", RunPolicy, "failure_budget", lambda original: lambda self, count: (
        max(0, original(self, count) - 1))),
    Mutant("the budget rounds up", "B", RunPolicy, "failure_budget", lambda original: lambda self, count: (
        original(self, count) if self.on_failure == "skip" else resolve_count(self.max_failures, count, name="budget", round_up=True))),
    Mutant("the budget is counted pool by pool", "B", Schedule, "_handle_failure",
           _judged_by(lambda self, other, name: self.pool_of(other) is self.pool_of(name))),
    Mutant("lost members do not spend the budget", "B R", Schedule, "_handle_failure", _judged_by(lambda self, other, name: self.outcome[other] == "failed")),
    Mutant("nobody may start, without a reason", "E", Schedule, "_why_nobody", _instead(lambda self, choice, blind: "")),
    Mutant("the roll is over while members wait", "E R", Schedule, "done", _instead(property(lambda self: not self.in_flight))),
    Mutant("the roll never ends", "E", Schedule, "done", _instead(property(lambda self: False))),
    Mutant("batches instead of slots", "E", _Opening, "_window_refusal", _instead(_shut_while_busy)),
    Mutant("one start at a time", "E", PoolQueue, "candidates", lambda original: lambda self, *arguments: islice(original(self, *arguments), 1)),
    Mutant("a pause is ignored", "P", Schedule, "hold", _instead(lambda self, reason: None)),
    Mutant("a pause never ends", "E", Schedule, "go_on", _instead(lambda self: None)),
    Mutant("a stop is ignored", "P E D", Schedule, "stop", _instead(lambda self, reason: None)),
    Mutant("a stop is forgotten when the next member is done", "B P D I10", Schedule, "finished", _after(_forget_a_stop)),
    Mutant("overdue members are not named", "D", Schedule, "overdue", _instead(lambda self, now: [])),
    Mutant("overdue is measured from the last progress", "D", Schedule, "overdue", lambda original: lambda self, now: (
        original(self, now) if self._last_progress is None or now - self._last_progress > (self.policy.member_timeout or 0) else [])),
    Mutant("the deadline on progress is ignored", "D", Schedule, "_check_progress", _instead(lambda self, now: None)),
    Mutant("progress is measured from the first start", "E", Schedule, "started", _count_from_the_first_start),
    Mutant("the way back forgets a member", "E R", PoolQueue, "turn_back", lambda original: lambda self, names: original(self, names[1:])),
    Mutant("the way back takes those that failed, too", "R", Schedule, "_turn_back", _instead(_take_back_failed_ones)),
    Mutant("the way back begins with the first", "R", PoolQueue, "turn_back", lambda original: lambda self, names: original(self, names[::-1])),
    Mutant("the way back goes under the floor", "I3", PoolQueue, "turn_back", _after(lambda self, names: setattr(self, "floor", 0))),
    Mutant("the way back has no window", "W I3", PoolQueue, "turn_back", _after(lambda self, names: setattr(self, "window", self.size))),
    Mutant("the way back has no limit by domain", "W", PoolQueue, "turn_back",
           _after(lambda self, names: self._window_of.update(dict.fromkeys(self._window_of)))),
    Mutant("the way back does not wait for those in flight", "R", Schedule, "stop_for_failures", _after(lambda self, reason: (
        self._turn_back() if self.goes_back and self.direction != BACK else None))),
    Mutant("a failure during the rollback is ignored", "R", Schedule, "_handle_failure", lambda original: lambda self, name: (
        None if self.direction == BACK else original(self, name))),
    Mutant("an abort turns back, too", "R P D", Schedule, "stop",
           _after(lambda self, reason: setattr(self, "goes_back", self.policy.on_failure == "rollback"))),
    Mutant("nobody returns", "R B I10", Schedule, "_turn_is_due", _instead(lambda self: False)),
    Mutant("a member is started twice", "U", PoolQueue, "_remove_from_queue", _instead(lambda self, name: None)),
    Mutant("a failed member starts again", "U I10", PoolQueue, "finish", _after(_wait_again)),
    Mutant("a resumed run upgrades everybody once more", "U", Schedule, "_known", _instead(lambda self, names: list(self._member))),
    Mutant("members out of traffic wait like the others", "O", PoolQueue, "candidates", lambda original: lambda self, live, *skipped: (
        original(self, frozenset(self.members), *skipped))),
    Mutant("domains are mixed", "O", pool_queue, "_by_domain", _instead(lambda member: (-member.expected_s, member.name))),
    Mutant("the shortest goes first", "O", pool_queue, "_by_domain", _instead(lambda member: (
        member.domain is not None, member.domain or "", member.expected_s, member.name))),
    Mutant("halves are cut by name", "O", steps, "_interleave_domains", _instead(lambda members: (
        sorted(members, key=lambda member: (member.in_traffic, member.domain or "", member.name))))),
    Mutant("no fence on the hosts", "I2", World, "_is_fenced", _instead(lambda self, host: False)),
    Mutant("a resumed run forgets who is out of traffic", "I7", controller, "needs_work", _instead(lambda host: host.release != NEW)),
    Mutant("members out of traffic may be in a late step", "O", steps, "_interleave_domains", lambda original: lambda members: (
        original([replace(member, in_traffic=True) for member in members]))),
]
