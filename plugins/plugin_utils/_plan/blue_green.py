# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue-green: two pools of which one has the traffic. Which of them a run works on is read from the fleet. Pure.

The side that is worked on is the pool of everything that follows: its members are the members, its backend is the backend. It is the one that has no
traffic, unless the other one runs the release already: then the fleet is there, or a run was killed between two load balancers' cutovers. Without a release,
a rollback has the traffic go to the pool with the older one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils._traffic.views import disagreements

from .target import ROLLBACK, goal_of, intent_before, is_newer
from .shapes import Observed, Service

METHOD = "blue_green"
# A side without traffic has no floor: all its members may be out at once.
NO_FLOOR = {"max_unavailable": "100%", "min_live": 0, "max_per_domain": None}
# What a team may say of the map: whose requests go where by which key, whether its file is written, and how the testers' requests are recognised.
ROUTE_KEYS = ("map", "key", "persist", "testers_key", "testers_headers")
# Keys of version 0.2, which work until 1.0.0.
RENAMED_KEYS = {"crew_key": "testers_key", "crew_headers": "testers_headers"}


def renamed_keys(route: object) -> dict[str, str]:
    """The keys of ``upgrade_route`` that are given under an old name, to their new ones."""
    return {old: new for old, new in RENAMED_KEYS.items() if old in route} if isinstance(route, Mapping) else {}


def with_new_names(route: object) -> object:
    """``upgrade_route`` with its new keys. A new key counts where its old one is given too."""
    old = renamed_keys(route)
    if not old or not isinstance(route, Mapping):
        return route
    return {**{new: route[name] for name, new in old.items()}, **{key: value for key, value in route.items() if key not in old}}


def described(service: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """The hosts of each pool in ``upgrade_colours`` (pool to inventory group), and what is wrong with that and with ``upgrade_route``."""
    pools, route = service["blue_green"], service["route"]
    if not isinstance(pools, Mapping) or len(pools) != 2:
        return {}, [("upgrade_method is blue_green, and upgrade_colours does not name two pools: give the load balancers' backends with the inventory "
                     "group of each, for example {blue: app_blue, green: app_green}")]
    hosts: dict[str, list[str]] = {}
    problems = []
    for pool, group in pools.items():
        hosts[str(pool)] = list(groups.get(group, ())) if isinstance(group, str) else []
        if not hosts[str(pool)]:
            close = difflib.get_close_matches(str(group), list(groups), n=1)
            problems.append(f"upgrade_colours gives the pool {pool!r} the group {group!r}, which is not in the inventory or has no host"
                            + (f": did you mean {close[0]!r}?" if close and close[0] != group else ": see ansible-inventory --graph"))
    both = sorted(set.intersection(*map(set, hosts.values())))
    if both:
        problems.append(f"{', '.join(both)} is in both groups of upgrade_colours: a host is in one pool")
    if not isinstance(route, Mapping) or not route.get("map") or not route.get("key"):
        problems.append("upgrade_route is not set: give the map and the key that decide which pool has the traffic, for example "
                        "{map: /etc/haproxy/active.map, key: active}")
    elif set(route) - set(ROUTE_KEYS):
        problems.append(f"upgrade_route has {', '.join(sorted(set(route) - set(ROUTE_KEYS)))}: it has {', '.join(ROUTE_KEYS)}")
    elif route.get("testers_headers") and not route.get("testers_key"):
        problems.append("upgrade_route has testers_headers without testers_key: give the key that decides where requests with these headers go")
    return hosts, problems


def choose_side(service: Service, observed: Observed) -> dict[str, Any]:
    """Narrow the description and what was observed to the side that is worked on.

    :param service: see ``service.describe``; ``blue_green`` are the hosts by pool.
    :param observed: see ``plan.make_plan``; the load balancers have ``routes`` too.
    :returns: ``{service, observed}``. ``service.side`` is ``{to, serving, is_routed, release}``: the pool that is worked on, the pools that have the
        traffic, whether all of it goes there already, and what the other pool runs. ``observed.everybody`` are the members of both pools, and
        ``observed.problems`` sentences that speak against any run.
    """
    routes = {name: balancer.get("routes", {}).get(service["route"]["key"]) for name, balancer in sorted(observed["load_balancers"].items())}
    serving = [pool for pool in service["blue_green"] if pool in routes.values()]
    runs = {pool: _one_release(service, observed, pool) for pool in service["blue_green"]}
    release = service["release"]
    if release is None and service["direction"] == ROLLBACK:
        release = _release_to_return_to(observed, serving, runs)
    unknown = [] if release is not None or service["direction"] != ROLLBACK else [
        "neither pool runs one release on all of its members: name the release to return to with -e upgrade_release=..."]
    side = _side(release, serving, runs)
    other = next(pool for pool in service["blue_green"] if pool != side)
    names = service["blue_green"][side]
    everybody = {name: {**facts, "pool": _pool_of(service, name)} for name, facts in observed["members"].items()}
    chosen = {**service, **NO_FLOOR, "release": release, "backend": side, "members": side, "hosts": {**service["hosts"], "members": names},
              "side": {"to": side, "serving": serving, "is_routed": set(routes.values()) == {side}, "release": runs[other]}}
    is_there = release is not None and release == runs[side]
    return {
        "service": chosen,
        "observed": {**observed, "members": {name: everybody[name] for name in names}, "everybody": everybody,
                     "disagreements": list(disagreements(observed["load_balancers"], side)),
                     "problems": _route_problems(service, routes) + ([] if is_there else _torn(routes, serving)) + unknown},
    }


def _side(wanted: str | None, serving: Sequence[str], runs: Mapping[str, str | None]) -> str:
    """The pool that runs the release that is wanted, when it has traffic; else the one that has none."""
    there = [pool for pool in serving if wanted is not None and runs[pool] == wanted]
    idle = [pool for pool in runs if pool not in serving]
    return (there or idle or list(serving))[0]


def _release_to_return_to(observed: Observed, serving: Sequence[str], runs: Mapping[str, str | None]) -> str | None:
    """The release that the last run came from, where a pool runs it; else the older one of the two pools'. Whatever runs only in part does not count."""
    known = {pool: release for pool, release in runs.items() if release is not None}
    goal = goal_of(intent_before(observed), [known[pool] for pool in serving if pool in known])
    if goal in known.values():
        return goal
    first = [pool for pool in (*serving, *runs) if pool in known]
    return next((known[pool] for pool in first if not any(is_newer(known[pool], other) for other in known.values())), None)


def _one_release(service: Service, observed: Observed, pool: str) -> str | None:
    """The release that the members of a pool run; None when they run several. One that was lost does not count: the plan names it."""
    members = [observed["members"][name] for name in service["blue_green"][pool]]
    releases = {facts.get("release") for facts in members if not facts.get("lost")}
    return releases.pop() if len(releases) == 1 else None


def _pool_of(service: Service, name: str) -> str:
    return next(pool for pool, names in service["blue_green"].items() if name in names)


def _torn(routes: Mapping[str, str | None], serving: Sequence[str]) -> list[str]:
    """Load balancers that serve different pools, neither of which runs the release that is wanted."""
    if len(serving) < 2:
        return []
    targets = ", ".join(f"{name} to {route}" for name, route in routes.items())
    return [(f"the load balancers send the traffic to different pools ({targets}): finish that first, by ansible-playbook alwayson.upgrade.rollback "
             "-e upgrade_release=... with the release of the pool that should have all of it")]


def _route_problems(service: Service, routes: Mapping[str, str | None]) -> list[str]:
    known = ", ".join(service["blue_green"])
    key, table = service["route"]["key"], service["route"]["map"]
    return [f"{name} sends {key!r} of its map {table} to {route!r}, which is no pool of upgrade_colours ({known})" if route is not None else
            f"the map {table} of {name} has no key {key!r}: add a line with the pool that has the traffic, one of {known}"
            for name, route in routes.items() if route not in service["blue_green"]]
