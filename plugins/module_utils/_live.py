# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members take new traffic on every load balancer, for a scheduler that asks between its decisions."""

from __future__ import annotations

from typing import Mapping

from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy import open_load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import LoadBalancerError


def live_members(source: Mapping) -> tuple[frozenset[str], str]:
    """Ask all load balancers of a pool.

    :param source: ``{load_balancers: [{name, endpoint}], backend}``.
    :returns: the names of the members that are live on *all* of them, and what went wrong (empty when nothing did). When one
        load balancer cannot be asked, nobody is known to be live.
    """
    if not isinstance(source, Mapping) or not {"load_balancers", "backend"} <= set(source):
        return frozenset(), f"rolling_live is {source!r}: give load_balancers (name, endpoint) and backend"
    try:
        views = [balancer.read(source["backend"]) for balancer in open_load_balancers(source["load_balancers"])]
    except LoadBalancerError as error:
        return frozenset(), str(error)
    pools = [view.backends[source["backend"]].members for view in views]
    return frozenset.intersection(*(frozenset(name for name, member in pool.items() if member.live) for pool in pools)), ""
