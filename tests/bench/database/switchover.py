# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planned switchovers under load: errors, lost writes, and how long a client waits, beside the same load in peace and a switchover without a load.

    build/venv/bin/python tests/bench/database/switchover.py                  # 20 trials, 500 statements a second
    build/venv/bin/python tests/bench/database/switchover.py --trials 5 --rate 300
    build/venv/bin/python tests/bench/database/switchover.py --crash          # the primary is killed, its synchronous standby takes its place
    build/venv/bin/python tests/bench/database/switchover.py --double-fault --trials 10   # primary and standby are killed, a server kept warm takes over

POSTGRESQL_BIN_DIR=/usr/lib/postgresql/15/bin and POSTGRESQL_DRIVER=psycopg2 do it with another server and the older driver.

Each trial has a new primary with a new standby and a PgBouncer. A statement counts from the moment it was scheduled for; every other one writes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from bench.database.crash import crashes, double_faults
from fleet.postgres import use_driver
from integration.switchover.pair import Load, Loading, Pair, lost

PEACE_SECONDS = 4
MEDIAN_MS, LONGEST_MS = 250, 500


def main() -> int:
    options = _options()
    use_driver()
    if options.crash or options.double_fault:
        return (crashes if options.crash else double_faults)(options.trials, options.rate)
    errors = gone = statements = 0
    peace, waits, windows, floors = [], [], [], []
    for trial in range(1, options.trials + 1):
        with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as folder, Pair(Path(folder) / "run") as pair:
            Path(folder).chmod(0o755)
            peace.append(in_peace(pair, options.rate))
            load = Load(pair.pooler.endpoint, rate=options.rate)
            with Loading(load):
                result = pair.switchover().apply()
            missing = lost(pair, load, "db2")
        with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as folder, Pair(Path(folder) / "run") as pair:
            floors.append(pair.switchover().apply().steps["resumed"])
        waits.append(max(load.waits_ms))
        windows.append(result.steps["resumed"])
        errors += len(load.errors) + len(load.read_errors)
        gone += len(missing)
        statements += len(load.waits_ms)
        print(f"trial {trial:2}  longest wait {waits[-1]:4.0f} ms  window {windows[-1]:4.0f} ms  {result.steps}  in peace {peace[-1]:3.0f} ms  "
              f"{len(load.errors) + len(load.read_errors)} errors  {len(missing)} lost of {len(load.acknowledged)}", flush=True)
    print(f"{options.trials} switchovers, {options.rate:g} statements a second, {statements} statements: {errors} errors, {gone} acknowledged writes lost")
    for name, values in (("longest wait", waits), ("window", windows), ("window without load", floors), ("longest wait in peace", peace)):
        print(f"{name:22} min {min(values):4.0f}  median {statistics.median(values):4.0f}  max {max(values):4.0f} ms")
    return 1 if errors or gone or statistics.median(waits) >= MEDIAN_MS or max(waits) >= LONGEST_MS else 0


def in_peace(pair: Pair, rate: float) -> float:
    """The longest wait of the same load while nothing is done."""
    load = Load(pair.pooler.endpoint, rate=rate)
    with Loading(load):
        time.sleep(PEACE_SECONDS)
    with pair.session("db1") as session:
        session.execute("TRUNCATE acknowledged")
    return max(load.waits_ms)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rate", type=float, default=500.0, help="statements a second")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--crash", action="store_true", help="kill the primary instead, and start it again by itself")
    kind.add_argument("--double-fault", action="store_true", help="kill the primary and its standby, and have a third server take over")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
