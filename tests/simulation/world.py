# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual time: events of one fleet in order, controllers that come and die, and what is checked of the fleet itself.

A story ends with a calm run of the same command on a repaired fleet: it must make the fleet complete, and one more must find nothing to do.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import ScheduleError

from .controller import Controller, Killed
from .fleet import NEW, Fleet, Host
from .rules import Violation, demand
from .scenario import DEATHS, Scenario, scenario
from .tally import Tally
from .tasks import FOREVER, RESCUE_SECONDS, Attempt, upgrade

# A roll that needs more events than this per member goes round in circles.
EVENTS_PER_MEMBER = 400


class World:
    """One story. ``history``: (second, what happened), for the reader of a failure."""

    def __init__(self, story: Scenario, tally: Tally) -> None:
        self.story = story
        self.tally = tally
        self.fleet = Fleet(story)
        self.history: list[tuple[float, str]] = []
        self.now = 0.0
        self.word = ""
        self._rng = random.Random(f"world of {story.seed}")
        self._queue: list[tuple[float, int, Callable, tuple]] = []
        self._number = 0
        self._happened = 0
        self._controller: Controller | None = None
        self._token = 0
        self._attempts: dict[str, Attempt] = {}
        self._orphans: set[Attempt] = set()
        self._is_noticed = True
        self._reason = ""
        self._deaths = list(story.deaths)
        self._calm = False
        self._reruns = 0
        self._complete = False

    def play(self) -> None:
        """The whole story.

        :raises Violation: when a promise is broken.
        """
        self._next_run()
        for since, what, whom in self.story.disturbances:
            self._after(since, self._disturb, what, whom)
        bound = EVENTS_PER_MEMBER * (len(self.story.servers) + 10)
        while self._queue and not self._complete:
            self.now, _number, call, arguments = heapq.heappop(self._queue)
            self._happened += 1
            self.tally["events"] += 1
            demand(self._happened < bound, "E", f"{bound} events and no end: the last reason was {self._reason!r}")
            before, self._is_noticed = self.fleet.changes, True
            call(*arguments)
            if self._controller is not None and (self._is_noticed or self.fleet.changes != before):
                self._look()
        demand(self._complete, "E", f"nothing happens any more and the roll is not over: the last reason was {self._reason!r}")

    # -- what the controller sees and does

    def note(self, text: str) -> None:
        self.history.append((self.now, text))

    def note_reason(self, reason: str) -> None:
        """A reason why nobody starts."""
        if reason != self._reason:
            self._reason = reason
            self.note(f"nobody starts: {reason}")
            self.tally.refused(reason)

    def nudge(self, seconds: float) -> None:
        """Let the controller look again after so many seconds."""
        self._after(seconds, lambda: None)

    def begin(self, name: str, target: str) -> None:
        """A member's play begins, as soon as no task of a dead controller is at work on the host."""
        host = self.fleet.hosts[name]
        faults = host.spec.faults
        fault = "fails" if self.story.bad_release and target == NEW else faults[host.attempts] if host.attempts < len(faults) else ""
        host.attempts += 1
        attempt = self._attempts[name] = Attempt(host, self._token, target, "" if self._calm else fault)
        if self._is_fenced(host):
            self.tally["waits at a fence"] += 1
            host.waiting_for_fence = attempt
        else:
            self._mutate(attempt)

    def _is_fenced(self, host: Host) -> bool:
        """Whether the task of a dead controller still holds the host's lock."""
        return host.mutator not in (None, self._token)

    def cut(self, name: str) -> None:
        """The controller gives a member up: its task is ended, its rescue begins."""
        attempt = self._attempts[name]
        self.note(f"{name} is cut")
        self.tally["hung members cut"] += 1
        attempt.host.waiting_for_fence = None
        attempt.tasks = iter([RESCUE_SECONDS])
        attempt.outcome = "failed"
        self._continue(attempt)

    def may_die(self, point: str) -> None:
        """:raises Killed: when the story says so of this event and this point of the controller's turn, or this is the turn's last point."""
        if not self._deaths or self._calm:
            return
        number, planned = self._deaths[0]
        if number <= self._happened and (planned == point or point == DEATHS[-1]):
            self._deaths.pop(0)
            raise Killed(point)

    # -- hosts

    def _mutate(self, attempt: Attempt) -> None:
        host = attempt.host
        demand(host.mutator is None, "I2", f"two tasks change {host.name} at the same time")
        host.mutator, attempt.has_begun = attempt.token, True
        attempt.tasks = upgrade(attempt, self.fleet)
        self._continue(attempt)

    def _continue(self, attempt: Attempt) -> None:
        """The task at hand is over, the next one begins."""
        seconds = next(attempt.tasks, None)
        if seconds is None:
            self._leave(attempt)
        elif seconds != FOREVER:
            attempt.due = self.now + seconds
            self._after(seconds, self._resume, attempt, attempt.tasks)
        elif self.story.member_timeout is None:
            # Nobody cuts it but the operator, some time after the roll has stopped for want of progress.
            self._after(self.story.progress_deadline + 1000.0, self._give_up, attempt)

    def _resume(self, attempt: Attempt, tasks) -> None:
        """A task is over. The controller notices the last one, and a change of who takes traffic."""
        self._is_noticed = False
        if attempt.tasks is tasks:
            release = attempt.host.release
            self._continue(attempt)
            self.tally["orphans that changed a host later"] += attempt.orphaned and attempt.host.release != release

    def _give_up(self, attempt: Attempt) -> None:
        if self._attempts.get(attempt.host.name) is attempt and self._controller is not None and attempt.tasks is not None:
            self.cut(attempt.host.name)

    def _leave(self, attempt: Attempt) -> None:
        """The last task of a member is over; whoever waits at the host's fence goes on."""
        host, self._is_noticed = attempt.host, True
        attempt.tasks, host.mutator = None, None
        self._orphans.discard(attempt)
        if not attempt.orphaned:
            del self._attempts[host.name]
            self._controller.finished(host.name, attempt.outcome)
        waiting, host.waiting_for_fence = host.waiting_for_fence, None
        if waiting is not None:
            self._mutate(waiting)

    # -- controllers

    def _look(self) -> None:
        try:
            self._controller.look()
        except Killed as death:
            self._die(death)

    def _die(self, death: Killed) -> None:
        self.note(f"the controller dies {death}")
        self.tally["controller deaths"] += 1
        self.tally[f"death {death}"] += 1
        self._controller = None
        for attempt in self._attempts.values():
            attempt.orphaned = True
            attempt.host.waiting_for_fence = None
            if attempt.has_begun and attempt.tasks is not None and attempt.due > self.now and attempt.due != FOREVER and self._rng.random() < 0.7:
                self._orphans.add(attempt)
                self.tally["orphans that went on"] += 1
            else:
                attempt.tasks, attempt.host.mutator = None, None if attempt.has_begun else attempt.host.mutator
        self._attempts = {}
        self._after(self._rng.uniform(0, 60), self._next_run)

    def _next_run(self) -> None:
        """The same command again, from what the fleet shows."""
        if self.fleet.blind or (self.story.successor_waits and self._orphans):
            self._after(5.0, self._next_run)  # nothing is decided before everything is seen and, with the lock, every orphan is gone
            return
        self._token += 1
        self.word = ""
        self.tally["runs"] += 1
        self.note(f"run {self._token} begins{', calm' if self._calm else ''}")
        try:
            self._controller = Controller(self, self._token)
        except ScheduleError as error:
            raise Violation("I7", f"the same command is refused on what is left: {error}") from error
        if self._token == 1:
            self._look()

    def run_ended(self, *, short: bool) -> None:
        """The controller's roll is over: what is left of it on the fleet?"""
        run, self._controller = self._controller, None
        run.checker.run_ended(short)
        self._check_outcomes(run)
        if self._calm or self.story.is_undisturbed:
            self._check_complete(run)
        complete = all(host.release == NEW and host.is_live for host in self.fleet.hosts.values())
        self.tally["rolls that ended complete" if complete else "rolls that ended short"] += 1
        self.tally["ways back completed"] += bool(run.checker.going_back) and not run.checker.back_ended
        self.note(f"the roll is over, {'complete' if complete else 'short'}")
        if self._calm:
            self._end(bool(run.todo), complete)
            return
        self._reruns += 1
        self._calm = self._reruns > 1 or self._rng.random() < 0.7
        if self._calm or not complete:
            self._after(60.0, self.fleet.repair)
        self._after(60.0, self._next_run)

    def _check_outcomes(self, run: Controller) -> None:
        """I1 and R on the hosts themselves: upgraded is upgraded and in rotation, returned is the old release, and both sides tell the same."""
        for name, outcome in run.schedule.outcome.items():
            demand(run.checker.outcome[name] == outcome, "R", f"{name} is told as {outcome}, but it is {run.checker.outcome[name]}")
            host = self.fleet.hosts[name]
            if outcome in ("ok", "returned"):
                demand((host.release == NEW) == (outcome == "ok"), "R", f"{name} is {outcome} and runs the {host.release} release")
                demand(host.in_rotation, "I7", f"{name} is {outcome} and left out of traffic")

    def _check_complete(self, run: Controller) -> None:
        """I7: the run reaches what an uninterrupted one would have; where the floor lets nobody go, it leaves everybody in traffic."""
        for host in self.fleet.hosts.values():
            may_leave = run.checker.pools[host.pool].floor < self.story.pools[host.pool].size
            # Whoever is out of traffic and pinned to a later step uses up what may be unavailable: the operator's word, not the scheduler's.
            pinned = any(server.step is not None for server in self.story.servers.values() if server.pool == host.pool)
            demand(host.is_live or pinned, "I7", f"{host.name} could be in traffic and is not")
            demand(host.release == NEW or pinned or not may_leave, "I7", f"{host.name} could be upgraded and is not")

    def _end(self, had_work: bool, complete: bool) -> None:
        """The story is over once a run on a complete fleet has found nothing to do."""
        if complete and had_work:
            self._after(1.0, self._next_run)
            return
        self.tally["fleets made complete"] += complete
        self.tally["rolls that had to end complete"] += self.story.is_undisturbed
        self.tally["second runs found nothing to do"] += complete
        self._complete = True

    # -- events

    def _after(self, seconds: float, call: Callable, *arguments) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now + seconds, self._number, call, arguments))

    def _disturb(self, what: str, whom: str) -> None:
        if self._calm:
            return
        self.note(f"{whom} {what}" if what != "operator" else f"operator: {whom}")
        self.tally[whom if what == "operator" else what] += 1
        if what == "operator":
            self.word = whom
        elif what == "goes blind":
            self.fleet.blind.add(whom)
        elif what == "sees again":
            self.fleet.blind.discard(whom)
        else:
            self.fleet.change(self.fleet.hosts[whom], healthy=what == "recovers")


def play(seed: str, tally: Tally) -> World:
    """Play the story of one seed; a violation carries the world in ``world``."""
    world = World(scenario(seed), tally)
    tally["fleets"] += 1
    tally["members"] += len(world.story.servers)
    tally["bad releases"] += world.story.bad_release
    try:
        world.play()
    except Violation as violation:
        violation.world = world
        raise
    return world
