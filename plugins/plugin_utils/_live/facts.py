# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the facts of the upgrade's own plays say about the run: the service, the plan, its phases, and what became of each member. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._text.terminal import one_line
from .members import DONE, FAILED, FLIGHT, LOST, RETURNED, STANDBY, STAYS, TODO, Member, Pool
from .view import View

# The facts that are looked at; everything else of a set_fact stays unread.
NAMES = ("alwayson_service", "alwayson_observed", "alwayson_plan", "alwayson_phases", "alwayson_outcome", "alwayson_flipped", "alwayson_problems")


def fold_facts(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Take in ``{host, facts}``; returns the events that follow."""
    events: list[dict[str, Any]] = []
    for name in NAMES:
        if name in event["facts"]:
            events += _READERS[name](view, event, event["facts"][name])
    return events


def _service(view: View, event: Mapping[str, Any], service: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.service, view.method = str(service.get("service") or ""), str(service.get("method") or "")
    view.direction = str(service.get("direction") or "upgrade")
    view.release_to = str(service.get("release") or "")
    view.directory = str(service.get("report_directory") or "")
    side = service.get("side") or {}
    view.side, view.serving = str(side.get("to") or ""), tuple(map(str, side.get("serving") or ()))
    return [{"event": "service", "at": event["at"], "service": view.service, "method": view.method, "direction": view.direction,
             "release": view.release_to, "directory": view.directory}]


def _observed(view: View, event: Mapping[str, Any], observed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The members as they are before the run, of blue-green those of both pools; a later look changes only their releases."""
    for host, seen in (observed.get("everybody") or observed.get("members", {})).items():
        facts = seen or {}
        member = view.members.setdefault(host, Member(host, pending=False, state=STAYS))
        member.colour = str(facts.get("pool") or "") if observed.get("everybody") else ""
        member.domain = facts.get("domain") or member.domain
        member.release = facts.get("release") or member.release
    return []


def _plan(view: View, event: Mapping[str, Any], plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.method, view.direction = plan.get("method") or view.method, plan.get("direction") or view.direction
    view.release_from, view.release_to = str(plan.get("release_from") or ""), str(plan.get("release_to") or "")
    view.planned = True
    waves = {name: number for number, wave in enumerate(plan.get("waves", []), start=1) for name in wave["members"]}
    steps = {name: number for number, names in enumerate(plan.get("steps", [])) for name in names}
    pool, pending, live = view.side or str(plan.get("service") or "pool"), set(plan.get("pending", [])), set(plan.get("live", []))
    for name in [*view.members, *sorted(pending - set(view.members))]:
        member = view.members.setdefault(name, Member(name))
        member.pool, member.pending, member.in_traffic = member.pool or member.colour or pool, name in pending, name in live or member.colour != view.side
        member.step, member.wave = steps.get(name), waves.get(name)
        if member.state in (TODO, STAYS):
            member.state = TODO if member.pending else STAYS
    window, floor = (plan.get("limits", {}).get(name) for name in ("max_unavailable", "min_live"))
    if isinstance(window, int) and isinstance(floor, int) and pool not in view.pools:
        used = len([names for names in plan.get("steps", []) if names]) or 1
        view.pools |= {colour: Pool(colour, sum(member.colour == colour for member in view.members.values()), 0, 0)
                       for colour in sorted({member.colour for member in view.members.values()} - {view.side})} if view.side else {}
        view.pools[pool] = Pool(pool, plan.get("pool_size", len(view.members)), window, floor, used)
    return [{"event": "plan", "at": event["at"], "release_from": view.release_from, "release_to": view.release_to, "method": view.method,
             "direction": view.direction, "pending": sorted(pending), "waves": [list(wave["members"]) for wave in plan.get("waves", [])],
             "refusals": [one_line(sentence) for sentence in plan.get("refusals", [])]}]


def _phases(view: View, event: Mapping[str, Any], phases: Mapping[str, Any]) -> list[dict[str, Any]]:
    events = []
    for name, times in phases.items():
        known = view.phases.get(name)
        view.phases[name] = dict(times)
        if known is None or ("finished" in known and "finished" not in times):
            events.append({"event": "phase_begins", "at": event["at"], "phase": name})
        if "finished" in times and (known is None or "finished" not in known):
            events.append({"event": "phase_ends", "at": event["at"], "phase": name, "seconds": round(times["finished"] - times["started"], 3)})
    return events


def _outcome(view: View, event: Mapping[str, Any], outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A member says what became of it. Until the strategy, or an untold roll, says that it is finished it is still in flight."""
    host, what, at = event["host"], outcome.get("outcome"), event["at"]
    member = view.members.get(host)
    if member is None or what not in ("upgraded", "returned", "left_out"):
        return []
    events = {"event": "member_outcome", "at": at, "member": host, "outcome": what, "why": one_line(outcome.get("why") or "")}
    member.why = events["why"] or member.why
    state = {"upgraded": STANDBY if view.stands_by(member) else DONE, "returned": RETURNED, "left_out": FAILED}[what]
    reported_by_strategy = view.reported_by_strategy and view.play_rolls
    if reported_by_strategy and what == "upgraded":
        return [events]
    if member.state == FLIGHT or member.state not in (DONE, LOST):
        member.ends(state, at)
    if reported_by_strategy:
        return [events]
    return [events, {"event": "finished", "at": at, "member": host, "pool": member.pool, "outcome": {"upgraded": "ok", "left_out": "failed"}.get(what, what),
                     "state": state, "seconds": member.seconds, "why": member.why, "stages": [list(stage) for stage in member.stages]}]


def _flipped(view: View, event: Mapping[str, Any], flipped: object) -> list[dict[str, Any]]:
    if flipped is not True or view.flipped:
        return []
    view.flipped = True
    view.serving = (view.side,) if view.side else ()
    for member in view.members.values():
        if member.state == STANDBY:
            member.ends(DONE, event["at"], member.seconds)
        elif member.state == TODO:
            member.in_traffic = False
    return [{"event": "flipped", "at": event["at"], "members": sorted(name for name, member in view.members.items() if member.state == DONE)}]


def _problems(view: View, event: Mapping[str, Any], problems: object) -> list[dict[str, Any]]:
    """Sentences that the run's own plays keep, each reported once."""
    events = []
    for sentence in problems if isinstance(problems, list) else []:
        words = one_line(sentence)
        if words not in view.problems:
            view.problems.append(words)
            events.append({"event": "problem", "at": event["at"], "why": words})
    return events


_READERS = {
    "alwayson_service": _service, "alwayson_observed": _observed, "alwayson_plan": _plan, "alwayson_phases": _phases,
    "alwayson_outcome": _outcome, "alwayson_flipped": _flipped, "alwayson_problems": _problems,
}
