# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fleet, upgraded and taken back again and again under load, until so many requests were scheduled; a line for each run, and the sum.

    build/venv/bin/python tests/bench/soak.py --method half_pool --requests 100000
    build/venv/bin/python tests/bench/soak.py --method rolling --members 60 --requests 20000
    build/venv/bin/python tests/bench/soak.py --kind envoy --method half_pool --requests 10000

It fails when a request failed, and when a member was returned to the release before, left out or lost.

It is as rough as it gets: the application is stopped by SIGKILL, every load balancer is reloaded again and again by somebody else, also in the middle of a
drain, and among the clients are sticky ones, slow ones, and some whose answers stream for seconds. Envoy has no reload: it restarts hot.

Each run is measured by its own prober from before its first change to after its last one, so the sum is of upgrades and nothing else. A request counts
from the moment it was scheduled for. Beside each method's longest answer stands that of the same load on the same fleet at rest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

import yaml
from fleet.demo import METHODS, interruptible, probe, run_playbook, stop_probe
from fleet.embedded import HAPROXY, KINDS, EmbeddedFleet
from fleet.layout import BACKEND, BLUE_GREEN

OLD, NEW = "1.0.0", "2.0.0"
AT_REST_SECONDS = 30
# Of Envoy a restart is this far from the one before, on the other load balancer: meanwhile no drain of the first one can be proven.
RELOAD_EVERY_SECONDS, RESTART_EVERY_SECONDS = 9.0, 30.0
# Caddy closes connections at every reload, and every change of a weight is one.
FAILED_AT_CADDY = "1%"
# What a canary, one of many members, gets while it is watched: a verdict needs ten.
CANARY_REQUESTS = 40
STREAM = {"kind": "slow", "share": 1, "path": "/stream?ms=2000"}


@dataclass
class Figures:
    """What a prober saw, the longest answer in milliseconds; and how many members were returned or lost."""

    scheduled: int = 0
    failed: int = 0
    regressions: int = 0
    p100_ms: float = 0.0
    void_seconds: float = 0.0
    returned: int = 0

    def add(self, other: Figures) -> None:
        self.scheduled += other.scheduled
        self.failed += other.failed
        self.regressions += other.regressions
        self.p100_ms = max(self.p100_ms, other.p100_ms)
        self.void_seconds += other.void_seconds
        self.returned += other.returned

    def __str__(self) -> str:
        return (f"{self.scheduled:8,} requests  {self.failed} failed  {self.regressions} regressions  longest answer {self.p100_ms:.0f} ms  "
                f"{self.void_seconds:.0f} s void  {self.returned} members returned")


def main() -> int:
    options = _options()
    description = METHODS[options.method]
    variables = {**(yaml.safe_load(description.read_text(encoding="utf-8")) if description else {}), "upgrade_method": options.method}
    settings = yaml.safe_load((REPOSITORY / "tests/fleet/service.yml").read_text(encoding="utf-8"))["demo_probe"]
    mix = [*settings["mix"], STREAM]
    variables["demo_probe"] = {**settings, "mix": mix, "rate": options.rate}
    variables["upgrade_soak"] = max(4, -(-CANARY_REQUESTS * options.members // options.rate))
    if options.kind != HAPROXY:
        # Live capacity is sampled from HAProxy only; nginx's file is on the load balancer, which drives itself then.
        variables |= {"demo_capacity": [], **({"upgrade_traffic_via": None} if options.kind == "nginx" else {})}
    if options.kind == "caddy":
        variables["upgrade_max_failed"] = FAILED_AT_CADDY
    directory = REPOSITORY / "build" / "bench" / f"soak-{options.kind}-{options.method}"
    total, runs = Figures(), 0
    shape = {"members": options.members, "pools": BLUE_GREEN if description else (BACKEND,), "is_abrupt": True, "kind": options.kind}
    # One thread for all of it: Envoy ends with the thread that has started it (prctl(2), PR_SET_PDEATHSIG).
    with interruptible(), EmbeddedFleet(directory, **shape) as fleet, ThreadPoolExecutor(1) as reloader:
        try:
            rest = at_rest(fleet, mix, options.rate)
            print(f"at rest     {rest}", flush=True)
            # What was upgraded is taken back, too.
            while total.scheduled < options.requests or runs % 2:
                playbook, release = (("upgrade", NEW), ("rollback", OLD))[runs % 2]
                with reloading(fleet, reloader) as reloads:
                    figures, seconds = measured_run(directory, playbook, {**variables, "upgrade_release": release}, options.forks)
                runs += 1
                total.add(figures)
                print(f"{playbook:9} {runs:3} {seconds:4.0f} s  {figures}  {len(reloads)} reloads", flush=True)
        finally:
            stop_probe(directory / "probe")
    print(f"{options.kind}, {options.method}, {options.members} members, {runs} runs: {total}; "
          f"with 95 % confidence fewer than 1 in {total.scheduled // 3:,} fails")
    return 1 if total.failed or total.returned or total.scheduled < options.requests else 0


def at_rest(fleet: EmbeddedFleet, mix: list, rate: int) -> Figures:
    """The same load on the same fleet, while nothing is done to it."""
    directory = fleet.directory / "probe"
    probe(directory, "started", targets=fleet.front_urls, mix=mix, rate=rate, max_seconds=AT_REST_SECONDS * 4).check_returncode()
    time.sleep(AT_REST_SECONDS)
    stop_probe(directory)
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    return Figures(result["requests_scheduled"], result["requests_failed"], 0, result["latency_ms"]["p100"])


@contextlib.contextmanager
def reloading(fleet: EmbeddedFleet, reloader: ThreadPoolExecutor) -> Iterator[list[str]]:
    """Reload one load balancer after the other while the block runs; the list has a name for each time."""
    over, reloads = threading.Event(), []

    def reload_again_and_again() -> None:
        names = [balancer.name for balancer in fleet.layout.load_balancers]
        while not over.wait(RESTART_EVERY_SECONDS if fleet.kind == "envoy" else RELOAD_EVERY_SECONDS):
            fleet.reload(names[len(reloads) % len(names)])
            reloads.append(names[len(reloads) % len(names)])

    done = reloader.submit(reload_again_and_again)
    try:
        yield reloads
    finally:
        over.set()
        done.result()


def measured_run(directory: Path, playbook: str, variables: dict, forks: int) -> tuple[Figures, float]:
    """One run of a playbook, which has to end well; what its own prober saw, and the seconds it took."""
    began = time.monotonic()
    log = directory / f"{playbook}.log"
    with log.open("w", encoding="utf-8") as output:
        code = run_playbook(playbook, directory, variables, output=output, environment={"ANSIBLE_FORKS": str(forks)})
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    returned = [name for name, member in report["members"].items() if member["outcome"] not in ("upgraded", "untouched")]
    if code or returned:
        raise SystemExit(f"{playbook} ended with {code}, {', '.join(returned) or 'nobody'} returned: {report['headline']}; see {log}")
    if not report["requests_scheduled"]:
        raise SystemExit(f"{playbook} measured nothing: see {log}")
    return Figures(report["requests_scheduled"], report["requests_failed"], report["version_regressions"] or 0,
                   report["latency_ms"]["p100"],
                   sum(window["to"] - window["from"] for window in report["void_windows"]), len(returned)), time.monotonic() - began


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=tuple(METHODS), default="half_pool")
    parser.add_argument("--kind", choices=KINDS, default=HAPROXY, help="what the load balancers are")
    parser.add_argument("--members", type=int, default=6)
    parser.add_argument("--forks", type=int, default=6, help="how many members may be worked on at once, at most")
    parser.add_argument("--rate", type=int, default=250, help="requests a second")
    parser.add_argument("--requests", type=int, default=100_000, help="go on until so many were scheduled")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
