# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members take new traffic on every load balancer, for a scheduler that asks between its decisions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Callable

from ...module_utils._load_balancers import open_load_balancers
from ...module_utils._traffic.interface import LoadBalancerError

# A reload takes no longer; the next look comes soon, and the controller must not stand still meanwhile.
PATIENCE_SECONDS = 1.0


class LiveView:
    """The live members of several pools, read again when the last look is too old.

    :param sources: pool to ``{load_balancers: [{name, endpoint}], backend}``; a pool without a source is not in the view.
    :param names: pool to ``{host name: member name on the load balancers}``.
    :param interval: seconds that one look is good for.
    """

    def __init__(self, sources: Mapping[str, Mapping[str, Any]], names: Mapping[str, Mapping[str, str]], interval: float,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._names = names
        self._interval = interval
        self._clock = clock
        self._read_at: float | None = None
        self.live: dict[str, frozenset[str]] = {}
        self.blind: dict[str, str] = {}

    @property
    def pools(self) -> frozenset[str]:
        """The pools that it looks at."""
        return frozenset(self._sources)

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._sources)

    def look(self) -> None:
        """Read the load balancers when the last look is too old."""
        if not self._sources or (self._read_at is not None and self._clock() - self._read_at < self._interval):
            return
        for pool, source in self._sources.items():
            seen, trouble = live_members(source)
            self.live[pool] = frozenset(host for host, member in self._names[pool].items() if member in seen)
            self.blind.pop(pool, None)
            if trouble:
                self.blind[pool] = trouble
        self._read_at = self._clock()

    def forget(self) -> None:
        """A member has just left traffic: the next reading must be a new one."""
        self._read_at = None


def live_members(source: Mapping[str, Any]) -> tuple[frozenset[str], str]:
    """Ask all load balancers of a pool.

    :param source: ``{load_balancers: [{name, endpoint}], backend}``.
    :returns: the names of the members that are live on *all* of them, and what went wrong (empty when nothing did). When one
        load balancer cannot be read, no member is known to be live.
    """
    if not isinstance(source, Mapping) or not {"load_balancers", "backend"} <= set(source):
        return frozenset(), f"rolling_live is {source!r}: give load_balancers (name, endpoint) and backend"
    try:
        balancers = open_load_balancers(source["load_balancers"], PATIENCE_SECONDS)
        views = [balancer.read(source["backend"]) for balancer in balancers]
    except LoadBalancerError as error:
        return frozenset(), str(error)
    pools = [view.backends[source["backend"]].members for view in views]
    return frozenset.intersection(*(frozenset(name for name, member in pool.items() if member.live) for pool in pools)), ""
