# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database servers grouped into clusters by their state: which one takes writes, which are standbys, and which were demoted and are no standbys yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .patches import PATCH


def database_clusters(servers: Mapping[str, Mapping[str, Any]], switch_back: bool = False) -> dict[str, Any]:
    """Which servers belong together, and in which order they are patched.

    :param servers: host to ``{system_identifier, primary, read_only, waiting}`` (``waiting``: what is to be installed there), or to ``{problem}``.
    :param switch_back: whether the current primary becomes the primary again.
    :returns: ``{clusters, problems}``; a cluster is ``{primary, hosts, demoted, first, successor, last, returns}``: ``demoted`` are to follow the primary
        before anything else, ``first`` are patched while they are standbys, ``successor`` takes over from a primary that waits (None when it does not),
        which is ``last``.
    """
    problems = [f"database server {name} cannot be read: {facts['problem']}. Repair it, or take it out of the group"
                for name, facts in sorted(servers.items()) if facts.get("problem")]
    by_data: dict[str, list[str]] = {}
    for name in sorted(set(servers) - {name for name, facts in servers.items() if facts.get("problem")}):
        by_data.setdefault(servers[name]["system_identifier"], []).append(name)
    clusters = []
    for hosts in by_data.values():
        writable = [name for name in hosts if servers[name]["primary"] and not servers[name]["read_only"]]
        if len(writable) != 1:
            problems.append(f"of the database servers {', '.join(hosts)}, which have the same data, {' and '.join(writable) or 'none'} take writes: "
                            "one should. Repair that first (alwayson.upgrade.failover, alwayson.upgrade.database_rejoin)")
            continue
        clusters.append(_cluster(writable[0], hosts, servers, switch_back))
        if clusters[-1]["last"] and len(hosts) == 1:
            problems.append(f"database server {hosts[0]} has no standby in the group that could take over: patch it in a window of its own, or give it one")
    return {"clusters": clusters, "problems": problems}


def servers_to_patch(local: Mapping[str, Any]) -> list[str]:
    """The database servers that ``patch.yml`` looks at; none when the run goes another way, or has a problem already.

    :param local: the variables of the controller: ``alwayson_service`` and ``alwayson_problems``.
    """
    service = local.get("alwayson_service") or {}
    if service.get("direction") != PATCH or local.get("alwayson_problems"):
        return []
    return service["hosts"]["database_servers"]


def servers_seen(names: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Database server to what was seen of it, or to the problem that it cannot be reached, for ``database_clusters``."""
    return {name: hostvars[name].get("alwayson_server") or {"problem": "it cannot be reached"} for name in names}


def _cluster(primary: str, hosts: list[str], servers: Mapping[str, Mapping[str, Any]], switch_back: bool) -> dict[str, Any]:
    standbys = [name for name in hosts if name != primary]
    is_due = bool(servers[primary]["waiting"])
    return {
        "primary": primary, "hosts": hosts,
        "demoted": [name for name in standbys if servers[name]["primary"]],
        "first": [name for name in standbys if servers[name]["waiting"]],
        "successor": standbys[0] if is_due and standbys else None,
        "last": [primary] if is_due else [],
        "returns": bool(is_due and switch_back),
    }
