# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes members of a pool out of traffic and back, on all load balancers in step, and proves it.

Out: drain everywhere, wait until nothing is in flight anywhere, maintenance everywhere, and again nothing in flight and
nothing queued. Drain alone still lets in clients that are bound to a member by a cookie. For a moment the counters of
requests are watched, to see that maintenance keeps all clients out: see `_traffic.arrivals`.

Back: drain with a recheck everywhere, wait until the health check has passed everywhere, then ready everywhere. From
maintenance straight to ready, a load balancer would send users to an application that may be dead.

Whatever fails on the way, the state before comes back on every load balancer that was touched; what cannot be put back is
named with the command that does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .._host.clock import Clock
from . import views
from .arrivals import ArrivalsWatch
from .interface import HEALTHY, MAINT, READY, LoadBalancer, LoadBalancerError, Member, Place
from .pool import DriftError, DrivenPool
from .views import CHECKED, DRAINED, DRAINING

ROLLBACK, FAIL, CUT_OFF = "rollback", "fail", "cut"

# Two runs that took members at once and saw each other under the floor step back for a time that differs.
FIRST_RETREAT_SECONDS, LONGEST_RETREAT_SECONDS = 0.2, 5.0
# How long sessions that were cut may take to be gone.
CUT_SECONDS = 5.0

_BYPASS = "find what sends requests to it in this state"
_UNCHECKED_NOTE = "the load balancer has no health check of its own for this member, so none was waited for"


class TrafficError(Exception):
    """The members did not reach the requested state. The message says why, and in what state they are now."""


class _DrainTimeout(TrafficError):
    """Sessions did not end in time; with `FAIL` the members stay as they are."""


@dataclass(frozen=True)
class Request:
    """A requested change: `members` of `backend` to `state`; with `READY`, those in `out` are drained at the same moment.

    `timeout` bounds each wait in seconds: for capacity above `min_live`, for sessions to end, for health checks to pass.
    `on_timeout` is what happens when sessions do not end in time.
    """

    backend: str
    members: tuple[str, ...]
    state: str
    out: tuple[str, ...] = ()
    min_live: int = 0
    timeout: float = 60.0
    on_timeout: str = ROLLBACK

    def require_sensible(self) -> None:
        """Raise TrafficError when the request contradicts itself."""
        if not self.members:
            raise TrafficError("members is empty: name at least one member")
        both = sorted(set(self.members) & set(self.out))
        if both:
            raise TrafficError(f"{', '.join(both)} is in members and in out: remove it from one of them")
        if self.out and self.state != READY:
            raise TrafficError(f"out goes with state=ready, not with state={self.state}: give these members in members")
        for name in ("min_live", "timeout"):
            if getattr(self, name) < 0:
                raise TrafficError(f"{name} is {getattr(self, name)}: it must be at least 0")


@dataclass(frozen=True)
class Result:
    """What was done: the administrative states before and after, the proof and the live members, by load balancer. Times are epoch seconds."""

    changed: bool
    before: dict[str, dict[str, str]]
    after: dict[str, dict[str, str]]
    proof: dict[str, dict[str, dict[str, Any]]]
    live: dict[str, int]
    started: float
    finished: float
    warnings: tuple[str, ...] = ()


def dry_run(balancers: Sequence[LoadBalancer], request: Request, clock: Clock = Clock()) -> Result:
    """What `apply` would end in. Only reads; raises as it does when a load balancer, the backend or a member is not there."""
    return _Sequence(balancers, request, clock).dry_run()


def apply(balancers: Sequence[LoadBalancer], request: Request, clock: Clock = Clock()) -> Result:
    """Bring the members into the state and prove it on every load balancer.

    Raises LoadBalancerError before anything is changed, and TrafficError when it did not work out.
    """
    return _Sequence(balancers, request, clock).apply()


class _Sequence:
    """One request under way."""

    def __init__(self, balancers: Sequence[LoadBalancer], request: Request, clock: Clock) -> None:
        request.require_sensible()
        self._request = request
        self._clock = clock
        self._began, self._started = clock.steady(), clock.epoch()
        self._cut: dict[Place, int] = {}
        self._given_late: dict[Place, int] = {}
        if request.on_timeout == CUT_OFF:
            _require_cutters(balancers)
        self._pool = DrivenPool(balancers, request.backend, (*request.members, *request.out), clock)

    def dry_run(self) -> Result:
        self._require_provable()
        self._require_no_panic()
        request = self._request
        after = views.states_after(self._pool.now, request.state, request.members, request.out)
        return self._result(after, changed=after != self._states(self._pool.before))

    def apply(self) -> Result:
        steps = {DRAINED: self._drained, DRAINING: self._draining, CHECKED: self._checked, READY: self._ready}
        self._require_provable()
        self._require_no_panic()
        try:
            self._pool.synchronize(self._request.members if self._request.state == DRAINED else ())
            steps[self._request.state]()
        except _DrainTimeout as error:
            if self._request.on_timeout != FAIL:
                raise TrafficError(f"{error}. {self._pool.undo()}") from error
            raise TrafficError(f"{error}. The members keep this state: run this again to continue, or return them with state=ready") from error
        except (TrafficError, DriftError, LoadBalancerError) as error:
            raise TrafficError(f"{error}. {self._pool.undo()}") from error
        except BaseException:
            # Interrupted: not even then does a member stay half drained.
            self._pool.undo()
            raise
        return self._result(self._states(self._pool.now), changed=self._pool.is_changed)

    def _require_provable(self) -> None:
        """Refuse to take a member out where the configuration makes the proof impossible. One that comes back is always let in."""
        if self._request.state in (CHECKED, READY) and not self._request.out:
            return
        sentences = [f"{balancer}: {sentence}" for balancer, pool in self._pool.now.items() for sentence in pool.refusals]
        if sentences:
            raise TrafficError(f"no drain of {self._request.backend} can be proven. {'. '.join(sentences)}")

    def _require_no_panic(self) -> None:
        """Refuse to take out so many that drained members get requests again."""
        request = self._request
        going, coming = (request.members, ()) if request.state in (DRAINED, DRAINING) else (request.out, request.members if request.state == READY else ())
        problem = views.ends_in_panic(self._pool.now, coming, going) if going else ""
        if problem:
            raise TrafficError(f"no drain of {request.backend} can be proven. {problem}")

    # -- out of traffic

    def _drained(self) -> None:
        self._draining()
        members, begun = self._request.members, self._clock.steady()
        deadline = begun + self._request.timeout
        sticky = views.StickyWatch(begun, self._request.timeout)
        busy = self._pool.wait(members, _is_idle, deadline, lambda now: sticky.in_vain(now, self._pool.now, members))
        if busy and self._clock.steady() >= deadline:
            self._require_cutting(busy)
        states = views.admin_states(self._pool.now, members)
        self._pool.change(views.maint_changes(self._pool.now, members))
        watch = ArrivalsWatch(members, {(balancer, name) for balancer, admins in states.items() for name, admin in admins.items() if admin == MAINT})
        busy = self._watched(watch, deadline)
        if busy:
            self._require_cutting(busy)
            self._cut_off()
            self._watched(watch, self._clock.steady())
        self._given_late = watch.given()
        # Another program may have changed the configuration in the meantime.
        self._require_provable()

    def _watched(self, watch: ArrivalsWatch, deadline: float) -> list[Place]:
        """Wait until no request is in flight, and none has arrived for as long as each member is watched; return where requests are still in flight."""
        pool = self._pool

        def in_vain(now: float) -> bool:
            return watch.in_vain(now) or (now >= deadline and bool(watch.rising()))

        busy = pool.wait(self._request.members, _is_out, deadline, in_vain, lambda now: watch.look(now, pool.now, pool.processes))
        given = watch.given()
        sentences = [f"{self._request.backend}/{name} was given {given[balancer, name]} more sessions on {balancer} after it was set to maintenance"
                     f": {pool.now[balancer].bypass or _BYPASS}" for balancer, name in watch.rising()]
        if sentences:
            raise TrafficError(". ".join(sentences))
        return busy

    def _draining(self) -> None:
        """Drain what is ready, when that leaves enough live members; taken back, and tried again, when it did not after all."""
        self._know_the_health()
        deadline = self._clock.steady() + self._request.timeout
        retreat = FIRST_RETREAT_SECONDS
        while True:
            short = self._drain_above_floor()
            if not short:
                return
            if self._clock.steady() >= deadline:
                raise TrafficError(f"{short}, for {self._request.timeout:g} s now: return other members to traffic first")
            self._clock.sleep(retreat * (0.5 + self._clock.chance()))
            retreat = min(LONGEST_RETREAT_SECONDS, retreat * 2)
            self._pool.look()

    def _know_the_health(self) -> None:
        """Where a floor has to be kept, wait until load balancers that have restarted their checks know which members are healthy."""
        seconds = max(pool.unknown_for for pool in self._pool.now.values()) if self._request.min_live else 0.0
        if seconds:
            self._clock.sleep(seconds)
            self._pool.look()

    def _drain_above_floor(self) -> str:
        """Drain, and count again: others may have done the same in this moment. Return why that may not be, with nothing changed then."""
        pool, floor = self._pool, self._request.min_live
        changes = views.drain_changes(pool.now, self._request.members)
        leaving = views.capacity_leaving(pool.now, changes)
        in_vain = views.never_above_floor(pool.now, leaving, floor)
        if in_vain:
            raise TrafficError(in_vain)
        short = views.short_of_floor(pool.now, leaving, floor)
        if short:
            return short
        pool.change(changes)
        short = views.short_of_floor(pool.now, leaving, floor)
        if short:
            pool.undo()
            if pool.is_changed:
                raise TrafficError(short)
        return short

    def _require_cutting(self, busy: Sequence[Place]) -> None:
        if self._request.on_timeout != CUT_OFF:
            raise _DrainTimeout(self._described(busy, "is not drained", lambda member: f"in {member.admin}, {_left(member)}"))

    def _cut_off(self) -> None:
        """Close what did not end in time. In maintenance nothing can come after it."""
        changes = views.cut_changes(self._pool.now, self._request.members)
        self._cut = {(balancer, name): self._pool.member((balancer, name)).sessions for balancer, names in changes.items() for name in names}
        self._pool.change(changes)
        busy = self._pool.wait(self._request.members, _is_cut_off, self._clock.steady() + CUT_SECONDS)
        if busy:
            raise TrafficError(self._described(busy, "still has sessions after they were closed", _left))

    # -- back into traffic

    def _checked(self) -> None:
        self._pool.change(views.check_changes(self._pool.now, self._request.members))
        unhealthy = self._pool.wait(self._request.members, _is_proven_healthy, self._clock.steady() + self._request.timeout)
        if unhealthy:
            raise TrafficError(self._described(unhealthy, "does not pass its health check", lambda member: f"{member.health} {member.check}".strip()))

    def _ready(self) -> None:
        self._checked()
        self._pool.change(views.ready_changes(self._pool.now, self._request.members, self._request.out))
        missing = self._pool.wait(self._request.members, lambda member: member.serving, self._clock.steady() + self._request.timeout)
        if missing:
            raise TrafficError(self._described(missing, "takes no traffic", lambda member: f"{member.health} {member.check}, weight {member.weight}"))

    # -- reporting

    def _described(self, places: Sequence[Place], what: str, how: Callable[[Member], str]) -> str:
        """One sentence on all members at fault, such as ``app/app1 is not drained on lb1 (in drain, 3 sessions, 0 queued) after 60 s``."""
        sentences = [f"{self._request.backend}/{name} {what} on {balancer} ({how(self._pool.member((balancer, name)))})" for balancer, name in places]
        return f"{'; '.join(sentences)} after {self._request.timeout:g} s"

    def _states(self, pools: views.Pools) -> dict[str, dict[str, str]]:
        return views.admin_states(pools, (*self._request.members, *self._request.out))

    def _result(self, after: dict[str, dict[str, str]], changed: bool) -> Result:
        return Result(
            changed=changed,
            before=self._states(self._pool.before),
            after=after,
            proof={balancer: {name: self._proof((balancer, name), admin) for name, admin in states.items()} for balancer, states in after.items()},
            live={balancer: pool.live for balancer, pool in self._pool.now.items()},
            started=self._pool.changed_at or self._started,
            finished=self._clock.epoch(),
            warnings=tuple(self._warnings()),
        )

    def _proof(self, place: Place, after: str) -> dict[str, Any]:
        balancer, name = place
        now = self._pool.member(place)
        proof = {
            "before": self._pool.before[balancer].members[name].admin,
            "after": after,
            "health": now.health,
            "check": now.check,
            "sessions": now.sessions,
            "queued": now.queued,
            "cut": self._cut.get(place, 0),
            "waited_s": round(self._pool.held_since.get(place, self._began) - self._began, 3),
        }
        note = now.note or (_UNCHECKED_NOTE if self._request.state in (CHECKED, READY) and not now.probed else "")
        if note:
            proof["note"] = note
        return proof

    def _warnings(self) -> Iterator[str]:
        for balancer, pool in self._pool.now.items():
            yield from (f"{balancer}: {sentence}" for sentence in pool.warnings)
            for name in (*self._request.members, *self._request.out):
                if pool.members[name].agent:
                    yield f"{self._request.backend}/{name} has an agent check on {balancer}, which can override the state that is set here"
        for (balancer, name), count in self._given_late.items():
            yield f"{self._request.backend}/{name} was given {count} more sessions on {balancer} after it was set to maintenance, and no more after that"


def _require_cutters(balancers: Sequence[LoadBalancer]) -> None:
    unable = [balancer.name for balancer in balancers if not balancer.can_cut]
    if unable:
        raise TrafficError(f"on_timeout is {CUT_OFF}, and {', '.join(unable)} cannot close the sessions of one member: choose {ROLLBACK} or {FAIL}")


def _is_idle(member: Member) -> bool:
    return member.sessions == 0


def _is_cut_off(member: Member) -> bool:
    return member.sessions == 0 and member.queued == 0


def _is_out(member: Member) -> bool:
    return _is_cut_off(member) and member.lingering == 0


def _left(member: Member) -> str:
    late = f", {member.lingering} connections from before a reload that may send it another request" if member.lingering else ""
    what = f": {member.sessions_note}" if member.sessions and member.sessions_note else ""
    return f"{member.sessions} sessions, {member.queued} queued{late}{what}"


def _is_proven_healthy(member: Member) -> bool:
    return member.health in HEALTHY and member.confirmed
