# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run: ``summarise`` turns the run record into figures and a verdict, ``terminal_summary`` into a few lines. `page` makes HTML of it.

Whatever was not measured is None in the figures and named in ``not_proven``; nothing is assumed to have gone well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from .._schedule.error_budget import BudgetError, coverage
from .._text.figures import natural
from .._plan.shapes import Figures, Report
from .facts import ReportError, allowed_out, mapping, mappings, number, numbers, plain, rows, seconds_between, text
from .floor import duration_floor, outage
from .serving_pool import capacity_that_serves
from .text import terminal_summary
from .verdict import verdict_of

__all__ = ["FORMAT", "ReportError", "summarise", "terminal_summary"]

FORMAT = 1
ROLL = "roll"
TEXTS = ("service", "release_from", "release_to", "method", "direction", "cutover_from", "cutover_to", "pool", "outcome", "next_command", "core_version")


def summarise(run: Mapping[str, Any], now: float | None = None) -> Report:
    """The report of a run record, ready to be written as report.json.

    Times are epoch seconds, durations seconds, latencies milliseconds. ``ok`` is the verdict and ``problems`` its reasons in words.

    :param run: the record as documented at the role ``alwayson.upgrade.report``; every part of it may be missing.
    :param now: epoch seconds, after which nothing of the record can have happened; None when the record is an old one.
    :raises ReportError: when a part is of the wrong kind, naming it.
    """
    run = mapping(plain(run), "all")
    limits = mapping(run.get("limits"), "limits")
    phases = [_phase(row) for row in rows(run.get("phases"), "phases")]
    report = cast(Figures, {
        "format": FORMAT,
        **{name: text(run.get(name)) for name in TEXTS},
        **numbers(run, "started", "finished", "live_floor", "pool_size", "moved_at"),
        "serving": [{"pool": text(row.get("pool")), **numbers(row, "since")} for row in rows(run.get("serving"), "serving")],
        "duration_s": seconds_between(run.get("started"), run.get("finished")),
        "roll_s": sum(seconds for phase in phases if phase["name"] == ROLL and (seconds := phase["seconds"]) is not None) or None,
        "phases": phases,
        "limits": limits,
        "operator": mapping(run.get("operator"), "operator"),
        "members": _members(run),
        "databases": {name: _database(name, facts) for name, facts in mappings(run.get("databases"), "databases").items()},
        "read_by_command": sum(bool(row.get("command")) for row in rows(run.get("version_check", run.get("census")), "version_check")),
        "migration_tool": _migration_tool(run),
        **_probe(run),
    })
    if report["serving"]:
        served = capacity_that_serves(report)
        report["capacity"], report["live_min"], report["live_floor"] = served["capacity"], served["live_min"], served["live_floor"]
    elif report["live_floor"] is None:
        report["live_floor"] = number(limits.get("min_live"))
    if report["pool_size"] is None and report["members"]:
        report["pool_size"] = len(report["members"])
    report["duration_floor_s"] = duration_floor(
        report["members"].values(), method=report["method"], at_once=allowed_out(limits, report["pool_size"])
    )
    try:
        verdict = verdict_of(report, run_ok=run.get("ok") is True, problems=run.get("problems"), now=now)
    except BudgetError as error:
        raise ReportError(f"limits of the run record: {error}") from error
    return cast("Report", {**report, **verdict, "next_command": None if verdict["ok"] else report["next_command"]})


def _phase(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": text(row.get("name")) or "unnamed",
        **numbers(row, "started", "finished"),
        "seconds": seconds_between(row.get("started"), row.get("finished")),
    }


def _migration_tool(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The team's own migration tool; None where none was to run."""
    facts = mapping(run.get("migration_tool"), "migration_tool")
    if not facts:
        return None
    return {
        **{key: text(facts.get(key)) for key in ("host", "command", "status", "why")}, **numbers(facts, "started", "finished", "exit_status", "attempts"),
        "seconds": seconds_between(facts.get("started"), facts.get("finished")), "output": [str(line) for line in facts.get("output") or []],
    }


def _members(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    members = mappings(run.get("members"), "members")
    return {name: _member(name, members[name]) for name in sorted(members, key=natural)}


def _member(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    member = {
        **{key: text(facts.get(key)) for key in ("pool", "zone", "release_before", "release_after", "outcome", "why")},
        **numbers(facts, "step", "out_at", "in_at", "seconds_out"),
        "stages": [_phase(row) for row in rows(facts.get("stages"), f"members.{name}.stages")],
        "drain_proof": mappings(facts.get("drain_proof"), f"members.{name}.drain_proof"),
        "verdicts": [_verdict(row, f"members.{name}.verdicts") for row in rows(facts.get("verdicts"), f"members.{name}.verdicts")],
    }
    if member["seconds_out"] is None:
        member["seconds_out"] = seconds_between(member["out_at"], member["in_at"])
    return {**member, "seconds_of_work": outage(member)}


def _verdict(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What users got from a canary, and from the others in the same time."""
    reasons = row.get("reasons")
    seen = {who: numbers(mapping(row.get(who), f"{where}.{who}"), "requests", "errors", "error_percent", "response_ms") for who in ("canary", "others")}
    return {"verdict": text(row.get("verdict")), "reasons": [str(reason) for reason in reasons] if isinstance(reasons, list) else [], **seen}


def _database(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    before = _backup(facts.get("backup"), f"databases.{name}.backup")
    after = _backup(facts.get("backup_after"), f"databases.{name}.backup_after")
    migrations = rows(facts.get("migrations"), f"databases.{name}.migrations")
    return {
        "host": text(facts.get("host")),
        "backup_proven": bool(before and before["proven"]),
        "backup": before,
        "backup_after_proven": None if after is None else after["proven"],
        "backup_after": after,
        "migrations_applied": sum(row.get("status") == "applied" for row in migrations),
        "migrations": [
            {**{key: text(row.get(key)) for key in ("release", "phase", "step", "status")}, **numbers(row, "attempts", "seconds")} for row in migrations
        ],
    }


def _backup(value: object, where: str) -> dict[str, Any] | None:
    facts = mapping(value, where)
    if not facts:
        return None
    return {
        "proven": facts.get("proven") is True,
        **{key: text(facts.get(key)) for key in ("path", "sha256", "why")},
        **numbers(facts, "size_bytes", "tables", "rows", "taken", "seconds_dump", "seconds_restore"),
    }


def _probe(run: Mapping[str, Any]) -> dict[str, Any]:
    """What the independent prober saw; all None or empty when there was none."""
    probe = mapping(run.get("probe"), "probe")
    scheduled = number(probe.get("requests_scheduled"))
    capacity = [_sample(row) for row in rows(probe.get("capacity"), "probe.capacity")]
    live_min = number(probe.get("live_min"))
    if "versions" in probe and not probe["versions"]:
        # No answer had a release, so no answer can have had an older one.
        probe = {**probe, "version_regressions": None}
    figures = numbers(probe, "requests_scheduled", "requests_unmeasured", "rate", "started")
    expected, unknown = coverage(figures, number(run.get("probe_until")))
    return {
        "probed": bool(probe),
        "probe_problem": text(probe.get("problem")),
        "measured": bool(scheduled),
        "requests_expected": expected,
        "requests_unmeasured": unknown,
        **numbers(probe, "requests_scheduled", "requests_failed", "version_regressions", "clients", "rate", "bound_95", "send_lag_p99_ms"),
        "probe_started": number(probe.get("started")),
        "probe_finished": number(probe.get("finished")),
        "failures_by_class": _counts(probe.get("failures_by_class"), "probe.failures_by_class"),
        "latency_ms": numbers(mapping(probe.get("latency_ms"), "probe.latency_ms"), "p50", "p99", "p100"),
        "by_kind": {
            kind: numbers(facts, "scheduled", "failed", "p50", "p99", "p100") for kind, facts in mappings(probe.get("by_kind"), "probe.by_kind").items()
        },
        "versions": _counts(probe.get("versions"), "probe.versions"),
        "void_windows": [numbers(row, "from", "to", "send_lag_p99_ms") for row in rows(probe.get("void_windows"), "probe.void_windows")],
        "live_min": min((min(row["live"].values()) for row in capacity if row["live"]), default=None) if live_min is None else live_min,
        "capacity_samples": number(probe.get("capacity_samples")),
        "capacity_pools": {str(name): str(pool) for name, pool in mapping(probe.get("capacity_pools"), "probe.capacity_pools").items()},
        "capacity_unreadable": _counts(probe.get("capacity_unreadable"), "probe.capacity_unreadable"),
        "capacity_skipped": {name: str(why) for name, why in mapping(probe.get("capacity_skipped"), "probe.capacity_skipped").items()},
        "series": [_second(row) for row in rows(probe.get("series"), "probe.series") if number(row.get("t")) is not None],
        "capacity": capacity,
    }


def _second(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**numbers(row, "t", "scheduled", "failed", "p50", "p99", "p100"), "versions": _counts(row.get("versions"), "probe.series[].versions")}


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """One reading of the load balancers: the moment, and the live members that each of them counted."""
    live = {str(name): value for name, seen in row.items() if name != "t" and (value := number(seen)) is not None}
    return {"t": number(row.get("t")), "live": live}


def _counts(value: object, where: str) -> dict[str, float | int]:
    return {str(name): count for name, seen in mapping(value, where).items() if (count := number(seen)) is not None}
