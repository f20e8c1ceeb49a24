# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the page: members with their drain proofs, databases, requests by kind, phases. Every cell is escaped by ``element``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._schedule.error_budget import worst_first
from .._text.figures import NO_VALUE, count, milliseconds, moment, plural, seconds, size
from .._text.markup import Markup, element
from .floor import STRANDED
from .serving_pool import without_traffic
from .._plan.shapes import Report

OUTCOMES = {"upgraded": "upgraded", "returned": "returned to the previous release", "untouched": "not touched", "left_out": "left out of traffic",
            "lost": "lost; out of traffic"}
LONG_WORD = 24  # letters
TAG = re.compile("<[^>]*>")
MOST_BALANCERS = 3  # with more, the drain proofs share one column


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Markup | None]]) -> Markup:
    """A table whose rows become cards on a telephone; *columns* are ``(heading, class)``, the first cell of a row is its heading."""
    head = element("tr", *(element("th", heading, scope="col", class_=class_ or None) for heading, class_ in columns))
    return element("table", element("thead", head), element("tbody", *(element("tr", *row) for row in rows)))


def cell(label: str, *content: object, class_: str | None = None) -> Markup:
    """One cell; its label stands before it on a telephone, where the table has no head."""
    return element("td", element("span", *content, class_=_long(content)), class_=class_, data_label=label)


def row_heading(name: object) -> Markup:
    """The first cell of a row."""
    return element("th", name, scope="row", class_=_long([name]))


def _long(content: Iterable[object]) -> str | None:
    """The class of text with a word that would burst a column; it may break anywhere, other words may not."""
    seen = " ".join(TAG.sub(" ", part) if isinstance(part, Markup) else str(part) for part in content)
    return "long" if any(len(word) > LONG_WORD for word in seen.split()) else None


# -- members

def members_table(report: Report) -> Markup | None:
    """Each member: releases, time out of traffic, and what each load balancer proved before the member was touched."""
    if not report["members"]:
        return None
    balancers = sorted({name for member in report["members"].values() for name in member["drain_proof"]})
    proofs = [(f"Drain proven by {name}", "") for name in balancers] if len(balancers) <= MOST_BALANCERS else [("Drain proven by", "")]
    pools = [("Pool", "")] if report["serving"] else []
    columns = [("Member", ""), *pools, ("Zone", ""), ("Release", ""), ("Out of traffic", "number"), ("Own work", "number"), *proofs, ("Outcome", "")]
    return table(columns, [_member_row(report, name, member, balancers) for name, member in report["members"].items()])


def _member_row(report: Report, name: str, member: Mapping[str, Any], balancers: Sequence[str]) -> list[Markup]:
    before, after = member["release_before"] or "unknown", member["release_after"] or "unknown"
    outcome = OUTCOMES.get(member["outcome"], member["outcome"] or "unknown")
    tone = "bad" if member["outcome"] in (*STRANDED, "returned") else None
    why = element("small", member["why"].splitlines()[0]) if member["why"] else None
    touched = bool(member["out_at"] or member["seconds_out"] or member["stages"])
    if len(balancers) <= MOST_BALANCERS:
        proofs = [_proof_cell(balancer, member["drain_proof"].get(balancer), touched) for balancer in balancers]
    else:
        proofs = [_all_proofs_cell(member["drain_proof"], balancers, touched)]
    return [
        row_heading(name),
        *([cell("Pool", member["pool"] or NO_VALUE)] if report["serving"] else []),
        cell("Zone", member["zone"] or NO_VALUE),
        cell("Release", before if before == after else f"{before} → {after}"),
        cell("Out of traffic", "had none" if without_traffic(report, member) else _seconds_or_dash(member["seconds_out"]), class_="number"),
        cell("Own work", _seconds_or_dash(member["seconds_of_work"]), class_="number"),
        *proofs,
        cell("Outcome", outcome, why, class_=tone),
    ]


def verdicts_table(report: Report) -> Markup | None:
    """What the users of each canary got, beside what those of the others got in the same time."""
    rows = [(name, row) for name, member in report["members"].items() for row in member["verdicts"]]
    if not rows:
        return None
    columns = [("Canary", ""), ("Verdict", ""), ("Requests", "number"), ("Failed", "number"), ("Mean answer", "number"),
               ("Others failed", "number"), ("Others' mean answer", "number")]
    return table(columns, [_verdict_row(name, row) for name, row in rows])


def _verdict_row(name: str, row: Mapping[str, Any]) -> list[Markup]:
    canary, others, good = row["canary"], row["others"], row["verdict"] == "good"
    why = element("small", "; ".join(row["reasons"])) if row["reasons"] else None
    rest = f"{count(others['errors'])} of {count(others['requests'])}"
    return [
        row_heading(name),
        cell("Verdict", f"{'✓' if good else '✕'} {row['verdict'] or 'unclear'}", why, class_="good" if good else "bad"),
        cell("Requests", count(canary["requests"]), class_="number"),
        cell("Failed", count(canary["errors"]), class_="number bad" if canary["errors"] else "number"),
        cell("Mean answer", milliseconds(canary["response_ms"]), class_="number"),
        cell("Others failed", rest, class_="number"),
        cell("Others' mean answer", milliseconds(others["response_ms"]), class_="number"),
    ]


def _seconds_or_dash(value: float | None) -> str:
    return NO_VALUE if value is None else seconds(value)


def is_proven(proof: Mapping[str, Any] | None) -> bool:
    """Whether a load balancer reported no session and no queued request left."""
    return proof is not None and proof.get("sessions") == 0 and proof.get("queued") == 0


def _proof_cell(balancer: str, proof: Mapping[str, Any] | None, touched: bool) -> Markup:
    label = f"Drain, {balancer}"
    if not touched:
        return cell(label, NO_VALUE)
    if not proof:
        return cell(label, "✕ no proof", class_="bad")
    states = f"{proof.get('before', 'unknown')} → {proof.get('after', 'unknown')}"
    if not is_proven(proof):
        left = f"✕ {proof.get('sessions', 'unknown')} in flight, {proof.get('queued', 'unknown')} queued"
        return cell(label, left, element("small", states), class_="bad proof")
    waited = proof.get("waited_s")
    after = f" after {seconds(waited)}" if isinstance(waited, (int, float)) else ""
    return cell(label, "✓ 0 in flight", element("small", f"{states}{after}"), class_="good proof")


def _all_proofs_cell(proofs: Mapping[str, Mapping[str, Any]], balancers: Sequence[str], touched: bool) -> Markup:
    proven = [balancer for balancer in balancers if is_proven(proofs.get(balancer))]
    if not touched:
        return cell("Drain proven by", NO_VALUE)
    missing = [balancer for balancer in balancers if balancer not in proven]
    words = f"{len(proven)} of {plural(len(balancers), 'load balancer')}"
    return cell("Drain proven by", words, element("small", f"not by {', '.join(missing)}") if missing else None, class_="bad" if missing else "good")


# -- databases

def databases_table(report: Report) -> Markup | None:
    """Each database: both backups with what was compared, and the migrations."""
    if not report["databases"]:
        return None
    columns = [("Database", ""), ("Host", ""), ("Backup before", ""), ("Backup after", ""), ("Migrations", "")]
    rows = [
        [
            row_heading(name),
            cell("Host", database["host"] or NO_VALUE),
            _backup_cell("Backup before", database["backup"]),
            _backup_cell("Backup after", database["backup_after"]),
            cell("Migrations", *([_migration(row) for row in database["migrations"]] or [Markup("none")])),
        ]
        for name, database in report["databases"].items()
    ]
    return table(columns, rows)


def migration_tool_table(report: Report) -> Markup | None:
    """The team's own migration tool: where and when it ran, how it ended, and what it wrote last."""
    tool = report.get("migration_tool")
    if not tool:
        return None
    columns = [("Command", ""), ("Host", ""), ("Started", ""), ("Time", "number"), ("Exit status", "number"), ("Outcome", "")]
    said = element("small", tool["why"]) if tool["why"] else element("small", element("code", " / ".join(tool["output"]))) if tool["output"] else None
    return table(columns, [[
        row_heading(tool["command"]),
        cell("Host", tool["host"] or NO_VALUE),
        cell("Started", NO_VALUE if tool["started"] is None else moment(tool["started"])),
        cell("Time", _seconds_or_dash(tool["seconds"]), class_="number"),
        cell("Exit status", NO_VALUE if tool["exit_status"] is None else count(tool["exit_status"]), class_="number"),
        cell("Outcome", tool["status"], said, class_="bad" if tool["status"] == "failed" else None),
    ]])


def _backup_cell(label: str, backup: Mapping[str, Any] | None) -> Markup:
    if backup is None:
        return cell(label, "none")
    if not backup["proven"]:
        return cell(label, "✕ not proven", element("small", backup["why"] or "no reason given"), class_="bad")
    compared = f"{plural(backup['rows'], 'row')} in {plural(backup['tables'], 'table')}, {size(backup['size_bytes'])}"
    fingerprint = element("small", element("code", f"sha256 {backup['sha256'][:12]}…"), title=backup["sha256"]) if backup["sha256"] else None
    return cell(label, "✓ proven by a restore", element("small", compared), fingerprint, class_="good")


def _migration(row: Mapping[str, Any]) -> Markup:
    name = " ".join(word for word in (row["release"], row["phase"], row["step"]) if word)
    tries = "" if row["attempts"] in (None, 1) else f", {plural(row['attempts'], 'attempt')}"
    took = "" if row["seconds"] is None else f" in {milliseconds(row['seconds'] * 1000)}"
    return element("span", name, element("small", f"{row['status'] or 'unknown'}{took}{tries}"))


# -- requests and phases

def kinds_table(report: Report) -> Markup | None:
    """The kinds of clients and what each of them saw."""
    if not report["by_kind"]:
        return None
    columns = [("Kind", ""), ("Requests", "number"), ("Failed", "number"), ("99 of 100 within", "number"), ("Longest", "number")]
    rows = [
        [
            row_heading(kind),
            cell("Requests", count(seen["scheduled"]), class_="number"),
            cell("Failed", count(seen["failed"]), class_="number bad" if seen["failed"] else "number"),
            cell("99 of 100 within", milliseconds(seen["p99"]), class_="number"),
            cell("Longest", milliseconds(seen["p100"]), class_="number"),
        ]
        for kind, seen in report["by_kind"].items()
    ]
    return table(columns, rows)


def failures_table(report: Report) -> Markup | None:
    """The failed requests by class, the most frequent first."""
    worst = worst_first(report["failures_by_class"])
    if not worst:
        return None
    return table([("Class", ""), ("Failed requests", "number")], [[row_heading(name), cell("Failed requests", count(n), class_="number")] for name, n in worst])


def phases_table(report: Report) -> Markup | None:
    """The phases and the time that each took."""
    timed = [phase for phase in report["phases"] if phase["seconds"] is not None]
    if not timed:
        return None
    longest = max(phase["seconds"] for phase in timed) or 1
    rows = [
        [
            row_heading(phase["name"]),
            cell("Began", moment(phase["started"], date=False)),
            cell("Took", seconds(phase["seconds"]), class_="number"),
            element("td", element("span", class_="bar", style=f"width:{phase['seconds'] / longest:.1%}"), class_="bar-cell"),
        ]
        for phase in timed
    ]
    return table([("Phase", ""), ("Began", ""), ("Took", "number"), ("", "")], rows)
