# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kill sweep: the controller is killed at every event of an upgrade and of a rollback, and the same command continues from another directory.

    build/venv/bin/python tests/sweep/kill_sweep.py --method half_pool             # every event; a line each in build/sweep/results.jsonl
    build/venv/bin/python tests/sweep/kill_sweep.py --method rolling --events 6    # a sample, spread evenly
    build/venv/bin/python tests/sweep/kill_sweep.py --part 1/2                     # every other event; 2/2 beside it has the rest

After each pair of a killed and a resumed run: the resumed one ended with 0, every member runs the release and takes traffic on every load balancer, every
application was started exactly once for it, no migration stands in the ledger twice, no lock is left. An independent prober asks through both load
balancers all the time; not one request may fail.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from fleet.demo import interruptible, probe, run_playbook, stop_probe  # noqa: E402
from fleet.embedded import EmbeddedFleet  # noqa: E402

PLUGINS = Path(__file__).parent / "plugins"
OLD, NEW = "1.0.0", "2.0.0"
KILLED = -9
STARTED = re.compile(r"release (\S+) started")
# A prober of a fleet ends by itself after this, whatever becomes of the sweep.
PROBE_MAX_S = 7200


class Sweep:
    """One fleet, its prober, and the runs against it."""

    def __init__(self, directory: Path, method: str) -> None:
        self.directory = directory
        self.fleet = EmbeddedFleet(directory)
        self.method = method
        self.elsewhere = directory / "elsewhere"
        self.failed_before = 0

    def __enter__(self) -> Sweep:
        self.fleet.__enter__()
        self.elsewhere.mkdir(exist_ok=True)
        probe(self.directory / "outer", "started", rate=40, max_seconds=PROBE_MAX_S, max_requests=40 * PROBE_MAX_S,
              targets=[balancer.front_url for balancer in self.fleet.layout.load_balancers],
              mix=[{"kind": "keepalive", "share": 30, "path": "/products?tenant=a"}, {"kind": "new", "share": 30, "path": "/products?tenant=b"},
                   {"kind": "sticky", "share": 20, "path": "/products?tenant=a"},
                   {"kind": "write", "share": 10, "path": "/orders?tenant=b", "body": {"product": 1, "quantity": 2}, "status": [201]}]).check_returncode()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            stop_probe(self.directory / "outer")
        finally:
            self.fleet.__exit__(*error)

    def run(self, playbook: str, kill_at: int | str = 0) -> tuple[int, list[str]]:
        """Run a playbook, killed at an event (its number, or as the plugin kill_at reads it) or not at all; returns its status and the events."""
        events = self.directory / "events"
        variables = {"upgrade_release": NEW if playbook == "upgrade" else OLD, "upgrade_method": self.method, "upgrade_probe": {}}
        with (self.directory / f"{playbook}.log").open("w", encoding="utf-8") as output:
            code = run_playbook(playbook, self.directory, variables, output=output, working_directory=self.elsewhere if kill_at else self.directory,
                                environment={"ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS), "ANSIBLE_CALLBACKS_ENABLED": "kill_at",
                                             "KILL_AT_EVENT": str(kill_at), "KILL_AT_EVENTS_FILE": str(events)})
        return code, events.read_text(encoding="utf-8").splitlines()

    def starts(self) -> dict[str, list[str]]:
        """Member to the releases that its application was started with, in order."""
        return {member.name: STARTED.findall((member.directory / "log" / "supervisor.log").read_text(encoding="utf-8")) for member in self.fleet.layout.members}

    def problems(self, release: str, code: int, before: dict[str, list[str]]) -> list[str]:
        """What is wrong after a resumed run; nothing, hopefully."""
        everybody = {member.name for member in self.fleet.layout.members}
        found = [] if code == 0 else [f"the resumed run ended with {code}"]
        for name in sorted(everybody):
            version, started = self.fleet.member_version(name), self.starts()[name][len(before[name]):]
            found += [] if version == release else [f"{name} answers {version}"]
            found += [] if started == [release] else [f"{name} was started with {started}"]
        for balancer, members in self.fleet.in_traffic().items():
            found += [f"out of traffic on {balancer}: {', '.join(sorted(everybody - members))}"] if everybody - members else []
        found += [f"{path.name} is left" for path in (self.directory / "state").glob("*.lock") if path.name == "shop.lock"]
        live = json.loads((self.directory / "outer" / "live.json").read_text(encoding="utf-8"))
        failed, self.failed_before = live["requests_failed"] - self.failed_before, live["requests_failed"]
        return found + ([f"{failed} requests failed"] if failed else [])

    def be_where_it_begins(self, playbook: str) -> None:
        """Go the other way first when the fleet is there already."""
        target, other = (NEW, "rollback") if playbook == "upgrade" else (OLD, "upgrade")
        if all(self.fleet.member_version(member.name) == target for member in self.fleet.layout.members):
            code, _events = self.run(other)
            if code:
                raise SystemExit(f"{other} ended with {code}: see {self.directory / other}.log")

    def killed_and_resumed(self, playbook: str, event: int | str) -> dict:
        """One kill, one resume, and what was found."""
        release = NEW if playbook == "upgrade" else OLD
        before, began = self.starts(), time.monotonic()
        code, events = self.run(playbook, event)
        resumed = 0
        if code == KILLED:
            resumed, _events = self.run(playbook)
        return {"method": self.method, "playbook": playbook, "event": event, "killed": code == KILLED, "at": events[-1] if events else "",
                "events": len(events), "seconds": round(time.monotonic() - began),
                "problems": self.problems(release, resumed if code == KILLED else code, before)}


def spread(count: int) -> list[int]:
    """1..count in an order whose every beginning is spread over the whole (bits reversed)."""
    width = count.bit_length()
    order = [int(format(number, f"0{width}b")[::-1], 2) for number in range(2 ** width)]
    return [number for number in order if 1 <= number <= count]


def main() -> int:
    options = _options()
    results = REPOSITORY / "build" / "sweep" / "results.jsonl"
    results.parent.mkdir(parents=True, exist_ok=True)
    done = _known(results)
    failed = swept = 0
    deadline = time.monotonic() + options.minutes * 60
    part, parts = map(int, options.part.split("/"))
    with interruptible(), Sweep(REPOSITORY / "build" / "sweep" / f"{options.method}-{part}-of-{parts}", options.method) as sweep:
        counts = {playbook: len(sweep.run(playbook)[1]) for playbook in ("upgrade", "rollback")}
        chosen = spread(max(counts.values()))[:options.events or None][part - 1::parts]
        print(f"{options.method}: {counts['upgrade']} events in an upgrade, {counts['rollback']} in a rollback; sweeping {len(chosen)} of them", flush=True)
        for event in chosen:
            for playbook in ("upgrade", "rollback"):
                if event > counts[playbook] or (options.method, playbook, event) in done and options.go_on or time.monotonic() > deadline:
                    continue
                sweep.be_where_it_begins(playbook)
                result = sweep.killed_and_resumed(playbook, event)
                if not result["killed"]:
                    # The first run had more to do than all later ones: migrations are applied once.
                    counts[playbook] = result["events"]
                swept += result["killed"]
                failed += bool(result["problems"])
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                print(f"{playbook:8} {event:4} {'killed' if result['killed'] else 'whole':6} {result['seconds']:4} s  {result['at']}"
                      f"  {'; '.join(result['problems']) or 'converged'}", flush=True)
    print(f"{swept} controllers killed, {failed} runs with problems")
    return 1 if failed or not swept else 0


def _known(results: Path) -> set[tuple[str, str, int]]:
    if not results.exists():
        return set()
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return {(row["method"], row["playbook"], row["event"]) for row in rows if row["killed"] and not row["problems"]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("half_pool", "rolling", "canary"), default="half_pool")
    parser.add_argument("--events", type=int, default=0, help="how many events, spread over all of them; 0: every one")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="the Kth of N equal parts of the events")
    parser.add_argument("--minutes", type=float, default=600, help="start no kill after so many minutes")
    parser.add_argument("--go-on", action="store_true", help="leave out what build/sweep/results.jsonl says converged")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
