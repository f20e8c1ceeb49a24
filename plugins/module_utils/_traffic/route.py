# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a service's traffic to another pool, on all load balancers in step, and proves it: blue-green.

What a reload would read is written first, on every load balancer. Then the running processes are changed, right after one another, each by one command.
When a step fails, the previous route is restored on every load balancer. What could not be restored is named, with the command that does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Protocol

from .._host.clock import Clock
from .._host.waiting import wait_for
from .interface import Backend, LoadBalancer, LoadBalancerError
from .pool import FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS, POLL_GROWTH
from .undo import Undo, put_back

# How long the pool to go to is looked at again when it has too few live members: a health check may fail for a moment.
LIVE_SECONDS = 10.0
# How often a route is set that is not seen: a process that takes over at a reload has read the map's file before it was written.
ATTEMPTS = 3


class RouteError(Exception):
    """The traffic does not go where it should. The message says why, and where it goes now."""


# The options of the doc fragment `map_key`.
MAP_ARGUMENTS = {
    "map": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": False},
    "persist": {"type": "bool", "default": True},
}


class Table(Protocol):
    """Where one load balancer looks up the pool of a key. Every method raises LoadBalancerError."""

    name: str
    path: str

    def routes(self) -> dict[str, str]:
        """The pool of each key, as the process has them."""

    def route(self, key: str) -> str | None:
        """The pool that the process sends the key's requests to; None when only its configuration decides."""

    def kept(self, key: str) -> str | None:
        """The same, as a reload would read it."""

    def set_route(self, key: str, value: str | None) -> None:
        """Send them elsewhere, in one atomic step."""

    def keep(self, key: str, value: str | None) -> None:
        """Have a reload read that."""

    def command(self, key: str, value: str | None) -> str:
        """What a person types in a shell to send them there."""


class Routing(LoadBalancer, Protocol):
    """A kind of load balancer that looks up in a table where a request goes."""

    def table(self, name: str, is_kept: bool) -> Table:
        """The table of this name.

        :param is_kept: whether what a reload reads is on this host, and is to say the same as the process.
        """


@dataclass(frozen=True)
class Side:
    """One load balancer: its table, and a way to see one of its pools, which raises LoadBalancerError when there is none such."""

    table: Table
    pool: Callable[[str], Backend]

    @property
    def name(self) -> str:
        return self.table.name


@dataclass(frozen=True)
class Request:
    """`key` is to lead to `value`: a pool, which must have `min_live` live members on every load balancer; anything else when that is None.

    `drain_wait` is for how many seconds at most the pools before are watched until nothing is in flight there.
    """

    key: str
    value: str
    min_live: int | None = 1
    drain_wait: float = 0.0


@dataclass(frozen=True)
class Result:
    """What was done; `before` and `after` are the routes by load balancer, `proof` is `RETURN` of the module. Times are epoch seconds."""

    changed: bool
    before: dict[str, str | None]
    after: dict[str, str | None]
    proof: dict[str, dict[str, Any]]
    started: float
    finished: float


def sides_of(balancers: Sequence[LoadBalancer], name: str, is_kept: bool) -> list[Side]:
    """Each load balancer with its table of this name, see `Routing.table`. Raise LoadBalancerError for one whose kind has none."""
    sides = []
    for balancer in balancers:
        if not hasattr(balancer, "table"):
            raise LoadBalancerError(f"{balancer.name} ({balancer.endpoint}) has no map in which it looks up a route: its kind has none. "
                                    "Move its members by alwayson.upgrade.traffic_member")
        sides.append(Side(balancer.table(name, is_kept), partial(_pool, balancer)))
    return sides


def _pool(balancer: LoadBalancer, backend: str) -> Backend:
    return balancer.read(backend).backends[backend]


class Rerouting:
    """One request under way. Raises LoadBalancerError or RouteError when a pool is not there, or has too few live members.

    :ivar before: where the key led at first, by load balancer.
    """

    def __init__(self, sides: Sequence[Side], request: Request, clock: Clock = Clock()) -> None:
        self._sides, self._request, self._clock = sides, request, clock
        self._started = clock.epoch()
        self._live = {} if request.min_live is None else {side.name: self._require_live(side, request.min_live) for side in sides}
        self.before = {side.name: side.table.route(request.key) for side in sides}
        self._kept_before = {side.name: side.table.kept(request.key) for side in sides}
        self._left = [side.name for side in sides if self._is_left(side)]
        self._touched: list[Side] = []

    def dry_run(self) -> Result:
        """What `apply` would end in. Only reads."""
        return self._result(self._is_due(), {side.name: self._request.value for side in self._sides}, {})

    def apply(self) -> Result:
        """Send the traffic there and prove it. Raises RouteError when it did not work out."""
        changed = self._is_due()
        try:
            self._reroute()
        except (RouteError, LoadBalancerError) as error:
            raise RouteError(f"{error}. {self._undo()}") from error
        except BaseException:
            # Interrupted: not even then do some load balancers send the traffic elsewhere than the others.
            self._undo()
            raise
        try:
            sessions = self._wait_for_drain()
        except LoadBalancerError as error:
            raise RouteError(f"{error}. The route has moved to {self._request.value} everywhere, and stays") from error
        return self._result(changed, {side.name: self._request.value for side in self._sides}, sessions)

    def _is_due(self) -> bool:
        wanted = self._request.value
        return any(route != wanted for routes in (self.before, self._kept_before) for route in routes.values())

    def _reroute(self) -> None:
        key, wanted = self._request.key, self._request.value
        due = [side for side in self._sides if {self.before[side.name], self._kept_before[side.name]} != {wanted}]
        for side in due:
            # Written down first: when the answer is lost, the change may have been made.
            self._touched.append(side)
            side.table.keep(key, wanted)
        for _attempt in range(ATTEMPTS):
            for side in due:
                side.table.set_route(key, wanted)
            routes = {side: side.table.route(key) for side in self._sides}
            due = [side for side in due if routes[side] != wanted]
            if not due:
                break
        for side, found in routes.items():
            if found != wanted:
                raise RouteError(f"{side.name} sends {key} to {found} although it was set to {wanted}: it was reloaded, or another program changes it")

    def _undo(self) -> str:
        """Bring the routes before back wherever something was changed; a sentence that says where that worked, and what to do where it did not."""
        if not self._touched:
            return "Nothing was changed"
        undone = put_back([Undo(side.name, partial(self._restore, side), partial(side.table.command, self._request.key, self.before[side.name]))
                           for side in self._touched], self._clock.sleep)
        return ". ".join(undone.sentences("The previous route was"))

    def _restore(self, side: Side) -> str:
        """Set and read back; return what is wrong, or an empty string."""
        key, before = self._request.key, self.before[side.name]
        side.table.keep(key, self._kept_before[side.name])
        if side.table.route(key) != before:
            side.table.set_route(key, before)
        found = side.table.route(key)
        return "" if found == before else f"it sends {key} to {found}"

    def _wait_for_drain(self) -> dict[str, int]:
        """Watch the former pools until nothing is in flight there, or for the requested time; returns the remaining sessions, by load balancer."""
        deadline, pause = self._clock.steady() + self._request.drain_wait, FIRST_POLL_SECONDS
        while True:
            sessions = {side.name: self._sessions(side) for side in self._sides if side.name in self._left}
            now = self._clock.steady()
            if not any(sessions.values()) or now >= deadline:
                return sessions
            self._clock.sleep(min(pause, deadline - now))
            pause = min(LONGEST_POLL_SECONDS, pause * POLL_GROWTH)

    def _is_left(self, side: Side) -> bool:
        """Whether the route leads away from a pool that can be watched."""
        before = self.before[side.name]
        if before in (None, self._request.value) or self._request.min_live is None:
            return False
        try:
            side.pool(before)
        except LoadBalancerError:
            return False
        return True

    def _sessions(self, side: Side) -> int:
        before = self.before[side.name]
        members = side.pool(before).members.values() if before is not None else ()
        return sum(member.sessions + member.queued for member in members)

    def _require_live(self, side: Side, min_live: int) -> int:
        """A health check that fails for a moment is looked at again."""
        found: list[int] = []
        look = partial(self._look_for_live, side, min_live, found)
        is_enough = wait_for(look, LIVE_SECONDS, LONGEST_POLL_SECONDS, self._clock.steady, self._clock.sleep)
        live = found[-1]
        if not is_enough:
            raise RouteError(f"{self._request.value} has {live} live members on {side.name}, and {min_live} are required. Nothing was changed: "
                             "alwayson.upgrade.traffic_info shows why, min_live says how many are enough")
        return live

    def _look_for_live(self, side: Side, min_live: int, found: list[int]) -> bool:
        found.append(side.pool(self._request.value).live)
        return found[-1] >= min_live

    def _result(self, changed: bool, after: Mapping[str, str | None], sessions: Mapping[str, int]) -> Result:
        proof = {side.name: {"before": self.before[side.name], "after": after[side.name], "map": side.table.path, "live": self._live.get(side.name),
                             "sessions_before": sessions.get(side.name, 0)} for side in self._sides}
        return Result(changed, dict(self.before), dict(after), proof, self._started, self._clock.epoch())
