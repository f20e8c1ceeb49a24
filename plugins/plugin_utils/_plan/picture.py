# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was observed of a fleet, put together from what each host's tasks left in its variables. Pure: variables in, data out."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .connections import unverified
from .observation import merge_views, traffic_calls, with_headers
from .shapes import Service

# Where HAProxy listens unless a load balancer's host says otherwise.
ENDPOINT = "unix:/run/haproxy/admin.sock"
# What the preflight reads of a member.
PREFLIGHT = ("serving", "user", "running", "problems", "asked")
# What is read of a database host whose databases could be read.
OF_DATABASES = ("databases", "replicas", "missing_privileges")
MIGRATIONS, STANDBYS = "migrations", "standbys"


def service_calls(service: Service, hostvars: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Which host drives which load balancers of the service, by the variables of the load balancers' hosts.

    Without ``traffic_settings`` and ``traffic_headers``, which may be secret: the result is kept as a fact, and facts are printed by -v.

    :param service: see ``service.describe``.
    :returns: see ``observation.traffic_calls``.
    """
    names = service["hosts"]["load_balancers"]
    known = [hostvars[name] for name in names]
    endpoints = [one.get("traffic_endpoint", ENDPOINT) for one in known]
    options = [[one.get(f"traffic_{option}", "") for one in known] for option in ("master_endpoint", "state_file", "kind")]
    return traffic_calls(names, endpoints, service["traffic_via"], *options)


def front_urls(service: Service, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Load balancer to the URL at which users reach it, empty where its host names none."""
    return {name: hostvars[name].get("front_url", "") for name in service["hosts"]["load_balancers"]}


def live_source(service: Service, calls: Sequence[Mapping[str, Any]], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Where the strategy reads live capacity, ``{load_balancers, backend}``; None where the controller does not reach the load balancers.

    :param calls: see ``service_calls``.
    """
    if service["traffic_via"] != "localhost":
        return None
    return {"load_balancers": with_headers(calls[0]["load_balancers"], hostvars), "backend": service["backend"]}


def observed_member(info: Mapping[str, Any], updates: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is known of one member.

    :param info: the result of ``member_info``, which may have failed.
    :param updates: the result of ``package_updates_info``, which may have failed; None where no updates are to be installed.
    :returns: ``{release, previous, available, expected_s, patches, lost, unreachable, preflight}``; ``lost`` says why the member was not read, or is None.
    """
    has_failed, is_unreachable = bool(info.get("failed")), bool(info.get("unreachable"))
    patches = updates
    if updates is not None and updates.get("failed"):
        patches = {"problem": updates.get("msg", "")}
    return {
        "release": info.get("current"),
        "previous": info.get("previous"),
        "available": info.get("available", {}),
        "expected_s": info.get("last_upgrade_seconds") or 0,
        "patches": patches,
        "lost": info["msg"] if has_failed or is_unreachable else None,
        "unreachable": is_unreachable,
        "preflight": {} if has_failed else {name: info[name] for name in PREFLIGHT if name in info},
    }


def database_purposes(service: Service, backup_method: str) -> list[str]:
    """What a database host's role has to be allowed to do in this run; see the option ``purposes`` of ``database_info``."""
    forward = service["direction"] == "upgrade"
    return [*([backup_method] if forward else []),
            *([MIGRATIONS] if forward and service["migrations"] is not None else []),
            *([STANDBYS] if int(service["database_standbys"]) > 0 else [])]


def observed_fleet(service: Service, hostvars: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Any],
                   has_server: Callable[[object], bool]) -> dict[str, Any]:
    """The picture of the fleet that plans are made of.

    :param service: see ``service.describe``.
    :param hostvars: of each member ``alwayson_member`` (see ``observed_member``), of each database host ``alwayson_database_info``.
    :param seen: ``{traffic, migrations, interrupted, intent}``: the results of the traffic_info calls, the paths of the migrations that there are, and
        what the lock says of a run that never ended.
    :param has_server: see ``connections.unverified``.
    :returns: see ``plan.make_plan``.
    :raises ValueError: when a load balancer was not read.
    """
    databases = service["hosts"]["databases"]
    answers = {name: hostvars[name].get("alwayson_database_info") or {} for name in databases}
    read = {name: answer for name, answer in answers.items() if "databases" in answer}
    to_verify = list(dict.fromkeys([*databases, *service["hosts"]["database_servers"]]))
    return {
        **merge_views(seen["traffic"], service["backend"]),
        "members": {name: hostvars[name]["alwayson_member"] for name in service["hosts"]["members"]},
        "migrations": _relative(seen["migrations"], service["migrations"]),
        "tenants": {name: hostvars[name].get("postgresql_tenants", {}) for name in databases},
        **{what: {name: answer[what] for name, answer in read.items()} for what in OF_DATABASES},
        "lost_databases": {name: answer.get("msg", "it was not read") for name, answer in answers.items() if name not in read},
        "unverified": unverified(to_verify, service["hosts"]["poolers"], hostvars, has_server),
        "interrupted": seen["interrupted"],
        "intent": seen["intent"],
    }


def _relative(paths: Iterable[str], folder: str | None) -> list[str]:
    return [posixpath.relpath(path, folder) for path in paths] if folder else []
