# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prober of a run: what it is asked to do when the user says only where users come in, and how the plan announces it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..module_utils._probe_plan import DEFAULT_MIX

# What the module has by default; the plan says it.
DEFAULT_RATE = 200.0
# A run may take long; the prober ends with it.
LONGEST_SECONDS = 86_400
HAPROXY = "haproxy"


def probe_options(probe: Mapping, service: Mapping, calls: Iterable[Mapping] = ()) -> dict:
    """The options of ``availability_probe`` for this service.

    The health path is asked where the mix names no path, and live capacity is read from the service's HAProxies unless ``capacity`` is given.

    :param probe: ``upgrade_probe``.
    :param calls: the load balancers as ``traffic_calls`` has them.
    """
    asked = {"max_seconds": LONGEST_SECONDS, **probe, "mix": [_entry(entry, service["health_path"]) for entry in probe.get("mix") or DEFAULT_MIX]}
    if "capacity" not in probe:
        balancers = [balancer for call in calls for balancer in call["load_balancers"]]
        asked["capacity"] = [source for balancer in balancers if (balancer.get("kind") or HAPROXY) == HAPROXY for source in _sources(balancer, service)]
    return asked


def _sources(balancer: Mapping, service: Mapping) -> list[dict]:
    """The pools to count on a load balancer: of blue-green both, because all traffic moves from one to the other; the report shows the one that has it."""
    pools = service.get("colours") or {}
    names = {f"{balancer['name']} {pool}": pool for pool in pools} or {balancer["name"]: service["backend"]}
    return [{"name": name, "endpoint": balancer["endpoint"], "backend": pool, "optional": True} for name, pool in names.items()]


def _entry(entry: Mapping, health_path: str) -> dict:
    return dict(entry) if entry.get("path") else {**entry, "path": health_path}


def announcement(service: Mapping) -> dict | None:
    """What the plan says of the prober: ``rate``, ``targets`` and ``paths``; None without one."""
    probe = service["probe"]
    if not probe:
        return None
    paths = dict.fromkeys(entry["path"] for entry in probe_options(probe, service)["mix"])
    return {"rate": float(probe.get("rate") or DEFAULT_RATE), "targets": list(probe.get("targets") or []), "paths": list(paths)}
