# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller as the strategy plugin is one: it observes the fleet, makes a new Schedule of that alone, and turns its decisions into attempts."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import BACK, Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import Member, named_steps

from .checker import Checker
from .fleet import NEW, OLD, Fleet, Host
from .scenario import NAMED_STEPS, Scenario

ABORTED = "the operator wrote abort"
PAUSED = "the operator paused the roll"


class Killed(Exception):
    """The controller was killed at this point."""


class Controller:
    """One run of the playbook. The world calls ``look`` after every event."""

    def __init__(self, world, token: int) -> None:
        story, fleet = world.story, world.fleet
        self.world = world
        self.token = token
        todo = [name for name, host in fleet.hosts.items() if needs_work(host)]
        self.schedule = make_schedule(story, fleet, todo)
        step_of = {name: pool.step_of for name, pool in self.schedule.pools.items()}
        self.checker = Checker(story, fleet.live, set(todo), step_of)
        self.todo = todo
        self._short_since: float | None = None
        self._obeyed = ""
        for name in todo:
            if not fleet.hosts[name].reachable:
                world.tally["lost before the start"] += 1
                self.finished(name, "lost")

    def finished(self, name: str, outcome: str) -> None:
        """A member is done."""
        now = self.world.now
        self.schedule.finished(name, outcome, now)
        self.checker.finished(name, outcome, now)
        self.world.note(f"{name} {self.schedule.outcome[name]}")
        self.world.tally[f"outcome {self.schedule.outcome[name]}"] += 1
        self._watch_progress()

    def look(self) -> None:
        """One turn of the strategy's loop.

        :raises Killed: at the point that the story says.
        """
        world, schedule, checker = self.world, self.schedule, self.checker
        self._obey()
        self._cut_overdue()
        world.may_die("before deciding")
        seen = {name: frozenset(names) for name, names in world.fleet.live.items() if world.story.pools[name].has_balancers and name not in world.fleet.blind}
        blind = dict.fromkeys(world.fleet.blind, "lb1 does not answer")
        decision = schedule.decide(seen, blind=blind, now=world.now)
        checker.decided(decision, seen, blind, world.now)
        self._count(decision)
        world.may_die("before starting")
        for name in decision.start:
            self._start(name, decision.direction == BACK)
            world.may_die("between starts")
        world.may_die("after starting")
        if schedule.done:
            world.run_ended(short=False)
        else:
            self._wait_for_capacity(decision)

    def _start(self, name: str, back: bool) -> None:
        world = self.world
        world.tally["admissions"] += 1
        world.tally["admissions during the rollback"] += back
        world.tally["admissions out of traffic"] += not world.fleet.hosts[name].is_live
        world.note(f"{name} starts{' back' if back else ''}")
        self.schedule.started(name, world.now)
        self.checker.started(name, world.now)
        if world.story.member_timeout is not None:
            world.nudge(world.story.member_timeout + 0.5)
        self._watch_progress()
        world.begin(name, OLD if back else NEW)

    def _count(self, decision) -> None:
        self.world.tally["decisions"] += 1
        if not decision.start:
            self.world.note_reason(decision.reason)
        if decision.direction == BACK and self.checker.going_back and not self.schedule.in_flight and "returned" not in self.schedule.outcome.values():
            self.world.tally["turns back"] += bool(decision.start)

    def _watch_progress(self) -> None:
        if self.world.story.progress_deadline is not None:
            self.world.nudge(self.world.story.progress_deadline + 0.5)

    def _obey(self) -> None:
        word = self.world.word
        if word == self._obeyed:
            return
        self._obeyed = word
        self.world.note(f"the operator says {word}")
        if word == "pause":
            self.checker.hold = PAUSED
            self.schedule.hold(PAUSED)
        elif word == "go":
            self.checker.hold = ""
            self.schedule.go_on()
        elif word == "abort":
            self._stop(ABORTED, "P")

    def _stop(self, reason: str, promise: str) -> None:
        self.schedule.stop(reason)
        self.checker.stopped(promise)

    def _cut_overdue(self) -> None:
        now = self.world.now
        names = self.schedule.overdue(now)
        self.checker.overdue(names, now)
        for name in names:
            self.schedule.extended(name, now)  # for its rescue
            self.checker.extended(name, now)
            self.world.cut(name)

    def _wait_for_capacity(self, decision) -> None:
        """With nobody in flight only the fleet or the operator can change the answer; when neither does in time, the roll stops."""
        if decision.start or self.schedule.in_flight or self.checker.hold:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = self.world.now
            self.world.nudge(self.world.story.capacity_timeout + 0.5)
        elif self.world.now - self._short_since >= self.world.story.capacity_timeout:
            self._stop(f"no capacity came back: {decision.reason}", "E")
            last = self.schedule.decide(now=self.world.now)
            self.checker.decided(last, {}, {}, self.world.now)
            self.world.tally["stopped: no capacity"] += 1
            self.world.run_ended(short=True)


def needs_work(host: Host) -> bool:
    """Whether a run has to do it: not at the new release, or not in traffic."""
    return host.release != NEW or not host.is_live


def make_schedule(story: Scenario, fleet: Fleet, todo: list[str]) -> Schedule:
    """From what is observed on the fleet now, and from what the operator said."""
    members = [
        Member(name=name, domain=host.spec.domain, in_traffic=host.is_live, expected_s=host.spec.expected_s, step=host.spec.step, pool=host.pool)
        for name, host in fleet.hosts.items()
    ]
    names = {tuple(steps): name for name, steps in NAMED_STEPS.items()}
    limits = {
        pool.name: Limits(max_unavailable=pool.max_unavailable, min_live=pool.min_live, max_per_domain=pool.max_per_domain,
                          steps=named_steps(names.get(tuple(pool.steps), pool.steps)))
        for pool in story.pools.values()
    }
    policy = RunPolicy(
        max_failures=story.max_failures, on_failure=story.on_failure, domains_at_once=story.domains_at_once, max_in_flight=story.forks,
        member_timeout=story.member_timeout, progress_deadline=story.progress_deadline,
    )
    return Schedule(members, limits, policy, pending=todo)
