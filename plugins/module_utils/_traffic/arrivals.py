# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether members that are in maintenance are still given requests, as the load balancers count them. Pure.

A rule of the configuration may send to a member whatever its state is, and the configuration that runs may be another than its file. The counters show what
happens. A rise may have an earlier cause: a request whose connection failed is retried, and an API may report its numbers late. So after a rise the
counter has to stand still for longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from .interface import Backend, Member, Place

# How long a counter that has risen has to stand still; for how long it may rise.
STILL_AFTER_RISE_SECONDS, RISING_SECONDS = 5.0, 10.0


@dataclass(frozen=True)
class _Counter:
    """A counter: what it said last, and in which process; since when it stands still; when it rose first, and by how much in all."""

    process: int
    arrivals: int
    since: float
    risen_at: float | None = None
    came: int = 0

    def after(self, now: float, process: int, arrivals: int) -> _Counter:
        """The same after another look. Another process counts again, and so does one whose counters were reset."""
        if process != self.process or arrivals <= self.arrivals:
            return replace(self, process=process, arrivals=arrivals)
        return replace(self, arrivals=arrivals, since=now, risen_at=now if self.risen_at is None else self.risen_at, came=self.came + arrivals - self.arrivals)


class ArrivalsWatch:
    """Watches `members` from the moment on in which they are in maintenance everywhere. Times are in seconds, of a steady clock.

    :param out_before: where members were in maintenance before, so that what is known of that time counts.
    """

    def __init__(self, members: Iterable[str], out_before: Collection[Place] = ()) -> None:
        self._members, self._out_before = tuple(members), out_before
        self._counters: dict[Place, _Counter] = {}
        self._rest: dict[Place, float] = {}

    def look(self, now: float, pools: Mapping[str, Backend], processes: Mapping[str, int]) -> float:
        """Take in a look; return for how many seconds more the counters have to stand still, 0 when it was long enough.

        :param processes: which process of each load balancer has answered.
        """
        for place in ((balancer, name) for balancer in pools for name in self._members):
            balancer, name = place
            member = pools[balancer].members[name]
            idle = member.idle_seconds if place in self._out_before else 0.0
            before = self._counters.get(place) or _Counter(processes[balancer], member.arrivals, now - idle)
            self._counters[place] = before.after(now, processes[balancer], member.arrivals)
            self._rest[place] = self._still_to_watch(self._counters[place], member, now)
        return max(self._rest.values(), default=0.0)

    def in_vain(self, now: float) -> bool:
        """Whether some counter goes on rising for too long."""
        since = [self._counters[place].risen_at for place in self.rising()]
        return any(now - risen_at >= RISING_SECONDS for risen_at in since if risen_at is not None)

    def rising(self) -> list[Place]:
        """Where members were given more, and not long ago."""
        return [place for place in self.given() if self._rest[place] > 0]

    def given(self) -> dict[Place, int]:
        """How many sessions members were given since the first look, where it was any."""
        return {place: counter.came for place, counter in self._counters.items() if counter.came}

    def _still_to_watch(self, counter: _Counter, member: Member, now: float) -> float:
        """Rounded, as a clock's smallest steps would have it sleep for ever."""
        seconds = max(member.watch_seconds, STILL_AFTER_RISE_SECONDS) if counter.came else member.watch_seconds
        return round(max(0.0, counter.since + seconds - now), 6)
