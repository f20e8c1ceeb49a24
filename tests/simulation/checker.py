# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The independent judge of one controller's run: told what the controller was told, it checks everything that the scheduler answers.

Promises: W window, I3 floor, S steps, I10 canary rule, B budget, E every empty answer has a reason and the roll ends, P pause and abort,
D deadlines, R rollback, U nobody twice, O order.
"""

from __future__ import annotations

from collections.abc import Mapping

from .rules import PoolRules, RunRules, demand
from .scenario import Scenario


class Checker:
    """One run. ``live``: who was in traffic when it began, ``todo``: who was not at the new release or not in traffic then."""

    def __init__(self, story: Scenario, live: Mapping[str, set[str]], todo: set[str], step_of: Mapping[str, dict[str, int]]) -> None:
        self.run = RunRules(story)
        self.pools: dict[str, PoolRules] = {}
        self.step_of: dict[str, int] = {}
        self.pool_of = {name: server.pool for name, server in story.servers.items()}
        for name, pool in story.pools.items():
            servers = [server for server in story.servers.values() if server.pool == name]
            rules = PoolRules(pool, servers, live[name], {server.name for server in servers} & todo)
            rules.check_steps(step_of[name])
            self.pools[name] = rules
            self.step_of |= step_of[name]
        self.domain_of = {name: server.domain for name, server in story.servers.items()}
        self.waiting = {name: {member for member in todo if self.pool_of[member] == name} for name in story.pools}
        self.place = {member: place for rules in self.pools.values() for member, place in rules.place.items()}
        self.unfinished = {name: set(members) for name, members in self.waiting.items()}
        self.flying: dict[str, float] = {}
        self.flying_in: dict[str, set[str]] = {name: set() for name in story.pools}
        self.outcome: dict[str, str] = {}
        self.seen_live = {name: set(live[name]) for name in story.pools}
        self.bad = 0
        self.cause = ""
        self.ended_by = ""
        self.back_ended = False
        self.hold = ""
        self.going_back: list[str] | None = None
        self.to_return: set[str] = set()
        self.last_progress: float | None = None

    # -- what the controller was told

    def started(self, name: str, now: float) -> None:
        pool = self.pool_of[name]
        demand(name in self.waiting[pool], "U", f"{name} started, but it was not waiting")
        self.waiting[pool].discard(name)
        self.flying[name] = self.last_progress = now
        self.flying_in[pool].add(name)

    def extended(self, name: str, now: float) -> None:
        self.flying[name] = now

    def finished(self, name: str, outcome: str, now: float) -> None:
        pool = self.pool_of[name]
        self.flying.pop(name, None)
        self.flying_in[pool].discard(name)
        self.waiting[pool].discard(name)
        self.unfinished[pool].discard(name)
        self.last_progress = now
        ok = outcome == "ok"
        self.seen_live[pool].discard(name)
        self.seen_live[pool].update([name] if ok else [])
        self.outcome[name] = "returned" if ok and self.going_back is not None else outcome
        if not ok:
            self._count_failure(name, pool)

    def _count_failure(self, name: str, pool: str) -> None:
        if self.going_back is not None:
            self.back_ended = True
            return
        self.bad += 1
        if self.run.budget is not None and self.bad > self.run.budget:
            self._ends("failure", "B")
        mates = [mate for mate in self.pools[pool].todo if self.step_of[mate] == self.step_of.get(name)]
        if mates and self.unfinished[pool] and not any(mate in self.unfinished[pool] or self.outcome[mate] == "ok" for mate in mates):
            self._ends("failure", "I10")

    def stopped(self, promise: str = "P") -> None:
        """By the operator, or for want of capacity."""
        if self.cause == "failure" and self.run.policy == "rollback":
            self.back_ended = True
        else:
            self._ends("other", promise)

    def _ends(self, cause: str, promise: str) -> None:
        if not self.cause:
            self.cause, self.ended_by = cause, promise

    # -- what the scheduler answered

    def overdue(self, names: list[str], now: float) -> None:
        limit = self.run.member_timeout
        expected = [] if limit is None else [name for name, since in self.flying.items() if now - since > limit]
        demand(sorted(names) == sorted(expected), "D", f"overdue are {expected}, named were {names}")

    def decided(self, decision, seen: Mapping[str, frozenset[str]], blind: Mapping[str, str], now: float) -> None:
        """Judge one decision before it is acted upon."""
        self._pass_deadline(now)
        due = self._turn_is_due()
        if due and not self.flying and self.going_back is None:
            self._turn_back()
            due = False
        back = self.going_back is not None
        demand((decision.direction == "back") == back, "R", f"the roll goes {decision.direction}; it should go {'back' if back else 'forward'}")
        demand(bool(decision.reason.strip()) != bool(decision.start), "E", f"{len(decision.start)} members start with the reason {decision.reason!r}")
        ended = "R" if back and self.back_ended else "" if back else self.ended_by
        demand(decision.stopped == (bool(ended) and not due), ended or "E", f"stopped is {decision.stopped}: {decision.reason!r}")
        if ended or self.hold:
            demand(not decision.start, ended or "P", f"{decision.start} may start although the roll {'has ended' if ended else 'is held'}")
            return
        for name in decision.start:
            demand(self.pool_of[name] not in blind, "I3", f"{name} starts while nobody can see who is live")
        self._judge_starts(decision, seen, blind)

    def _pass_deadline(self, now: float) -> None:
        limit = self.run.progress_deadline
        if limit is not None and self.flying and now - self.last_progress > limit:
            self.stopped("D")

    def _turn_is_due(self) -> bool:
        if self.cause != "failure" or self.run.policy != "rollback" or self.back_ended or self.going_back is not None:
            return False
        return bool(self.flying) or "ok" in self.outcome.values()

    def _turn_back(self) -> None:
        """From now on exactly the upgraded members wait, the last one first."""
        self.going_back = [name for name in reversed(self.outcome) if self.outcome[name] == "ok"]
        self.to_return = set(self.going_back)
        self.waiting = {pool: {name for name in self.going_back if self.pool_of[name] == pool} for pool in self.waiting}
        self.place = {name: place for place, name in enumerate(self.going_back)}
        self.step_of = dict.fromkeys(self.going_back, 0)
        self.unfinished = {name: set(members) for name, members in self.waiting.items()}

    def _judge_starts(self, decision, seen: Mapping[str, frozenset[str]], blind: Mapping[str, str]) -> None:
        """Each start is the one that is next in its pool, and in the end nobody is left who could start, too."""
        turn = Turn(self, {name: seen.get(name, self.seen_live[name]) for name in self.pools if name not in blind})
        for name in decision.start:
            turn.judge(name)
        left = [name for name in map(turn.next_of, turn.live) if name]
        demand(not left, "E", f"{left} could start, too; instead: {decision.reason!r}")

    def run_ended(self, short_of_capacity: bool) -> None:
        """The controller says that the roll is over."""
        demand(not self.flying, "E", f"the roll is over with {list(self.flying)} in flight")
        demand(not self._turn_is_due(), "R", "the roll is over although upgraded members are to return")
        if self.going_back is not None and not self.back_ended:
            left = [name for name in self.to_return if self.outcome[name] != "returned"]
            demand(not left, "R", f"the roll is over, {left} did not return")
        elif not self.cause:
            demand(not any(self.waiting.values()), "E", f"the roll is over, {self.waiting} have not started")
        if short_of_capacity:
            demand(any(self.waiting.values()), "E", "everybody is done and the roll goes on")


class Turn:
    """One decision replayed: the limits as they are, given the members in flight and those chosen so far."""

    def __init__(self, book: Checker, live: Mapping[str, frozenset[str] | set[str]]) -> None:
        self.book = book
        self.live = live
        self.busy = {name: len(members) for name, members in book.flying_in.items()}
        self.domains = [book.domain_of[name] for name in book.flying]
        self.domains_in = {name: [book.domain_of[member] for member in members] for name, members in book.flying_in.items()}
        self.remaining = {name: len(members) - len(book.flying_in[name] & members) for name, members in live.items()}
        self.chosen: set[str] = set()
        self.line: dict[str, list[str]] = {}

    def judge(self, name: str) -> None:
        pool = self.book.pool_of[name]
        demand(name in self.book.waiting[pool] and name not in self.chosen, "U" if self.book.going_back is None else "R", f"{name} has no turn any more")
        demand(name in self._line_of(pool), "S", f"{name} of step {self.book.step_of[name]} starts before an earlier step is finished")
        promise, why = self.refusal(name)
        demand(not promise, promise, f"{name} starts although {why}")
        first = self.next_of(pool)
        demand(first == name, "O" if self.book.going_back is None else "R", f"{name} starts before {first}")
        self.chosen.add(name)
        self.line[pool].remove(name)
        self.busy[pool] += 1
        self.domains.append(self.book.domain_of[name])
        self.domains_in[pool].append(self.book.domain_of[name])
        self.remaining[pool] -= name in self.live[pool]

    def next_of(self, pool: str) -> str | None:
        """Who is next in this pool: the first that nothing forbids."""
        run = self.book.run
        if not self.book.waiting[pool] or self.busy[pool] >= self.book.pools[pool].window or (run.forks is not None and len(self.domains) >= run.forks):
            return None
        return next((name for name in self._line_of(pool) if not self.refusal(name)[0]), None)

    def _line_of(self, pool: str) -> list[str]:
        """Those of the pool's step that still wait: out of traffic first, then domain by domain (during the rollback: the last upgraded first)."""
        if pool not in self.line:
            book = self.book
            step = min((book.step_of[name] for name in book.unfinished[pool]), default=None)
            members = [name for name in book.waiting[pool] if book.step_of[name] == step]
            self.line[pool] = sorted(members, key=lambda name: (name in self.live[pool], book.place[name]))
        return self.line[pool]

    def refusal(self, name: str) -> tuple[str, str]:
        """The promise that its start would break, and how; two empty strings when it may start."""
        pool, domain = self.book.pool_of[name], self.book.domain_of[name]
        rules, run = self.book.pools[pool], self.book.run
        if self.busy[pool] >= rules.window:
            return "W", f"{self.busy[pool]} of {pool} are in flight and {rules.window} may be"
        if run.forks is not None and len(self.domains) >= run.forks:
            return "W", f"{run.forks} members are in flight, all that the controller serves"
        window = rules.window_of[domain]
        if window is not None and self.domains_in[pool].count(domain) >= window:
            return "W", f"{window} of {domain} in {pool} are in flight"
        if run.domains_at_once is not None and domain not in self.domains and len(set(self.domains)) >= run.domains_at_once:
            return "W", f"members of {set(self.domains)} are in flight"
        if name in self.live[pool] and self.remaining[pool] - 1 < rules.floor:
            return "I3", f"{self.remaining[pool]} of {pool} are live beside those in flight and {rules.floor} must stay"
        return "", ""
