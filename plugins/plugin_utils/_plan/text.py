# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan and the fleet's state in words, for one screen. Pure: data in, lines out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ...module_utils._host.foreign_json import ForeignJsonError, parse
from ...module_utils._locking.lock import FAILED, UNDER_WAY, intent_in_words

from .._schedule.steps import IN_PLACE
from .._text.figures import listed
from . import patches
from .migration_tool import ends_the_way_back, no_return_line, tool_lines
from .migrations import BACKFILL, CONTRACT, EXPAND, OPTIMISE
from .tenants import VARIABLE, tenants_affected
from .shapes import Cutover, Observed, Plan, Service

BAR = "█"
GONE = "░"
FIRST_HALF = {"rollback": "half that has gone back", patches.PATCH: "patched half"}
MIGRATIONS = {
    EXPAND: "adds what the new release needs; the previous release keeps working",
    BACKFILL: "fills in rows, in batches, while the previous release keeps writing",
    CONTRACT: "removes what only older releases need",
    OPTIMISE: "creates indexes, and removes data that no release needs",
}
PHASE_EFFECTS = (
    ("observe", "none"),
    ("plan", "none"),
    ("guard", "none"),
    ("prepare", "none: backups read, migrations wait for locks at most a moment, archives are copied"),
    ("roll", "none: members leave traffic when their requests in flight have ended"),
    ("open", "none: the release is tested through the load balancers"),
    ("finalize", "none"),
    ("account", "none"),
)


def plan_text(plan: Plan, last_phases: str | Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """The plan as lines: what changes, the waves with the live capacity against the floor, the phases, the point of no return.

    What the plan is refused for is not among them: it is said once, at the end of the run.

    :param last_phases: the phases of the last run's report, ``[{name, started, finished}]``, or the text of its ``report.json``. One that is torn has none.
    """
    last_phases = _phases_of(last_phases) if isinstance(last_phases, str) else last_phases
    lines = [_headline(plan), *_interrupted_lines(plan), ""]
    lines += _wave_lines(plan)
    if plan["patches"]:
        lines += ["", "package updates", *(f"  {sentence}" for sentence in patches.sentences(plan))]
    if plan["migrations_before"] or plan["migrations_after"] or plan["migration_tool"]:
        lines += ["", "migrations", *_migration_lines(plan)]
    lines += ["", "phases", *_phase_lines(plan, {phase["name"]: phase["finished"] - phase["started"] for phase in last_phases})]
    lines += ["", "measured from outside", f"  {_prober_line(plan.get('probe'))}"]
    lines += ["", "point of no return", f"  {_point_of_no_return(plan)}"]
    if plan["notes"]:
        lines += ["", "notes", *(f"  - {sentence}" for sentence in plan["notes"])]
    return lines


def _phases_of(text: str) -> list[Mapping[str, Any]]:
    try:
        report = parse(text)
    except ForeignJsonError:
        return []
    phases = report.get("phases") if isinstance(report, Mapping) else None
    return [phase for phase in phases if isinstance(phase, Mapping) and isinstance(phase.get("name"), str)
            and all(isinstance(phase.get(moment), (int, float)) for moment in ("started", "finished"))] if isinstance(phases, list) else []


def _headline(plan: Plan) -> str:
    if not plan["pending"] and plan["migrations_after"]:
        return f"{plan['service']}: all {plan['pool_size']} members run {plan['release_to']}; the schemas are contracted to it"
    if plan["cutover"] and not plan["pending"]:
        return (f"{plan['service']}: {plan['cutover']['to']} runs {plan['release_to']} and gets the traffic"
                + (f" from {plan['cutover']['from']}, which stays as it is" if plan["cutover"]["from"] else ""))
    if plan["nothing_to_do"]:
        return f"{plan['service']}: all {plan['pool_size']} members run {plan['release_to']} and take traffic. Nothing to do."
    if plan["direction"] == patches.PATCH:
        return (f"{plan['service']}: {plan['release_to']} stays, {len(plan['patches'])} of {plan['pool_size']} members are patched by {plan['method']}, "
                f"{len(plan['live'])} live now")
    verb = "back from" if plan["direction"] == "rollback" else "from"
    release_from = "a release that is unknown" if plan["release_is_unknown"] else plan["release_from"]
    return (f"{plan['service']}: {verb} {release_from} to {plan['release_to']} by {plan['method']}, "
            f"{len(plan['pending'])} of {plan['pool_size']} members, {len(plan['live'])} live now")


def _interrupted_lines(plan: Plan) -> list[str]:
    """The run that holds the lock or was interrupted, and its intent."""
    lock, intent = plan["interrupted"], plan["intent_before"]
    lines = []
    if lock:
        since = datetime.fromtimestamp(lock["since"], timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines.append(f"the run of {lock['owner']} on {lock['host']} since {since} (lock {lock['id']}) is under way, or was interrupted; "
                     "this run continues it")
    if intent and intent["state"] == UNDER_WAY:
        lines.append(f"the interrupted run: {intent_in_words(intent)}" + _other_way(plan, intent))
    elif intent and intent["state"] == FAILED:
        lines.append(f"the last run ended in error: {intent_in_words(intent)}" + _other_way(plan, intent))
    return lines + (["its flip reached only some of the load balancers, and is finished first"] if plan["finish_flip"] else [])


def _other_way(plan: Plan, intent: Mapping[str, Any]) -> str:
    """Added where this run goes to another release than the one before."""
    if plan["release_to"] in (None, intent["release_to"]) or plan["direction"] == patches.PATCH:
        return ""
    return f"; this run goes {'back' if plan['direction'] == 'rollback' else 'forward'} to {plan['release_to']} instead"


def _wave_lines(plan: Plan) -> list[str]:
    floor = plan["limits"]["min_live"]
    lines = [_side_line(plan["cutover"]) if plan["cutover"] else f"waves (live capacity never under {floor} of {plan['pool_size']})"]
    last_step = None
    for number, wave in enumerate(plan["waves"], start=1):
        if plan["method"] == "half_pool" and last_step == 0 and wave["step"] == 1:
            first = FIRST_HALF.get(plan["direction"], "upgraded half")
            lines.append(f"     the flip: the {first} takes the traffic, the other half leaves it, in one step on each load balancer")
        last_step = wave["step"]
        capacity = BAR * wave["live"] + GONE * (plan["pool_size"] - wave["live"])
        lines.append(f"  {number:>2} {capacity} {wave['live']} live  {', '.join(wave['members']) or wave['reason']}")
    if not plan["waves"]:
        lines.append("     no member leaves traffic")
    if plan["cutover"]:
        lines.append(f"     the cutover: all traffic to {plan['cutover']['to']}, by one command on each load balancer")
    return lines


def _side_line(cutover: Cutover) -> str:
    serving = cutover["from"]
    return f"{cutover['to']}, which has no traffic" + (f" ({serving} has it, and is not changed, so that a return is possible)" if serving else "")


def _phase_lines(plan: Plan, last_phases: Mapping[str, float]) -> list[str]:
    lines = []
    for name, usual_effect in PHASE_EFFECTS:
        effect = usual_effect
        seconds = f"{last_phases[name]:.0f} s last time" if name in last_phases else "not measured yet"
        if name == "finalize" and plan["migrations_after"]:
            effect = f"none: {_finalizing(plan)} migrations run; a rollback is impossible after them"
        if name == "roll" and plan["method"] == IN_PLACE:
            effect = "longer answers until the server has started: the load balancer holds requests meanwhile"
        lines.append(f"  {name:<8} {seconds:<17} users notice {effect}")
    return lines


def _prober_line(probe: Mapping[str, Any] | None) -> str:
    """The load of the prober."""
    if not probe:
        return "not at all: upgrade_probe is not set, so it will be unknown whether users noticed"
    return (f"{probe['rate']:g} requests per second, in addition to the users' requests, to {listed(probe['targets'])}: "
            f"{listed(probe['paths'])}")


def _migration_lines(plan: Plan) -> list[str]:
    before, after = ([f"  {moment:<8} {run['release']} {run['phase']:<9} {MIGRATIONS[run['phase']]}" for run in runs]
                     for moment, runs in (("prepare", plan["migrations_before"]), ("finalize", plan["migrations_after"])))
    return before + tool_lines(plan) + after


def _finalizing(plan: Plan) -> str:
    """The phases that run after the roll, as a sentence names them."""
    return " and ".join(phase for phase, releases in ((CONTRACT, plan["contract"]), (OPTIMISE, plan["optimise"])) if releases)


def _point_of_no_return(plan: Plan) -> str:
    if plan["direction"] == "rollback":
        return "none: this run is a rollback, and an upgrade is possible afterwards"
    if ends_the_way_back(plan):
        return no_return_line(plan)
    if plan["migrations_after"]:
        releases = dict.fromkeys(run["release"] for run in plan["migrations_after"])
        return f"finalize: the {_finalizing(plan)} migrations of {', '.join(releases)} remove what older releases need"
    if plan["direction"] == patches.PATCH:
        return "none: the release stays; an installed update is not removed"
    return "none in this run: alwayson.upgrade.rollback works until a later run with upgrade_contract=true"


def status_text(service: Service, observed: Observed) -> list[str]:
    """What runs where and what takes traffic, as lines of one screen."""
    members = observed.get("everybody") or observed["members"]
    running = Counter(str(facts.get("release") or "none") for facts in members.values())
    counts = ", ".join(f"{release} on {count}" for release, count in sorted(running.items()))
    lines = [f"{service['service']}: {counts} of {len(members)} members", ""]
    balancers = sorted(observed["load_balancers"])
    rows = [["host", "domain", "release", "before", *balancers]]
    for name, facts in sorted(members.items()):
        release = facts.get("release") or ("lost" if facts.get("lost") else "-")
        rows.append([name, str(facts.get("domain") or "-"), str(release), str(facts.get("previous") or "-"),
                     *(_traffic_word(observed["load_balancers"][balancer], service, facts) for balancer in balancers)])
    lines += _table(rows)
    database_rows = _database_rows(observed)
    if len(database_rows) > 1:
        lines += ["", *_table(database_rows)]
    if observed["disagreements"]:
        lines += ["", "the load balancers disagree", *(f"  - {sentence}" for sentence in observed["disagreements"])]
    return lines


def _database_rows(observed: Observed) -> list[list[str]]:
    """A row for each database, its tenants among them where a variable or a query names any."""
    named = {host: {name: facts.get("tenants") for name, facts in databases.items()} for host, databases in observed["databases"].items()}
    variables = observed.get("tenants", {})
    is_known = any(variables.values()) or any(tenants is not None for databases in named.values() for tenants in databases.values())
    by_database = tenants_affected(named, {host: {VARIABLE: mapped} for host, mapped in variables.items() if mapped})["by_database"]
    rows = [["database", "size", "last migration", *(["tenants"] if is_known else [])]]
    for host, databases in sorted(observed["databases"].items()):
        for name, facts in sorted(databases.items()):
            tenants = [", ".join(by_database[f"{host}/{name}"]) or "unknown"] if is_known else []
            rows.append([f"{host}/{name}", f"{facts['size_bytes'] / 1e6:.1f} MB", _last_migration(facts["migrations"]), *tenants])
    return rows


def _traffic_word(balancer: Mapping[str, Any], service: Service, facts: Mapping[str, Any]) -> str:
    pool = facts.get("pool") or service["backend"]
    view = balancer["backends"].get(pool, {"members": {}})["members"].get(facts["name"])
    if view is None:
        return "unknown"
    if view["live"]:
        return "in traffic" if not service.get("side") or balancer["routes"].get(service["route"]["key"]) == pool else "stands by"
    return {"drain": "draining", "maint": "out"}.get(view["admin"], view["health"])


def _last_migration(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "none"
    last = rows[-1]
    return f"{last['release']} {last['phase']} {last['step']} ({last['status']})"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
