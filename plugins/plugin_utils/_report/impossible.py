# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a report that cannot be: times in the wrong order or in the future, more failures than requests, times that a good run must know.

A report with such a figure proves nothing, whatever the rest of it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._text.figures import count, moment, seconds
from .._plan.shapes import Figures

# The clocks of two hosts may be so far apart, and the clock of one host may be set back by so much during a run. Seconds.
CLOCKS_APART = 60.0
CLOCK_SET_BACK = 1.0
IN_PLACE = "in_place"
MOVED = ("upgraded", "returned")
COMPARE_CLOCKS = "Times of this report cannot be true: compare the clocks of the controller, the load balancers and the members (timedatectl)"


def impossible(report: Figures, *, run_ok: bool, now: float | None) -> list[str]:
    """A sentence for each figure that cannot be.

    :param report: as ``report.summarise`` makes it, still without a verdict.
    :param run_ok: what the run says about itself. Only of one that says that it succeeded something may be expected to be known.
    :param now: epoch seconds, after which nothing can have happened; None when the report is read later.
    """
    times = [*_reversed_spans(report), *_wrong_order(report["phases"]), *_outside(report, now)]
    return [*times, *([COMPARE_CLOCKS] if times else []), *_wrong_counts(report), *(_unknown(report) if run_ok else [])]


def _spans(report: Figures) -> Iterator[tuple[str, float | None, float | None]]:
    """What it is, its beginning and its end, for all that has both."""
    yield "the run", report["started"], report["finished"]
    yield "the measurement", report["probe_started"], report["probe_finished"]
    for phase in report["phases"]:
        yield f"phase {phase['name']}", phase["started"], phase["finished"]
    for name, member in report["members"].items():
        yield f"{name}'s time out of traffic", member["out_at"], member["in_at"]
        for stage in member["stages"]:
            yield f"{name}'s {stage['name']}", stage["started"], stage["finished"]


def _reversed_spans(report: Figures) -> Iterator[str]:
    reverse = set()
    for what, begins, ends in _spans(report):
        if begins is not None and ends is not None and ends < begins:
            reverse.add(what)
            yield f"{what} ends {seconds(begins - ends)} before it begins"
    for name, member in report["members"].items():
        if (member["seconds_out"] or 0) < 0 and f"{name}'s time out of traffic" not in reverse:
            yield f"{name} was out of traffic for {count(member['seconds_out'])} s"


def _wrong_order(phases: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Phases follow each other; all of them are timed by the controller."""
    before = None
    for phase in phases:
        if phase["started"] is None:
            continue
        if before is not None and phase["started"] < max(before["started"], before["finished"] or 0) - CLOCK_SET_BACK:
            yield f"phase {phase['name']} begins before phase {before['name']} {'begins' if phase['started'] < before['started'] else 'ends'}"
        before = phase


def _outside(report: Figures, now: float | None) -> Iterator[str]:
    """What happened before the run began, or has not happened yet."""
    run = (report["started"], report["finished"])
    earliest = None if run[0] is None else run[0] - CLOCKS_APART
    latest = min((moment_ for moment_ in (now, run[1]) if moment_ is not None), default=None)
    if now is not None and run[1] is not None and run[1] > now + CLOCKS_APART:
        yield f"the run ends at {moment(run[1])}, which is in the future: it is {moment(now)}"
    for what, begins, ends in _spans(report):
        for word, when in (("begins", begins), ("ends", ends)):
            if what == "the run" or when is None:
                continue
            if earliest is not None and when < earliest:
                yield f"{what} {word} at {moment(when)}, before the run began at {moment(run[0])}"
            elif latest is not None and when > latest + CLOCKS_APART:
                yield f"{what} {word} at {moment(when)}, after the run ended at {moment(latest)}"


def _wrong_counts(report: Figures) -> Iterator[str]:
    counted = {"the prober": (report["requests_scheduled"], report["requests_failed"]),
               **{f"requests of the kind {kind}": (seen["scheduled"], seen["failed"]) for kind, seen in report["by_kind"].items()}}
    for what, (scheduled, failed) in counted.items():
        if min(scheduled or 0, failed or 0) < 0 or (failed or 0) > (scheduled or 0):
            yield f"{what}: {count(failed)} of {count(scheduled)} requests failed, which cannot be"
    figures = {"live_min": report["live_min"], "version_regressions": report["version_regressions"],
               **{f"latency_ms.{name}": value for name, value in report["latency_ms"].items()}}
    for name, database in report["databases"].items():
        for part in ("backup", "backup_after"):
            figures |= {f"databases.{name}.{part}.{key}": value for key, value in (database[part] or {}).items() if isinstance(value, (int, float))}
        figures |= {f"databases.{name}.migrations.{row['step']}.seconds": row["seconds"] for row in database["migrations"]}
    yield from (f"{name} is {count(value)}, which cannot be" for name, value in figures.items() if value is not None and value < 0)


def _unknown(report: Figures) -> Iterator[str]:
    """What a run that succeeded knows of each member that it moved."""
    for name, member in report["members"].items():
        if member["outcome"] in MOVED and report["method"] != IN_PLACE:
            words = {"out_at": "left traffic", "in_at": "came back into traffic"}
            yield from (f"{name} was {member['outcome']}, and when it {words[key]} is not known" for key in words if member[key] is None)
        if member["outcome"] == "upgraded" and None not in (report["release_to"], member["release_after"]) and member["release_after"] != report["release_to"]:
            yield f"{name} was upgraded to {report['release_to']}, and runs {member['release_after']}"
