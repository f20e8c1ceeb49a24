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
from typing import Any

from .._schedule.limits import Limits, RunPolicy, ScheduleError
from .._schedule.scheduler import Schedule
from .._schedule.steps import NAMED_STEPS, Member, split_into_steps
from .._schedule.waves import waves
from .migration_tool import planned_tool
from .migrations import AFTER_THE_ROLL, BEFORE_THE_ROLL, PHASES, choose_migrations, in_order
from .patches import PATCH, needs_patching, planned_patches, updates_held
from .preflight import fails_already, own_tests
from .probing import announcement
from .refusals import notes, refusals, without_the_release
from .service import PREFIX
from .serving import is_live_everywhere
from .target import choose_target, intent_before, intent_of
from .shapes import Cutover, Observed, Plan, Service, Side


def make_plan(service: Service, observed: Observed, pinned: Mapping[str, int] | None = None) -> Plan:
    """Plan the roll.

    :param service: see ``service.describe``.
    :param observed: ``members`` (host to ``{release, previous, available, address, domain, name, expected_s, lost, patches}``), ``load_balancers``
        (name to ``{backends: {backend: {members: {...}}}}`` as from traffic_info), ``disagreements`` (sentences), ``databases``
        (host to database_info's ``databases``), ``migrations`` (files such as ``2.0.0/expand/001_add.sql``), ``interrupted`` (the lock of a run
        that never ended, or None) and ``intent`` (what the last run was to do, see the module fleet_lock; empty when nothing is known).
    :param pinned: host to step, where an earlier plan of the same roll has decided it.
    :returns: release_from, release_to, pending, steps (host names), waves, limits, live, refusals (sentences), nothing_to_do, ...
    """
    members = observed["members"]
    release_to, target_problem = choose_target(service, members, intent_before(observed))
    limits = _limits(service, len(members))
    plan = _plan_before_the_steps(service, observed, release_to, limits)
    # The list of the plan is another one when an interrupted flip is finished.
    pending = plan["pending"]
    if target_problem:
        plan["refusals"].append(target_problem)
    try:
        plan["limits"] = {"max_unavailable": limits.window(len(members)), "min_live": limits.floor(len(members))}
        _fill_in_steps_and_waves(plan, service, observed, limits, pinned or {})
    except ScheduleError as error:
        plan["refusals"].append(str(error))
    # An upgrade always brings its archive, whose checksum is compared with what a host holds already; a way back only where it is gone.
    plan["needs_archive"] = bool(pending) and (service["direction"] == "upgrade" or bool(without_the_release(observed, plan)))
    if not target_problem and service["direction"] == "upgrade":
        plan["refusals"] += _choose_migrations(service, observed, plan)
    plan["migrations_before"], plan["migrations_after"] = in_order(plan, BEFORE_THE_ROLL), in_order(plan, AFTER_THE_ROLL)
    plan["nothing_to_do"] = not pending and not plan["migrations_after"] and not plan["cutover"] and not target_problem
    plan["intent"] = intent_of(plan)
    plan["migration_tool"] = planned_tool(service, observed, plan)
    plan["updates_held"] = updates_held(members, service, plan["nothing_to_do"])
    plan["refusals"] += refusals(service, observed, plan)
    plan["notes"] = [*notes(service, observed), *fails_already(observed, plan)]
    return plan


def _plan_before_the_steps(service: Service, observed: Observed, release_to: str | None, limits: Limits) -> Plan:
    """The plan's facts of the service and of the observed members. Steps, waves, migrations and refusals are still empty."""
    members = observed["members"]
    live = sorted(name for name, facts in members.items() if is_live_everywhere(facts, observed, service))
    pending = sorted(name for name, facts in members.items()
                     if facts.get("release") != release_to or name not in live or needs_patching(facts, service))
    side = service.get("side")
    serving_release = side["release"] if side and not side["is_routed"] else None
    release_from = serving_release or _release_from(members, release_to)
    return {
        "service": service["service"],
        "method": service["method"],
        "direction": service["direction"],
        "release_to": release_to,
        "release_from": release_from,
        "release_is_unknown": not any(facts.get("release") for facts in members.values()),
        "return_to": {name: _release_to_return_to(members[name], release_from, release_to, service) for name in sorted(members)},
        "pool_size": len(members),
        "live": live,
        "there": sorted(name for name, facts in members.items() if _is_there(facts, release_to, service)),
        "pending": pending,
        "patches": planned_patches(members, service, pending),
        "expand": [],
        "backfill": [],
        "contract": [],
        "optimise": [],
        "limits": {"max_unavailable": limits.max_unavailable, "min_live": limits.min_live},
        "halves": [[], []],
        "steps": [[], []],
        "step_of": {},
        "waves": [],
        "probe": announcement(service),
        "interrupted": observed.get("interrupted"),
        "intent_before": intent_before(observed),
        "finish_flip": False,
        "cutover": _cutover(side),
        "own_tests": own_tests(observed),
        "refusals": [],
    }


def _choose_migrations(service: Service, observed: Observed, plan: Plan) -> list[str]:
    """Fill in the releases whose migrations run, by phase; returns what is wrong with the files."""
    release_to = plan["release_to"]
    if release_to is None:
        return []
    try:
        chosen = choose_migrations(observed["migrations"], observed["databases"], plan["release_from"], release_to, service["contract"])
    except ValueError as error:
        return [str(error)]
    plan["expand"], plan["backfill"], plan["contract"], plan["optimise"] = (chosen[phase] for phase in PHASES)
    return []


def _cutover(side: Side | None) -> Cutover | None:
    """The pools between which all traffic moves at the end of the roll; None when it is there, or does not move as a whole."""
    if not side or side["is_routed"]:
        return None
    return {"from": next((pool for pool in side["serving"] if pool != side["to"]), None), "to": side["to"]}


def _is_there(facts: Mapping[str, Any], release_to: str | None, service: Service) -> bool:
    """Whether a member is what this run makes of it, in traffic or not: it runs the release, or in a patch, which leaves that as it is, is patched."""
    return facts.get("release") == release_to and not (service["direction"] == PATCH and needs_patching(facts, service))


def _release_from(members: Mapping[str, Any], release_to: str | None) -> str | None:
    """The release that most of the hosts run which are not there yet; the target itself when all are."""
    others = [facts["release"] for facts in members.values() if facts.get("release") and facts["release"] != release_to]
    return max(sorted(set(others)), key=others.count) if others else release_to


def _release_to_return_to(facts: Mapping[str, Any], release_from: str | None, release_to: str | None, service: Service) -> str | None:
    """What a member runs again when its upgrade fails; one that an interrupted run has upgraded already returns to what the others run."""
    if facts.get("release") != release_to or service["direction"] == PATCH:
        return facts.get("release")
    before = release_from if release_from != release_to else facts.get("previous")
    return before if before in (facts.get("available") or {}) else release_to


def _limits(service: Service, pool_size: int) -> Limits:
    """The halves of a half-pool are its window: the larger half may be out at once, as many as the smaller half stay live."""
    if service["method"] == "half_pool":
        return Limits(max_unavailable=max(1, (pool_size + 1) // 2), min_live=service["min_live"],
                      max_per_domain=service["max_per_domain"], steps=NAMED_STEPS["half_pool"], prefix=PREFIX)
    return Limits(max_unavailable=service["max_unavailable"], min_live=service["min_live"], max_per_domain=service["max_per_domain"],
                  steps=NAMED_STEPS[service["method"]], prefix=PREFIX)


def _fill_in_steps_and_waves(plan: Plan, service: Service, observed: Observed, limits: Limits, pinned: Mapping[str, int]) -> None:
    """All hosts by half, the pending hosts by play in the order of their start, and the predicted waves.

    A half-pool is two plays, with the flip between; every other method is one.
    """
    pool = [_as_member(name, facts, plan, service, pinned) for name, facts in sorted(observed["members"].items())]
    step_of = split_into_steps(pool, limits.steps, prefix=limits.prefix)
    # For the whole pool: the scheduler asks for every member's, also for those that have nothing left to do.
    plan["step_of"] = step_of
    if plan["method"] == "half_pool":
        plan["halves"] = [sorted(name for name in step_of if step_of[name] == step) for step in (0, 1)]
    if not plan["pending"]:
        return
    plan["finish_flip"] = _is_flip_interrupted(plan, service, observed)
    if plan["finish_flip"]:
        # The upgraded half takes the traffic first of all; what is left to do is the other half.
        pool = [replace(member, in_traffic=member.name in plan["halves"][0]) for member in pool]
        plan["pending"] = plan["halves"][1]
    placed = [replace(member, step=step_of[member.name]) for member in pool]
    schedule = Schedule(placed, limits, RunPolicy(domains_at_once=service["domains_at_once"], prefix=PREFIX), pending=plan["pending"])
    order = schedule.pending
    plan["steps"] = [[name for name in order if step_of[name] == step] for step in (0, 1)] if plan["method"] == "half_pool" else [order, []]
    plan["waves"] = waves(schedule)


def _is_flip_interrupted(plan: Plan, service: Service, observed: Observed) -> bool:
    """Whether a run was killed between two load balancers' flips: each one serves one whole half, and not all of them the same one."""
    if plan["method"] != "half_pool" or not plan["interrupted"]:
        return False
    first, second = (frozenset(half) for half in plan["halves"])
    if any(observed["members"][name].get("release") != plan["release_to"] for name in first):
        return False
    names = {facts["name"]: host for host, facts in observed["members"].items()}
    served = set()
    for balancer in observed["load_balancers"].values():
        seen = balancer["backends"].get(service["backend"], {"members": {}})["members"]
        served.add(frozenset(names[name] for name, view in seen.items() if view["live"] and name in names))
    return served == {first, second}


def _as_member(name: str, facts: Mapping[str, Any], plan: Plan, service: Service, pinned: Mapping[str, int]) -> Member:
    """Hosts that run the release already belong to the first half: it is the half that answers it."""
    return Member(
        name=name, pool=service["backend"], domain=facts.get("domain"), in_traffic=name in plan["live"],
        expected_s=float(facts.get("expected_s") or 0), step=pinned.get(name, 0 if name in plan["there"] else None),
    )
