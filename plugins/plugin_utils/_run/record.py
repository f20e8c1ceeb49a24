# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run, which the report is made of, out of what the phases registered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._text.figures import done_word
from .._plan.shapes import Moved, Plan, RunRecord

# After a run that was not ok: the state first. The same command again continues from there, or rollback goes back.
NEXT_COMMAND = "ansible-playbook alwayson.upgrade.status"
STAGES = (("drain", "out"), ("patch", "patch"), ("reboot", "reboot"), ("release", "release"), ("smoke test", "smoke"), ("return", "in"))


def make_record(plan: Plan, run: Mapping[str, Any]) -> RunRecord:
    """Put the run's record together.

    :param plan: see ``plan.make_plan``.
    :param run: ``started``, ``finished`` (epoch seconds), ``phases`` (name to ``{started, finished}``), ``problems`` (sentences), ``members`` (host to
        what its plays registered: ``outcome``, ``out``, ``release``, ``smoke``, ``in``, ``why``), ``cutover`` (results), ``databases``
        (host to ``{backup, backup_after, migrations}``), ``observed`` (before), ``version_check`` (or None), ``probe`` (result or None), ``probe_until`` (up to
        when it was to measure), ``budget`` (``max_failed``, ``max_unmeasured``), ``operator``.
    :returns: the run record; its shape is documented in docs/report.md.
    """
    # Of blue-green both pools are reported; the plan knows the members of the one that is worked on.
    observed = run["observed"].get("everybody") or run["observed"]["members"]
    flip = _span(run.get("cutover") or [])
    members = {
        name: _member(name, facts, run["members"].get(name) or {}, plan, flip)
        for name, facts in sorted(observed.items())
    }
    problems = [*run.get("problems", []), *_member_problems(members)]
    ok = not problems and bool(plan["nothing_to_do"] or run.get("version_check"))
    return {
        "service": plan["service"], "release_from": plan["release_from"], "release_to": plan["release_to"], "method": plan["method"],
        "direction": plan["direction"], **_cutover(plan, run, flip), "started": run["started"], "finished": run["finished"], "ok": ok,
        "outcome": _outcome(ok, plan, members), "problems": problems, "next_command": NEXT_COMMAND,
        "live_floor": plan["limits"]["min_live"], "pool_size": plan["pool_size"], "limits": {**plan["limits"], **(run.get("budget") or {})},
        "phases": _phases(run),
        "members": members, "databases": _databases(run.get("databases") or {}),
        "migration_tool": run.get("migration_tool") or None,
        "probe": run.get("probe"), "probe_until": run.get("probe_until"), "operator": run.get("operator") or {}, "version_check": run.get("version_check"),
    }


def _cutover(plan: Plan, run: Mapping[str, Any], flip: tuple[float, float] | None) -> Moved:
    """When all traffic moved, and between which pools; none when the run ended before that. ``serving`` are the pools that had it, and since when."""
    moved = plan["cutover"] if run.get("cutover") else None
    worked_on = next((facts.get("pool") for facts in run["observed"]["members"].values()), None)
    first = plan["cutover"]["from"] if plan["cutover"] else worked_on
    serving = [{"pool": first, "since": None}] if first else []
    return {"cutover_from": moved and moved["from"], "cutover_to": moved and moved["to"], "moved_at": flip[1] if flip else None, "pool": worked_on,
            "serving": [*serving, {"pool": moved["to"], "since": flip[1] if flip else None}] if moved else serving}


def _phases(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The phases in their order; one that broke off ends where the next one begins."""
    phases = [{"name": name, **times} for name, times in run["phases"].items()]
    ends = [*(phase["started"] for phase in phases[1:]), run["finished"]]
    return [{"finished": end, **phase} for phase, end in zip(phases, ends)]


def _member(name: str, facts: Mapping[str, Any], registered: Mapping[str, Any], plan: Plan, flip: tuple[float, float] | None) -> dict[str, Any]:
    step = next((index for index, names in enumerate(plan["steps"]) if name in names), None)
    attempt = _attempt(registered)
    stages = sorted([*_stages(attempt), *_stages(registered, again=bool(attempt))], key=lambda stage: stage["started"])
    out, back = _results(registered.get("out")), _results(registered.get("in"))
    in_first_half = plan["method"] == "half_pool" and step == 0
    finished = max((result["finished_at"] for result in back if result.get("finished_at")), default=None)
    if in_first_half and flip and registered.get("outcome") == "upgraded":
        finished = flip[1]
    started = min((result["started_at"] for result in [*_results(attempt.get("out")), *out] if result.get("started_at")), default=None)
    if plan["method"] == "half_pool" and step == 1 and flip:
        started = flip[0]
    return {
        "pool": facts.get("pool"), "zone": facts.get("domain"),
        "release_before": facts.get("release"), "release_after": registered.get("release_after", facts.get("release")),
        "step": step, "outcome": registered.get("outcome", "untouched"), "why": registered.get("why"),
        "out_at": started, "in_at": finished, "seconds_out": round(finished - started, 3) if started and finished else None,
        "stages": stages, "drain_proof": _drain_proof(out), "verdicts": _verdicts(registered),
    }


def _attempt(registered: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a member that was put back went through before it failed. What an earlier roll of the run registered does not belong to it."""
    attempt = registered.get("attempt") or {}
    begins = min((result["started_at"] for result in _results(attempt.get("out")) if result.get("started_at")), default=0.0)
    return {key: {"results": [result for result in _results(results) if (result.get("started_at") or 0.0) >= begins]} for key, results in attempt.items()}


def _verdicts(registered: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What users got from a canary and from the others, as the load balancers counted it: one for each call."""
    names = ("verdict", "reasons", "canary", "others")
    return [{name: result.get(name) for name in names} for result in _results(registered.get("verdict")) if result.get("verdict")]


def _results(registered: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The results of a looped task, skipped ones left out; a result without a loop is a list of one."""
    if not registered:
        return []
    results = registered.get("results", [registered])
    return [result for result in results if not result.get("skipped")]


def _span(results: Iterable[Mapping[str, Any]]) -> tuple[float, float] | None:
    times = [(result["started_at"], result["finished_at"]) for result in results if result.get("started_at") and result.get("finished_at")]
    return (min(start for start, _end in times), max(end for _start, end in times)) if times else None


def _stages(registered: Mapping[str, Any], *, again: bool = False) -> list[dict[str, Any]]:
    """The stages that are timed.

    :param again: whether this is the way back after an attempt that failed: the release before is made current again.
    """
    stages = []
    for label, key in STAGES:
        span = _span(_results(registered.get(key)))
        if span:
            name = f"return to {registered.get('release_after')}" if again and key == "release" else label
            stages.append({"name": name, "started": span[0], "finished": span[1]})
    return sorted(stages, key=lambda stage: stage["started"])


def _drain_proof(out: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Load balancer to what proved that the member was out."""
    return {balancer: proof for result in out for balancer, proofs in (result.get("proof") or {}).items() for proof in proofs.values()}


def _member_problems(members: Mapping[str, Any]) -> list[str]:
    sentences = []
    for name, member in members.items():
        why = f": {member['why']}" if member["why"] else ""
        if member["outcome"] == "returned":
            sentences.append(f"{name} was returned to {member['release_after']}{why}")
        elif member["outcome"] == "left_out":
            sentences.append(f"{name} was left out of traffic{why}")
        elif member["outcome"] == "lost":
            sentences.append(f"{name} was lost during its upgrade and stays out of traffic")
    return sentences


def _outcome(ok: bool, plan: Plan, members: Mapping[str, Any]) -> str:
    if plan["nothing_to_do"]:
        return "nothing to do"
    if ok:
        return done_word(plan["direction"])
    if all(member["outcome"] == "untouched" for member in members.values()):
        return "stopped before a member left traffic"
    if all(member["release_after"] == member["release_before"] != plan["release_to"] and member["outcome"] not in ("left_out", "lost")
           for member in members.values()):
        return f"returned to {plan['release_from']}"
    return "stopped"


def _databases(by_host: Mapping[str, Any]) -> dict[str, Any]:
    records = {}
    for host, registered in by_host.items():
        for name, backup in ((registered.get("backup") or {}).get("backups") or {}).items():
            records[name] = {
                "host": host, "backup": backup,
                "backup_after": ((registered.get("backup_after") or {}).get("backups") or {}).get(name),
                "migrations": [row for result in registered.get("migrations") or [] for row in (result.get("migrations") or {}).get(name, [])],
            }
    return records
