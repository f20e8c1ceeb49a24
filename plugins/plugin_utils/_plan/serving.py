# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members serve, by what the load balancers say now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from .shapes import Observed, Service


def is_live_everywhere(facts: Mapping[str, Any], observed: Observed, service: Service) -> bool:
    """Whether every load balancer sends this member new traffic."""
    views = list(_views(facts, observed["load_balancers"], service))
    return bool(views) and all(view is not None and view["live"] for view in views)


def serving_members(results: Iterable[Mapping[str, Any]], service: Service, observed: Observed) -> dict[str, Any]:
    """Who serves now, for decisions in the middle of a roll: what was observed before it is old by then.

    A load balancer that could not be read may send traffic to every member, and is no proof that a member is live.

    :param results: of a looped traffic_info task, of which some may have failed.
    :param observed: see ``plan.make_plan``: the members, and the load balancers that there are.
    :returns: ``{everywhere: hosts, anywhere: hosts, problems: sentences}``: the hosts that every load balancer sends new traffic to, those that any does,
        and which load balancers could not be read.
    """
    read: dict[str, Any] = {}
    why = []
    for result in results:
        read.update(result.get("load_balancers") or {})
        why += [] if result.get("load_balancers") else [str(result.get("msg") or "no answer")]
    why = why or ["no answer"]
    unread = sorted(set(observed["load_balancers"]) - set(read))
    members = observed["members"]
    live = {name: [view is not None and view["live"] for view in _views(facts, read, service)] for name, facts in members.items()}
    return {
        "everywhere": sorted(name for name, views in live.items() if views and all(views) and not unread),
        "anywhere": sorted(name for name, views in live.items() if any(views) or unread),
        "problems": [f"{', '.join(unread)} could not be read: {'; '.join(dict.fromkeys(why))}"] if unread else [],
    }


def _views(facts: Mapping[str, Any], balancers: Mapping[str, Any], service: Service) -> Iterator[Mapping[str, Any] | None]:
    """How each load balancer sees this member; None where it does not know it."""
    for balancer in balancers.values():
        backend = balancer["backends"].get(service["backend"], {"members": {}})
        yield backend["members"].get(facts["name"])
