# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a run: whether it is ok, the problems, what was not proven, and the headline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._schedule.error_budget import failed_too_many, unmeasured_too_many
from .._text.figures import MEASURED, count, done_word, listed, percent, plural, seconds, sentence
from .floor import HALF_POOL, STRANDED
from .impossible import impossible
from .serving_pool import worked_on
from .._plan.shapes import Figures, Report

ON_PURPOSE = "slow"  # the kind of requests whose answers are meant to take long
GOOD, WARNING, BAD = "good", "warning", "bad"
DONE = (None, "upgraded", "rolled back", "patched", "nothing to do")
# Whose traffic moves as a whole, so that no client may see one release and then the other again.
AT_ONCE = (HALF_POOL, "blue_green")


def verdict_of(report: Figures, *, run_ok: bool, problems: object, now: float | None = None) -> dict[str, Any]:
    """``ok``, ``problems``, ``not_proven``, ``headline``, ``subline`` and ``tone`` (good, warning, bad) for these figures.

    :param run_ok: what the run says about itself.
    :param problems: the run's own problems: a sentence or a list of them.
    :param now: see ``impossible``.
    """
    sentences = [sentence(str(problem)) for problem in _as_list(problems) if str(problem).strip()]
    if not run_ok and not sentences:
        sentences = ["The run did not succeed and named no reason."]
    found = _broken_promises(report) + [sentence(words) for words in impossible(report, run_ok=run_ok, now=now)]
    all_well = run_ok and not found
    return {
        "ok": all_well,
        "problems": sentences + [problem for problem in found if problem not in sentences],
        "not_proven": _not_proven(report),
        "headline": _headline(report, run_ok=run_ok, found=found),
        "subline": _subline(report),
        "tone": _tone(report, run_ok=run_ok, all_well=all_well),
    }


def _as_list(problems: object) -> list[Any]:
    if problems is None:
        return []
    return list(problems) if isinstance(problems, (list, tuple)) else [problems]


def _broken_promises(report: Figures) -> list[str]:
    """The problems that the figures show. What was not measured is no problem here."""
    found = []
    if report["probe_problem"]:
        found.append(sentence(f"The measurement is not complete: {report['probe_problem']}"))
    if report["probed"]:
        exceeded = (failed_too_many(report, report["limits"]),
                    unmeasured_too_many(report["requests_expected"], report["requests_unmeasured"], report["limits"]))
        found += [sentence(words) for words in exceeded if words]
        if report["measured"] and report["requests_failed"] is None:
            found.append("The prober did not say how many requests failed.")
    if report["version_regressions"] and report["method"] in AT_ONCE:
        clients = plural(report["version_regressions"], "client")
        method = report["method"].replace("_", "-")
        found.append(f"{clients} saw the release that the service moved to and then another one; a {method} upgrade promises that no client does.")
    if falls_below_floor(report):
        found.append(f"Live capacity fell to {count(report['live_min'])}, under the floor of {count(report['live_floor'])}.")
    return found


def compares_with_floor(report: Figures) -> bool:
    """Whether the roll may be measured against the least time possible: not when a member's work was cut short or undone."""
    outcomes = {member["outcome"] for member in report["members"].values()}
    return bool(report["duration_floor_s"]) and not outcomes & {*STRANDED, "returned"}


def falls_below_floor(report: Figures) -> bool:
    """Whether measured live capacity was ever below the floor."""
    return report["live_min"] is not None and report["live_floor"] is not None and report["live_min"] < report["live_floor"]


def _not_proven(report: Figures) -> list[str]:
    """Each thing that a reader would expect to be proven, and why it is not."""
    missing = []
    if not report["measured"] and not report["probed"]:
        missing.append("Availability was not measured: no prober's result was given.")
    elif not report["measured"]:
        missing.append("Availability was not measured: the prober sent no request.")
    if report["measured"] and report["version_regressions"] is None:
        missing.append("Whether a client went back from the new release to the old one was not measured: no answer to the prober contained its release "
                       "(upgrade_probe: version_header, X-Release by default, version_key or version_pattern).")
    if report["requests_unmeasured"]:
        share = percent(report["requests_unmeasured"] / max(1, report["requests_expected"]))
        missing.append(f"{plural(report['requests_unmeasured'], 'request')} ({share}) could not be measured: what users got in that time is not known.")
    if report["void_windows"]:
        missing.append(
            f"The prober itself was late in {plural(len(report['void_windows']), 'window')} ({seconds(void_seconds(report))} together): "
            "how long answers took in that time is not known."
        )
    skipped = [f"{name} ({why})" for name, why in report["capacity_skipped"].items()]
    if skipped:
        missing.append(f"Live capacity was not sampled at {listed(skipped)}.")
    elif report["live_min"] is None:
        missing.append("Live capacity was not sampled.")
    if report["live_min"] is not None and report["live_floor"] is None and report["direction"] != MEASURED and not report["serving"]:
        missing.append("No floor of live capacity was given to compare with.")
    unread = [f"{name} in {plural(times, 'sample')}" for name, times in report["capacity_unreadable"].items() if times]
    if unread:
        missing.append(f"Live capacity could not always be read: {listed(unread)}.")
    undrained = [name for name, member in report["members"].items() if went_out(member) and not member["drain_proof"]]
    if undrained:
        missing.append(f"No load balancer proved the drain of {listed(undrained)}.")
    if not report["members"] and report["direction"] != MEASURED:
        missing.append("Nothing is known about the members.")
    if report["read_by_command"]:
        missing.append(f"The release of {plural(report['read_by_command'], 'member')} was read by a command, not from an answer that users get.")
    unproven = [name for name, database in report["databases"].items() if not database["backup_proven"]]
    if unproven:
        missing.append(f"The backup of {listed(unproven)} was not proven by a restore.")
    stale = [name for name, database in report["databases"].items() if database["backup_after_proven"] is False]
    if stale:
        missing.append(f"The backup of {listed(stale)} after the upgrade was not proven by a restore.")
    return missing


def void_seconds(report: Figures) -> float:
    """How long the void windows are together."""
    return sum(max(0.0, end - begin) for window in report["void_windows"] if (begin := window["from"]) is not None and (end := window["to"]) is not None)


def went_out(member: Mapping[str, Any]) -> bool:
    """Whether the run took this member out of traffic."""
    return bool(member["out_at"] or member["seconds_out"] or member["stages"])


def _headline(report: Figures, *, run_ok: bool, found: list[str]) -> str:
    """One line that says whether users noticed the run."""
    failed, scheduled = report["requests_failed"], report["requests_scheduled"]
    known = report["measured"] and failed is not None
    figures = f"{count(failed)} of {plural(scheduled, 'request')} failed"
    unnoticed = known and failed == 0 and report["version_regressions"] == 0 and not report["void_windows"] and not falls_below_floor(report)
    if not run_ok:
        outcome = report["outcome"] if report["outcome"] not in DONE else "the run did not succeed"
        what = outcome[:1].upper() + outcome[1:]
        if unnoticed:
            return f"{what}, and nobody noticed: {figures}"
        return f"{what}; {figures if known else 'availability was not measured'}"
    if nothing_to_do(report):
        what = f"Nothing to do: {plural(len(report['members']), 'member')} already on {report['release_to'] or 'the release'}"
        return f"{what}; {figures}" if known else what
    if found and not failed:
        return found[0].rstrip(".")
    if unnoticed:
        return f"Nobody noticed: {figures}"
    if known:
        return figures
    done = f"{done_word(report['direction']).capitalize()} {'on' if report['direction'] == 'patch' else 'to'}"
    return f"{done} {report['release_to'] or 'the release'}; whether users noticed was not measured"


def nothing_to_do(report: Figures) -> bool:
    """Whether the run found every member where it should be."""
    return bool(report["members"]) and not report["cutover_to"] and all(member["outcome"] == "untouched" for member in report["members"].values())


def _subline(report: Figures) -> str:
    """A short summary: the members, the capacity, the databases."""
    sentences = []
    members = worked_on(report).values()
    if members and report["release_to"]:
        there = sum(member["release_after"] == report["release_to"] for member in members)
        who = f"{there} of {plural(len(members), 'member')} {'runs' if there == 1 else 'run'}" if there < len(members) else f"All {there} members run"
        where = f" of {report['pool']}" if report["pool"] else ""
        sentences.append(f"{who.replace(' members', f' members{where}', 1)} {report['release_to']}.")
    sentences += standing_by(report)
    stranded = [name for name, member in report["members"].items() if member["outcome"] in STRANDED]
    if stranded:
        sentences.append(f"{listed(stranded)} {'is' if len(stranded) == 1 else 'are'} out of traffic.")
    if report["live_min"] is not None:
        size = "" if report["pool_size"] is None else f" of {count(report['pool_size'])}"
        floor = "" if report["live_floor"] is None else f", the floor is {count(report['live_floor'])}"
        sentences.append(f"At the lowest moment {count(report['live_min'])}{size} were live{floor}.")
    if report["databases"]:
        proven = sum(database["backup_proven"] for database in report["databases"].values())
        some = f"Only {proven} of {plural(len(report['databases']), 'backup')} {'is' if proven == 1 else 'are'}"
        sentences.append(f"{'Every backup is' if proven == len(report['databases']) else some} proven by a restore.")
    return " ".join(sentences)


def standing_by(report: Figures) -> list[str]:
    """Blue-green: the pool with the traffic, and the release of the other one."""
    others = {name: member for name, member in report["members"].items() if name not in worked_on(report)}
    if not others:
        return []
    pool, releases = next(iter(others.values()))["pool"], sorted({member["release_after"] or "unknown" for member in others.values()})
    if report["serving"] and report["serving"][-1]["pool"] == report["pool"]:
        return [f"All traffic is on {report['pool']}; {pool} stands by on {listed(releases)} for the return."]
    return [f"All traffic is on {pool}, on {listed(releases)}."]


def _tone(report: Figures, *, run_ok: bool, all_well: bool) -> str:
    if not all_well:
        harmless = not run_ok and report["requests_failed"] == 0 and not falls_below_floor(report) and not _stranded(report)
        return WARNING if harmless else BAD
    return GOOD if report["measured"] and report["requests_failed"] is not None else WARNING


def _stranded(report: Figures) -> bool:
    return any(member["outcome"] in STRANDED for member in report["members"].values())


def longest_answer(report: Report) -> tuple[float | None, float | None]:
    """The longest answer (ms) of requests that are not slow on purpose, and of those that are; the first of all when kinds are unknown."""
    kinds = {kind: seen["p100"] for kind, seen in report["by_kind"].items() if seen["p100"] is not None}
    slow = kinds.pop(ON_PURPOSE, None)
    return (max(kinds.values()), slow) if kinds else (report["latency_ms"]["p100"], None)
