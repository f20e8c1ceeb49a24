# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One regime, measured: a new fleet, the prober around the play, and the figures as a row."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import community_general
import yaml
from fleet.demo import REPOSITORY, probe, stop_probe
from fleet.embedded import EmbeddedFleet
from fleet.members import MemberError
from regimes import NEW, OLD, PLAY_SECONDS, SERIAL, Regime, carry_out
from watch import INTERVAL_SECONDS, Outage, Watch, cutovers, least_live, outages, roll_and_floor

MARGIN_SECONDS = 3
SLOW = "slow"
# Beside the demo's requests some whose answers stream for two seconds: what a restart without a drain would cut.
STREAM = {"kind": SLOW, "share": 4, "path": "/stream?ms=2000"}
APPLICATIONS = ("graceful", "abrupt")


def measured(regime: Regime, application: str, directory: Path, *, rate: float, seconds: float) -> dict:
    """Upgrade a new fleet in this way under load; returns the row.

    :param application: how it ends when its service is stopped; one of APPLICATIONS.
    :param rate: requests a second.
    :param seconds: how long the load lasts at least.
    """
    version = community_general.fetch() if regime.needs_community else None
    _make_room(directory)
    with EmbeddedFleet(directory, release=OLD, pools=regime.pools, kind=regime.kind, is_abrupt=application == "abrupt") as fleet:
        try:
            probe(directory / "probe", "started", targets=fleet.front_urls, mix=_mix(), rate=rate,
                  max_seconds=PLAY_SECONDS + seconds + 120).check_returncode()
            began = time.monotonic()
            with Watch(fleet, has_runtime_api=regime.has_runtime_api) as watch:
                time.sleep(MARGIN_SECONDS)
                code, play_seconds = carry_out(regime, fleet, directory / "play.log")
                time.sleep(max(MARGIN_SECONDS, began + seconds - time.monotonic()))
        finally:
            stop_probe(directory / "probe")
        return {
            "regime": regime.name, "application": application, "load_average": round(os.getloadavg()[0], 1), "play_s": round(play_seconds, 1),
            **({"community_general": version} if version else {}), **_of_the_prober(directory),
            **_of_the_members(regime, fleet, watch), **_problem(regime, fleet, code),
        }


def _make_room(directory: Path) -> None:
    """A fleet that a killed bench left is ended; nothing of an earlier run is taken for this one's."""
    EmbeddedFleet(directory).down()
    shutil.rmtree(directory, ignore_errors=True)


def _mix() -> list[dict]:
    return [*yaml.safe_load((REPOSITORY / "tests/fleet/service.yml").read_text(encoding="utf-8"))["demo_probe"]["mix"], STREAM]


def _of_the_prober(directory: Path) -> dict:
    """The prober's figures; latencies in milliseconds."""
    result = json.loads((directory / "probe" / "result.json").read_text(encoding="utf-8"))
    # One that is slow by design would be the p100 of every regime, and with two in a hundred the p99, too.
    quick = [figures for kind, figures in result["by_kind"].items() if kind != SLOW and figures["p100"] is not None]
    return {
        "scheduled": result["requests_scheduled"], "failed": result["requests_failed"],
        "classes": {name: count for name, count in result["failures_by_class"].items() if count},
        "failed_by_kind": {kind: figures["failed"] for kind, figures in result["by_kind"].items() if figures["failed"]},
        "regressions": result["version_regressions"], "clients": result["clients"],
        "p99_ms": max((figures["p99"] for figures in quick), default=None), "p100_ms": max((figures["p100"] for figures in quick), default=None),
        "latency_ms": result["latency_ms"],
        "void_seconds": round(sum(window["to"] - window["from"] for window in result["void_windows"])),
    }


def _of_the_members(regime: Regime, fleet: EmbeddedFleet, watch: Watch) -> dict:
    """Who was out of service for how long, and what was left; seconds."""
    report = _report(fleet.directory) if regime.is_ours else {}
    at_once = report.get("limits", {}).get("max_unavailable") or SERIAL
    names = [member.name for member in fleet.layout.members]
    seen = _outages(regime, watch, names, report)
    times = roll_and_floor(seen, at_once)
    live = least_live(watch.samples)
    gaps = [later.at - earlier.at for earlier, later in zip(watch.samples, watch.samples[1:])]
    return {
        "at_once": at_once, "read_from": "the load balancers" if regime.has_runtime_api else "the report",
        "roll_s": times and round(times[0], 1), "floor_s": times and round(times[1], 1),
        "outages_s": {name: round(sum(outage.ended - outage.began for outage in seen if outage.member == name), 1) for name in names},
        "live_min": live and live[0], "live_and_up_min": live and live[1], "pool_size": len(names) // len(regime.pools),
        "samples": len(watch.samples), "longest_gap_s": round(max(gaps, default=INTERVAL_SECONDS), 2),
        # The playbook's own bookkeeping: the phase with Ansible's work before the first member and after the last one, and the work on members alone.
        "phase_s": report.get("roll_s"), "work_floor_s": report.get("duration_floor_s"),
    }


def _outages(regime: Regime, watch: Watch, names: list[str], report: dict) -> list[Outage]:
    if not regime.has_runtime_api:
        return reported_outages(report)
    return (outages if len(regime.pools) == 1 else cutovers)(watch.samples, names)


def _report(directory: Path) -> dict:
    path = directory / "report.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def reported_outages(report: dict) -> list[Outage]:
    """The same from the report of our playbook; a member that never left or never returned is not in it."""
    return [Outage(name, member["out_at"], member["in_at"]) for name, member in report.get("members", {}).items() if member["out_at"] and member["in_at"]]


def _problem(regime: Regime, fleet: EmbeddedFleet, code: int) -> dict:
    """A play that did not end well, or members that do not run the new release."""
    behind = [member.name for member in fleet.layout.members if _version(fleet, member.name) != NEW]
    # Blue-green leaves the old side as it is: half of the members, ready to go back to.
    expected = len(fleet.layout.members) // len(regime.pools)
    wrong = [f"the play ended with {code}"] if code else []
    wrong += [f"not on {NEW}: {', '.join(behind)}"] if len(fleet.layout.members) - len(behind) != expected else []
    return {"problem": f"{'; '.join(wrong)} (see {fleet.directory.relative_to(REPOSITORY) / 'play.log'})"} if wrong else {}


def _version(fleet: EmbeddedFleet, name: str) -> str | None:
    try:
        return fleet.member_version(name)
    except MemberError:
        return None
