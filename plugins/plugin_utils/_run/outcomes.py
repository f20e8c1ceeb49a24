# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each host in a roll, read from what its plays left in its variables. Pure: variables in, data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._plan.host_names import name_problems
from .._plan.shapes import Observed, Plan, RunRecord, Service

# A member sets this before it leaves traffic; when it is still there at the end, the host was lost on the way.
UNDER_WAY = "under way"


def play_hosts(hosts: Sequence[str]) -> list[str]:
    """The hosts of a play, or a pattern that matches none: an empty list of hosts is an error.

    :raises ValueError: for a name that would be read as a pattern, so that other hosts take part.
    """
    problems = name_problems(hosts, "the play")
    if problems:
        raise ValueError(problems[0])
    return list(hosts) or ["localhost", "!localhost"]


def failure_text(result: Mapping[str, Any]) -> str:
    """Why a task failed, in its own words and one line; of a loop, the words of the items that failed."""
    items = [item for item in result.get("results") or [] if item.get("failed") or item.get("unreachable")]
    words = [" ".join(str(item["msg"]).split()) for item in items or [result] if item.get("msg")]
    return "; ".join(dict.fromkeys(words)) or "failed"


def probe_figures(registered: Mapping[str, Any], since: float | None = None) -> dict[str, Any]:
    """What the prober measured, out of the result of ``availability_probe``; of one that failed, its last figures, and ``problem``, why there are no more.

    :param since: when the run began, in epoch seconds: figures of a prober that was started before are another run's, and left out.
    """
    figures = registered.get("result") or {}
    if since is not None and figures and float(figures.get("started") or 0) < float(since):
        return {"problem": "the prober of this run did not start: what is in its directory is of an earlier run"}
    problem = {} if registered.get("msg") is None else {"problem": str(registered["msg"])}
    return {**figures, **problem}


def member_outcomes(plan: Plan, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Host to ``{outcome, why, release_after, out, release, smoke, in}``; outcome is upgraded, returned, left_out, lost or untouched."""
    outcomes = {}
    # Hosts that were there already have an outcome only when they were taken back.
    taken_back = [name for name in plan["return_to"] if name not in plan["pending"] and hostvars[name].get("alwayson_outcome")]
    for name in [*plan["pending"], *taken_back]:
        left = dict(hostvars[name].get("alwayson_outcome") or {"outcome": "untouched"})
        if left["outcome"] == UNDER_WAY:
            left["outcome"] = "lost"
            left["out"] = hostvars[name].get("pool_member_out") or {}
        outcomes[name] = left
    return outcomes


def ready_for_cutover(plan: Plan, hostvars: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the first half, or the side without traffic, is completely upgraded, and the roll was not stopped."""
    if not plan["cutover"] and (plan["method"] != "half_pool" or not plan["pending"]):
        return False
    outcomes = member_outcomes(plan, hostvars)
    return all(outcomes[name]["outcome"] == "upgraded" and not hostvars[name].get("rolling_stopped") for name in plan["steps"][0])


def hosts_to_restore(plan: Plan, hostvars: Mapping[str, Mapping[str, Any]], serving: Mapping[str, Any]) -> list[str]:
    """The hosts that a stopped half-pool roll left out of traffic although nothing is wrong with them.

    Before the flip these are upgraded hosts that stand by; after it, hosts that the flip drained and no run started. No host that serves anywhere is among
    them: where a flip reached only some of the load balancers, both halves do.

    :param serving: see ``serving.serving_members``, read after the roll.
    """
    if plan["method"] != "half_pool":
        return []
    outcomes = {name: left["outcome"] for name, left in member_outcomes(plan, hostvars).items()}
    standing_by = [name for name in plan["steps"][0] if outcomes[name] == "upgraded"]
    drained = [name for name in plan["steps"][1] if outcomes[name] == "untouched"]
    is_flipped = any(name in serving["anywhere"] for name in (standing_by or plan["halves"][0]))
    return [name for name in (drained if is_flipped else standing_by) if name not in serving["anywhere"]]


def hosts_to_roll_back(plan: Plan, hostvars: Mapping[str, Mapping[str, Any]], on_failure: str, rolled: bool) -> list[str]:
    """The hosts that answer the new release although the roll failed, when the policy is to roll all back."""
    if rolled or on_failure != "rollback" or plan["release_from"] == plan["release_to"]:
        return []
    outcomes = {name: left["outcome"] for name, left in member_outcomes(plan, hostvars).items()}
    there = [name for name in plan["there"] if outcomes.get(name, "untouched") == "untouched"]
    return [name for name in [*there, *(name for name, outcome in outcomes.items() if outcome == "upgraded")]
            if plan["return_to"][name] != plan["release_to"]]


def roll_problems(plan: Plan, hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why the roll stopped, where no member's own outcome says it: the operator, a deadline, capacity that never came."""
    if any(left["outcome"] not in ("upgraded", "untouched") and left.get("why") for left in member_outcomes(plan, hostvars).values()):
        return []
    reasons = [hostvars[name].get("rolling_stopped") for name in plan["pending"]]
    return [f"the roll stopped: {reason}" for reason in dict.fromkeys(reasons) if reason]


def unprepared(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]], sign: str = "alwayson_prepared") -> list[str]:
    """A sentence for each host that the preparation failed on or lost; one that succeeded has set the variable `sign`."""
    return [hostvars[host].get("alwayson_problem") or f"{host} was lost while it was prepared"
            for host in hosts if not hostvars[host].get(sign)]


def kept_problems(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]], name: str = "alwayson_problem") -> list[str]:
    """What went wrong on the hosts that kept a problem in the variable *name*."""
    return [hostvars[host][name] for host in hosts if name in hostvars[host]]


def hosts_to_prepare(plan: Plan, service: Service) -> list[str]:
    """The members that a release is staged on, and the database hosts that are backed up and migrated."""
    databases = service["hosts"]["databases"] if service["direction"] == "upgrade" and not plan["nothing_to_do"] else []
    return [*(plan["pending"] if plan["needs_archive"] else []), *databases]


def preparation_problems(plan: Plan, hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each host on which something was not prepared.

    :param hosts: see ``hosts_to_prepare``.
    """
    problems = unprepared(hosts, hostvars)
    # The migration tool does not run where anything before it failed.
    tool = plan.get("migration_tool")
    tool_hosts = [tool["host"]] if tool and not problems else []
    return [*problems, *unprepared(tool_hosts, hostvars, "alwayson_migrated"), *unprepared(plan["updates_held"]["hosts"], hostvars, "alwayson_updates_held")]


def roll_is_complete(plan: Plan, hostvars: Mapping[str, Mapping[str, Any]], is_flipped: bool) -> bool:
    """Whether every member is upgraded, and the traffic was moved where the method moves it."""
    needs_flip = plan["cutover"] is not None or (plan["method"] == "half_pool" and bool(plan["pending"]))
    return all(left["outcome"] == "upgraded" for left in member_outcomes(plan, hostvars).values()) and (is_flipped or not needs_flip)


def held_problems(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each host where unattended updates stay held although the run has ended."""
    released = {host: hostvars[host].get("patching_release") or {} for host in hosts if hostvars[host].get("alwayson_updates_held")}
    return [f"unattended updates stay held on {host}: {result.get('msg', 'the host did not answer')}. The same command again lets them in"
            for host, result in released.items() if result.get("failed") or result.get("unreachable") or not result]


def database_outcomes(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Database host to ``{backup, backup_after, migrations}`` as the roles registered them; migrations is a list of results."""
    names = ("backup", "backup_after", "migrations")
    return {host: {name: hostvars[host].get(f"alwayson_{name}") or {} for name in names} for host in hosts}


def as_built(plan: Plan, service: Service, observed: Observed, record: RunRecord) -> dict[str, Any]:
    """What now runs where, for people and for the next tool: releases, addresses, load balancers, databases with their migrations."""
    return {
        "service": plan["service"],
        "release": plan["release_to"] if record["ok"] else None,
        "written": record["finished"],
        "members": {name: {"release": record["members"][name]["release_after"], "address": facts["address"], "zone": facts["domain"],
                           "outcome": record["members"][name]["outcome"]} for name, facts in sorted(observed["members"].items())},
        "load_balancers": {name: {"endpoint": balancer["endpoint"], "version": balancer["version"], "pool": service["backend"]}
                           for name, balancer in sorted(observed["load_balancers"].items())},
        "databases": {name: {"host": entry["host"], "backup": (entry["backup_after"] or entry["backup"]).get("path"),
                             "migrations": [f"{row['release']} {row['phase']} {row['step']}" for row in entry["migrations"]]}
                      for name, entry in sorted(record["databases"].items())},
    }
