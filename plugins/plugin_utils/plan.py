# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is observed to what will be done: the waves, the capacity at every step, the phases, and the reasons to refuse. Pure.

Everything that decides is read from the fleet (the load balancers' view and the release each host runs), so planning
again after an interrupted run *is* the resume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..module_utils._version import compare

from .limits import Limits, ScheduleError
from .migrations import to_contract, to_expand
from .schedule import Schedule
from .steps import Member, split_into_steps
from .waves import waves


def make_plan(service: Mapping, observed: Mapping) -> dict:
    """Plan the roll.

    :param service: see ``service.describe``.
    :param observed: ``members`` (host to ``{release, previous, available, address, domain, name, expected_s, lost}``), ``load_balancers``
        (name to ``{backends: {backend: {members: {...}}}}`` as from traffic_info), ``disagreements`` (sentences), ``databases``
        (host to database_info's ``databases``) and ``migrations`` (files such as ``2.0.0/expand/001_add.sql``).
    :returns: release_from, release_to, pending, steps (host names), waves, limits, live, refusals (sentences), nothing_to_do, ...
    """
    members = observed["members"]
    release_to, target_problem = _target(service, members)
    live = sorted(name for name, facts in members.items() if is_live_everywhere(facts, observed, service))
    pending = sorted(name for name, facts in members.items() if facts.get("release") != release_to or name not in live)
    limits = _limits(service, len(members))
    plan = {
        "service": service["service"],
        "method": service["method"],
        "direction": service["direction"],
        "release_to": release_to,
        "release_from": _release_from(members, release_to),
        "pool_size": len(members),
        "live": live,
        "pending": pending,
        "expand": [],
        "contract": [],
        "limits": {"max_unavailable": limits.max_unavailable, "min_live": limits.min_live},
        "halves": [[], []],
        "steps": [[], []],
        "waves": [],
        "refusals": [target_problem] if target_problem else [],
    }
    try:
        plan["limits"] = {"max_unavailable": limits.window(len(members)), "min_live": limits.floor(len(members))}
        plan["halves"], plan["steps"], plan["waves"] = _steps_and_waves(service, observed, pending, limits)
    except ScheduleError as error:
        plan["refusals"].append(str(error).replace("rolling_", "upgrade_"))
    # An upgrade always brings its archive, whose checksum is compared with what a host holds already; a way back only where it is gone.
    plan["needs_archive"] = bool(pending) and (service["direction"] == "upgrade" or bool(_without_the_release(observed, plan)))
    if not target_problem and service["direction"] == "upgrade":
        plan["refusals"] += _choose_migrations(service, observed, plan)
    plan["nothing_to_do"] = not pending and not plan["contract"] and not target_problem
    plan["refusals"] += _refusals(service, observed, plan)
    return plan


def _choose_migrations(service: Mapping, observed: Mapping, plan: dict) -> list[str]:
    """Fill in the releases whose schemas are expanded and contracted; returns what is wrong with the files."""
    files = observed["migrations"]
    try:
        plan["expand"] = to_expand(files, plan["release_from"], plan["release_to"])
        if service["contract"]:
            plan["contract"] = to_contract(files, observed["databases"], plan["expand"], plan["release_to"])
    except ValueError as error:
        return [str(error)]
    return []


def is_live_everywhere(facts: Mapping, observed: Mapping, service: Mapping) -> bool:
    """Whether every load balancer sends this member new traffic."""
    views = list(_views(facts, observed, service))
    return bool(views) and all(view is not None and view["live"] for view in views)


def _views(facts: Mapping, observed: Mapping, service: Mapping):
    """How each load balancer sees this member; None where it does not know it."""
    for balancer in observed["load_balancers"].values():
        backend = balancer["backends"].get(service["backend"], {"members": {}})
        yield backend["members"].get(facts["name"])


def _target(service: Mapping, members: Mapping) -> tuple[str | None, str]:
    """The release to go to, and what is wrong with it. A rollback goes to the one release that every host had before."""
    if service["release"] is not None:
        return service["release"], ""
    before = sorted({str(facts.get("previous")) for facts in members.values()})
    if len(before) == 1 and before[0] != "None":
        return before[0], ""
    return None, f"the hosts do not agree on the release before this one ({', '.join(before)}): name it with -e upgrade_release=..."


def _release_from(members: Mapping, release_to: str | None) -> str | None:
    """The release that most of the hosts run which are not there yet; the target itself when all are."""
    others = [facts["release"] for facts in members.values() if facts.get("release") and facts["release"] != release_to]
    return max(sorted(set(others)), key=others.count) if others else release_to


def _limits(service: Mapping, pool_size: int) -> Limits:
    """The halves of a half-pool are its window: the larger half may be out at once, as many as the smaller half stay live."""
    if service["method"] == "half_pool":
        return Limits(max_unavailable=max(1, (pool_size + 1) // 2), min_live=service["min_live"], steps=("50%", "100%"))
    return Limits(max_unavailable=service["max_unavailable"], min_live=service["min_live"])


def _steps_and_waves(service: Mapping, observed: Mapping, pending: list[str], limits: Limits) -> tuple[list[list[str]], list[list[str]], list[dict]]:
    """All hosts by step, the pending hosts by step in the order of their start, and the predicted waves."""
    pool = [_as_member(name, facts, observed, service, pending) for name, facts in sorted(observed["members"].items())]
    step_of = split_into_steps(pool, limits.steps)
    pinned = [replace(member, step=step_of[member.name]) for member in pool]
    halves = [sorted(name for name in step_of if step_of[name] == step) for step in (0, 1)]
    if not pending:
        return halves, [[], []], []
    schedule = Schedule(pinned, limits, pending=pending)
    order = schedule.pending
    predicted = waves(schedule)
    return halves, [[name for name in order if step_of[name] == step] for step in (0, 1)], predicted


def _as_member(name: str, facts: Mapping, observed: Mapping, service: Mapping, pending: list[str]) -> Member:
    """Hosts that are there already belong to the first half: it is the half that answers the new release."""
    return Member(
        name=name, pool=service["backend"], domain=facts.get("domain"), in_traffic=is_live_everywhere(facts, observed, service),
        expected_s=float(facts.get("expected_s") or 0), step=0 if name not in pending else None,
    )


# -- reasons to refuse

def _refusals(service: Mapping, observed: Mapping, plan: Mapping) -> list[str]:
    if plan["nothing_to_do"]:
        return list(observed["disagreements"])
    return [
        *_lost(observed),
        *_unknown_members(service, observed),
        *_one_host_twice(observed),
        *observed["disagreements"],
        *_downgrade(plan),
        *_nowhere_to_come_from(service, observed, plan),
        *_under_the_floor(service, plan),
        *_never_finishes(plan),
        *_past_the_point_of_no_return(observed, plan),
    ]


def _lost(observed: Mapping) -> list[str]:
    return [f"{name} cannot be reached: {facts['lost']}. Repair it or take it out of the inventory and of the load balancers"
            for name, facts in sorted(observed["members"].items()) if facts.get("lost")]


def _unknown_members(service: Mapping, observed: Mapping) -> list[str]:
    """The inventory and every load balancer must name the same members: an upgrade of a part of the pool is not done."""
    expected = {facts["name"]: host for host, facts in observed["members"].items()}
    sentences = []
    for name, balancer in sorted(observed["load_balancers"].items()):
        backend = service["backend"]
        if backend not in balancer["backends"]:
            sentences.append(f"{name} has no backend {backend!r} (it has {', '.join(sorted(balancer['backends'])) or 'none'}): set upgrade_backend")
            continue
        known = set(balancer["backends"][backend]["members"])
        for server in sorted(known - set(expected)):
            sentences.append(f"{name} sends traffic to {backend}/{server}, which is no host of group {service['members']!r}: add it to the inventory")
        for server in sorted(set(expected) - known):
            sentences.append(f"{expected[server]} is not a member of {backend} on {name} (looked for server {server!r}): "
                             "add it there or set the host's member_name")
    return sentences


def _one_host_twice(observed: Mapping) -> list[str]:
    by_address: dict[str, list[str]] = {}
    for name, facts in sorted(observed["members"].items()):
        by_address.setdefault(facts["address"], []).append(name)
    return [f"{' and '.join(names)} are one host ({address}): keep one name in the inventory" for address, names in by_address.items() if len(names) > 1]


def _downgrade(plan: Mapping) -> list[str]:
    before, after = plan["release_from"], plan["release_to"]
    if plan["direction"] != "upgrade" or not before or not after or compare(after, before) >= 0:
        return []
    return [f"{after} is older than {before}, which runs now: to go back, run ansible-playbook alwayson.upgrade.rollback -e upgrade_release={after}"]


def _nowhere_to_come_from(service: Mapping, observed: Mapping, plan: Mapping) -> list[str]:
    """Without an archive, every pending host must have the release already."""
    missing = _without_the_release(observed, plan)
    if service["has_artifact"] or plan["release_to"] is None or not missing:
        return []
    return [f"release {plan['release_to']} is not on {', '.join(missing)} any more: give its archive by upgrade_artifact and upgrade_artifact_sha256"]


def _without_the_release(observed: Mapping, plan: Mapping) -> list[str]:
    return [name for name in plan["pending"] if plan["release_to"] not in (observed["members"][name].get("available") or {})]


def _under_the_floor(service: Mapping, plan: Mapping) -> list[str]:
    floor = plan["limits"]["min_live"]
    if not isinstance(floor, int):
        return []
    if floor < 1 and service["min_live"] is None:
        return [f"a pool of {plan['pool_size']} cannot be upgraded without an outage, because nobody would be live: "
                "add a member, or accept it with -e upgrade_min_live=0"]
    if len(plan["live"]) >= floor:
        return []
    live = ", ".join(plan["live"]) or "none"
    return [f"only {len(plan['live'])} of {plan['pool_size']} members are live on every load balancer ({live}) and the floor is {floor}: "
            "bring members back first (ansible-playbook alwayson.upgrade.status shows them)"]


def _never_finishes(plan: Mapping) -> list[str]:
    return [f"the roll would never finish: {wave['reason']}; lower upgrade_min_live or raise upgrade_max_unavailable"
            for wave in plan["waves"] if not wave["members"]]


def _past_the_point_of_no_return(observed: Mapping, plan: Mapping) -> list[str]:
    """A release whose contract migrations are applied cannot be left any more: the older release needs what they removed."""
    if plan["direction"] != "rollback" or plan["release_to"] is None:
        return []
    sentences = []
    for host, databases in sorted(observed["databases"].items()):
        for name, facts in sorted(databases.items()):
            for row in facts["migrations"]:
                if row["phase"] == "contract" and row["status"] == "applied" and compare(row["release"], plan["release_to"]) > 0:
                    sentences.append(f"{name} on {host} is past the point of no return: contract step {row['step']} of {row['release']} is applied, "
                                     f"and {plan['release_to']} needs what it removed. Go forward with a corrected release instead")
    return sentences
