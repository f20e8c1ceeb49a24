# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One decision: members are chosen one by one, each pool in turn, as long as every limit allows one more. Pure.

The limits only get tighter while a decision is made, so a host that was refused once is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .._text.figures import plural
from .limits import PREFIX
from .pool_queue import PoolQueue


class Choice:
    """The members that start now (``start``, in order), and why no further one of each pool does (``reasons``).

    :param pools: every pool of the roll.
    :param live: pool to the members in traffic; no member is chosen from a pool that is not in it.
    :param max_in_flight: members in flight of all pools together; None without a limit.
    :param domains_at_once: failure domains with a member in flight, over all pools; None without a limit.
    """

    def __init__(self, pools: Iterable[PoolQueue], live: Mapping[str, frozenset[str]], *, max_in_flight: int | None, domains_at_once: int | None) -> None:
        pools = list(pools)
        self.start: list[str] = []
        self.reasons: list[str] = []
        self._max_in_flight = max_in_flight
        self._domains_at_once = domains_at_once
        self._prefix = next((pool.prefix for pool in pools), PREFIX)
        self._in_flight = sum(len(pool.in_flight) for pool in pools)
        self._domains = {domain for pool in pools for domain in pool.domains_in_flight}
        openings = [_Opening(pool, live[pool.name]) for pool in pools if pool.name in live]
        while openings:
            openings = [opening for opening in openings if self._take_one(opening)]

    def _take_one(self, opening: _Opening) -> bool:
        name = opening.next_member(self)
        if name is None:
            self.reasons += [opening.reason] if opening.reason else []
            return False
        self.start.append(name)
        self._in_flight += 1
        self._domains.add(opening.take(name))
        return True

    def refusal(self) -> str:
        """Why no member of any pool may start, or an empty string."""
        if self._max_in_flight is None or self._in_flight < self._max_in_flight:
            return ""
        return f"{_members(self._in_flight, '', 'in flight')}; the controller serves {self._max_in_flight} (forks)"

    def allows_domain(self, domain: str | None) -> bool:
        """Whether a member of this failure domain may start beside those in flight."""
        return self._domains_at_once is None or domain in self._domains or len(self._domains) < self._domains_at_once

    def domain_refusal(self) -> str:
        """Why no member of a further failure domain may start."""
        names = sorted("no domain" if other is None else other for other in self._domains)
        return f"members of {', '.join(names)} are in flight; {self._prefix}domains_at_once allows {self._domains_at_once}"


class _Opening:
    """What one pool's limits still allow. ``reason``: the first reason met why a member may not start."""

    def __init__(self, pool: PoolQueue, live: frozenset[str]) -> None:
        self.reason = ""
        self._pool = pool
        self._live = live
        self._busy = len(pool.in_flight)
        self._busy_in: dict[str | None, int] = {}
        self._remaining = 0
        self._full_domains: set[str | None] = set()
        self._queue: Iterator[str] | None = None

    def _look(self) -> Iterator[str]:
        """Only when a host may start at all, because it goes through all hosts that are live or waiting."""
        self._busy_in = dict(self._pool.domains_in_flight)
        self._remaining = len(self._live) - len(self._live.intersection(self._pool.in_flight))
        self._queue = self._pool.candidates(self._live, self._full_domains)
        return self._queue

    def next_member(self, run: Choice) -> str | None:
        """The next member that no limit refuses; None when there is none."""
        if not self._pool.has_candidates():
            self.reason = self._pool.step_refusal() if self._pool.waiting_count else ""
            return None
        self.reason = run.refusal() or self._window_refusal()
        if self.reason:
            return None
        for name in self._queue if self._queue is not None else self._look():
            domain = self._pool.members[name].domain
            if not run.allows_domain(domain):
                self.reason = self.reason or run.domain_refusal()
                self._full_domains.add(domain)
            elif self._is_full(domain):
                self.reason = self.reason or self._domain_refusal(domain)
                self._full_domains.add(domain)
            elif self._would_go_under_the_floor(name):
                self.reason = self.reason or self._floor_refusal(name)
                return None  # those out of traffic went first: all others are live
            else:
                return name
        return None

    def take(self, name: str) -> str | None:
        """Count the chosen member as in flight; returns its failure domain."""
        domain = self._pool.members[name].domain
        self._busy += 1
        self._busy_in[domain] = self._busy_in.get(domain, 0) + 1
        self._remaining -= name in self._live
        return domain

    def _window_refusal(self) -> str:
        if self._busy < self._pool.window:
            return ""
        return f"{_members(self._busy, f' of {self._pool.name}', 'in flight')}; {self._pool.prefix}max_unavailable allows {self._pool.window}"

    def _is_full(self, domain: str | None) -> bool:
        window = self._pool.window_of(domain)
        return window is not None and self._busy_in.get(domain, 0) >= window

    def _domain_refusal(self, domain: str | None) -> str:
        where = " without a domain" if domain is None else f" of {domain}"
        return f"{_members(self._busy_in.get(domain, 0), where, 'in flight')}; {self._pool.prefix}max_per_domain allows {self._pool.window_of(domain)}"

    def _would_go_under_the_floor(self, name: str) -> bool:
        """A live member may leave only when the floor stays; a member that is out of traffic already costs nothing."""
        return name in self._live and self._remaining - 1 < self._pool.floor

    def _floor_refusal(self, name: str) -> str:
        return (f"{_members(self._remaining, f' of {self._pool.name}', 'live beside those in flight')}; "
                f"taking {name} would leave less than the floor of {self._pool.floor}")


def _members(count: int, which: str, what: str) -> str:
    return f"{plural(count, 'member')}{which} {'is' if count == 1 else 'are'} {what}"
