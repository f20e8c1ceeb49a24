# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives one pool on all load balancers in step: looks, changes, waits, and puts back what it changed.

Each look compares the states with the requested ones. A change that a reload has lost is requested again: the new process may have read the
state file before that change was written to it. Time is the caller's: see `Clock`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Callable

from .._host.clock import Clock
from .._host.control_error import UntouchedError
from .interface import CUT, DRAIN, MAINT, RECHECK, Backend, LoadBalancer, Member, Place, Synchronizing, require_members
from .undo import Undo, put_back
from .views import Changes

FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS, POLL_GROWTH = 0.05, 0.5, 1.3

# Reloads that may follow one another without a look that finds everything as it was set.
MOST_RELOADS = 5

# The administrative state in which a member is seen after a change that is none itself.
_SEEN_AS = {RECHECK: DRAIN, CUT: MAINT}


class DriftError(Exception):
    """A member is not in the state that it was set to: another program changes it, or the load balancer forgets it again and again."""


class DrivenPool:
    """One backend on all load balancers; `members` are the ones that this run is about.

    `before` is the first look and `now` the last one, by load balancer. `changed_at` is the epoch of the first change, None
    while nothing is changed. `held_since` has the steady time since when the last wait held, by load balancer and member. `processes`
    are those that answered last, by load balancer.
    """

    def __init__(self, balancers: Sequence[LoadBalancer], backend: str, members: Iterable[str], clock: Clock) -> None:
        self.backend = backend
        self.changed_at: float | None = None
        self.held_since: dict[Place, float] = {}
        self._balancers = {balancer.name: balancer for balancer in balancers}
        self._members = tuple(members)
        self._synchronizing: list[Synchronizing] = [balancer for balancer in balancers if isinstance(balancer, Synchronizing)]
        self._out: tuple[str, ...] = ()
        self._left_changed: list[str] = []
        self._clock = clock
        self._wanted: dict[str, dict[str, str]] = {}
        self._asked: dict[str, dict[str, str]] = {}
        self.processes: dict[str, int] = {}
        self._undo: dict[str, dict[str, str]] = {}
        self.now: Mapping[str, Backend] = self._read()
        self.before = self.now

    def member(self, place: Place) -> Member:
        """How a member was seen last, at (load balancer, member)."""
        balancer, name = place
        return self.now[balancer].members[name]

    def synchronize(self, out: Iterable[str] = ()) -> None:
        """From now on synchronize each load balancer before each look, see `Synchronizing`; `out` are the members that are to be out."""
        self._out = tuple(out)
        if self._synchronizing:
            self.look()

    def look(self) -> None:
        """Read all load balancers again, and ask again for what a reload has lost; raise DriftError when a member is not in the state that it was set to."""
        for _reload in range(MOST_RELOADS):
            before = dict(self.processes)
            self._synchronize()
            self.now = self._read()
            lost = self._lost()
            if not lost:
                return
            for balancer, names in lost.items():
                if self.processes[balancer] == before[balancer]:
                    raise self._drift(balancer, names[0])
                self._balancers[balancer].apply(self.backend, {name: self._asked[balancer][name] for name in names})
        raise self._drift(*next((balancer, names[0]) for balancer, names in lost.items()))

    def _synchronize(self) -> None:
        """Not every kind of load balancer needs it, see `Synchronizing`."""
        for balancer in self._synchronizing:
            self._left_changed += balancer.synchronize(self.backend, self._out)

    def _lost(self) -> dict[str, list[str]]:
        """The members that are not in the state that they were set to, by load balancer."""
        lost = {balancer: [name for name, admin in wanted.items() if self.member((balancer, name)).admin != admin] for balancer, wanted in self._wanted.items()}
        return {balancer: names for balancer, names in lost.items() if names}

    def _drift(self, balancer: str, name: str) -> DriftError:
        member = self.member((balancer, name))
        agent = (f"its agent check sets this state (make the agent answer neither ready nor drain, or disable it until the run is over: disable agent "
                 f"{self.backend}/{name}), " if member.agent else "")
        return DriftError(f"{balancer} has {self.backend}/{name} in {member.admin} although it was set to {self._wanted[balancer][name]}: "
                          f"{agent}it was reloaded, or another program changes it")

    def change(self, changes: Changes) -> None:
        """Make one atomic step on each load balancer, right after one another, and look."""
        if not changes:
            return
        if not self._wanted:
            self.changed_at = self._clock.epoch()
        for balancer, asked in changes.items():
            # Written down first: when the answer is lost, the change may have been made.
            noted = self._noted(balancer)
            undo = self._undo.setdefault(balancer, {})
            for name in asked:
                undo.setdefault(name, self.member((balancer, name)).admin)
            self._wanted.setdefault(balancer, {}).update({name: _SEEN_AS.get(change, change) for name, change in asked.items()})
            # Sessions are closed in maintenance, which was requested before.
            self._asked.setdefault(balancer, {}).update({name: change for name, change in asked.items() if change != CUT})
            try:
                self._balancers[balancer].apply(self.backend, asked)
            except UntouchedError:
                self._note_again(balancer, noted)
                raise
        self.look()

    def _noted(self, balancer: str) -> list[dict[str, str] | None]:
        """A copy of what is written down of a load balancer."""
        return [dict(states[balancer]) if balancer in states else None for states in (self._wanted, self._asked, self._undo)]

    def _note_again(self, balancer: str, noted: Sequence[dict[str, str] | None]) -> None:
        """A change was not made: have written down what was before it."""
        for states, before in zip((self._wanted, self._asked, self._undo), noted):
            if before is None:
                states.pop(balancer, None)
            else:
                states[balancer] = before
        self.changed_at = self.changed_at if self._wanted else None

    def wait(
        self, members: Sequence[str], condition: Callable[[Member], bool], deadline: float, in_vain: Callable[[float], bool] = lambda now: False,
        still_to_watch: Callable[[float], float] = lambda now: 0.0
    ) -> list[Place]:
        """Look until `condition` is true of these members on every load balancer. Return where it is not at the deadline, or when it can no longer be.

        :param still_to_watch: called at each look, for how many seconds more to look when it is true of all, also after the deadline.
        """
        pause = FIRST_POLL_SECONDS
        self.held_since = {}
        while True:
            now = self._clock.steady()
            rest = self._where_not(members, condition, now)
            watched = still_to_watch(now)
            if in_vain(now) or (now >= deadline if rest else not watched):
                return rest
            self._clock.sleep(min(pause, deadline - now if rest else watched))
            pause = min(LONGEST_POLL_SECONDS, pause * POLL_GROWTH)
            self.look()

    def undo(self) -> str:
        """Restore the earlier states of all changes; returns sentences on where that worked, and what to do where it did not."""
        if not self._wanted:
            return ". ".join(self._left_changed) or "Nothing was changed"
        undos = [Undo(name, partial(self._restore, self._balancers[name], states), partial(self._balancers[name].command, self.backend, states))
                 for name, states in self._undo.items()]
        undone = put_back(undos, self._clock.sleep)
        for balancer in undone.back:
            del self._wanted[balancer], self._asked[balancer], self._undo[balancer]
        self.changed_at = self.changed_at if undone.left else None
        return ". ".join([*undone.sentences("The previous state was"), *self._left_changed])

    @property
    def is_changed(self) -> bool:
        """Whether a change was made that was not undone."""
        return bool(self._wanted)

    def _read(self) -> dict[str, Backend]:
        """The backend on every load balancer; an unknown member is an error that names the ones that are known."""
        pools = {}
        for balancer in self._balancers.values():
            view = balancer.read(self.backend)
            pool = view.backends[self.backend]
            self.processes[balancer.name] = view.process
            require_members(f"{balancer.name} ({balancer.endpoint})", self.backend, pool.members, self._members)
            pools[balancer.name] = pool
        return pools

    def _where_not(self, members: Sequence[str], condition: Callable[[Member], bool], now: float) -> list[Place]:
        rest = []
        for place in ((balancer, name) for balancer in self.now for name in members):
            if condition(self.member(place)):
                self.held_since.setdefault(place, now)
            else:
                self.held_since.pop(place, None)
                rest.append(place)
        return rest

    def _restore(self, balancer: LoadBalancer, states: Mapping[str, str]) -> str:
        """Set and read back; return what is wrong, or an empty string."""
        balancer.apply(self.backend, states)
        members = balancer.read(self.backend).backends[self.backend].members
        wrong = [name for name, admin in states.items() if name not in members or members[name].admin != admin]
        return f"{', '.join(wrong)} did not go back" if wrong else ""
