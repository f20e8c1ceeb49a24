# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a blue-green cutover takes, and what its users notice: back and forth on the embedded fleet, under load.

    build/venv/bin/python tests/bench/cutover.py --members 20 --times 50

The time is from the first question to the last answer of both load balancers, everything proven, and does not wait for requests in flight.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

import yaml
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.route import sides_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.route import Request, Rerouting
from fleet.demo import interruptible, probe, stop_probe
from fleet.embedded import EmbeddedFleet
from fleet.layout import BLUE_GREEN, ROUTE_KEY

PAUSE_SECONDS = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--times", type=int, default=50)
    options = parser.parse_args()
    directory = REPOSITORY / "build" / "bench" / "cutover"
    mix = yaml.safe_load((REPOSITORY / "tests/fleet/service.yml").read_text(encoding="utf-8"))["demo_probe"]["mix"]
    with interruptible(), EmbeddedFleet(directory, members=options.members, pools=BLUE_GREEN) as fleet:
        probe(directory / "probe", "started", targets=fleet.front_urls, mix=mix, rate=250, max_seconds=600).check_returncode()
        try:
            milliseconds = [cut_over(fleet, BLUE_GREEN[number % 2]) for number in range(1, options.times + 1)]
        finally:
            stop_probe(directory / "probe")
    seen = json.loads((directory / "probe" / "result.json").read_text(encoding="utf-8"))
    print(f"{options.times} cutovers of {options.members} members behind 2 load balancers: median {statistics.median(milliseconds):.0f} ms, "
          f"longest {max(milliseconds):.0f} ms; {seen['requests_failed']} of {seen['requests_scheduled']:,} requests failed")
    return 1 if seen["requests_failed"] else 0


def cut_over(fleet: EmbeddedFleet, pool: str) -> float:
    """Send all traffic to a pool; returns the milliseconds it took."""
    time.sleep(PAUSE_SECONDS)
    began = time.monotonic()
    balancers = [Haproxy(balancer.name, balancer.traffic_endpoint) for balancer in fleet.layout.load_balancers]
    result = Rerouting(sides_of(balancers, "active.map", is_kept=True), Request(ROUTE_KEY, pool)).apply()
    if not result.changed or set(result.after.values()) != {pool}:
        raise SystemExit(f"the traffic did not move to {pool}: {result}")
    return (time.monotonic() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
