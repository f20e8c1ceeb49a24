# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of many tenants under load, by two controllers that are killed again and again; and how long others wait beside a migration that is blocked.

    build/venv/bin/python tests/bench/database/migrations.py --tenants 100 --kills 100 --seed 1
    build/venv/bin/python tests/bench/database/migrations.py --stall --seconds 60 --rate 300

Both with `--engine mariadb` as well, the first one with `--engine sqlite`, too; writers and readers of SQLite never wait for more than a transaction.

The first one applies all four phases of one release after the other: steps in one transaction, batches with and without a cursor, indexes built and dropped.
Logs in the tenants tell on whatever ran twice. It ends with 1 when a step was applied twice or not at all, when a ledger differs
from its schema, or when a statement of the load failed.

The second one has statements scheduled at a fixed rate; a wait counts from the time for which a statement was scheduled. It ends with 1 when one waited for
100 ms or longer.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import session as mariadb
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login
from bench.database import stall, stall_mariadb
from bench.database.kills import KILL_AFTER, Load, Torture
from bench.database.tenancy import MariadbTenancy, PostgresqlTenancy, SqliteTenancy, Tenancy
from fleet import processes
from fleet.mariadb import ROLE, find_programs, running
from fleet.ports import Ports
from fleet.postgres import OWNER, STOP_SIGNAL, Postgres, find_binaries


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--kills", type=int, default=100, help="go on until so many controllers were killed")
    parser.add_argument("--parallel", type=int, default=4, help="databases that a controller migrates at once")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--kill-after", type=float, default=KILL_AFTER, help="seconds until a controller is killed at the latest")
    parser.add_argument("--stall", action="store_true", help="measure how long others wait, and kill nobody")
    parser.add_argument("--seconds", type=float, default=60, help="how long a transaction blocks the migration")
    parser.add_argument("--rate", type=float, default=300, help="statements a second beside it")
    parser.add_argument("--engine", choices=list(PLACES), default="postgresql")
    options = parser.parse_args()
    if options.stall and options.engine not in STALLS:
        parser.error(f"--stall is for {' and '.join(STALLS)}")
    with tempfile.TemporaryDirectory(prefix="migrations-", dir=_build()) as folder, PLACES[options.engine](Path(folder)) as tenancy:
        return measure(tenancy, options) if options.stall else torture(tenancy, Path(folder), options)


@contextlib.contextmanager
def a_postgresql(folder: Path) -> Iterator[Tenancy]:
    """A fresh server, gone afterwards."""
    endpoint = Ports().endpoint("127.0.0.1")
    postgres = Postgres(find_binaries(), folder / "postgres", endpoint, folder / "log")
    postgres.create()
    process = postgres.start()
    try:
        postgres.wait_ready(process)
        yield PostgresqlTenancy(Login(host=endpoint.address, port=endpoint.port, user=OWNER))
    finally:
        processes.end([process], STOP_SIGNAL)


@contextlib.contextmanager
def a_mariadb(folder: Path) -> Iterator[Tenancy]:
    """A fresh server, gone afterwards."""
    endpoint = Ports().endpoint("127.0.0.1")
    with running(find_programs(REPOSITORY / "build" / "cache" / "mariadb"), folder / "mariadb", endpoint, PASSWORD):
        yield MariadbTenancy(mariadb.Login(endpoint.address, endpoint.port, user=ROLE, password=PASSWORD))


@contextlib.contextmanager
def a_sqlite(folder: Path) -> Iterator[Tenancy]:
    """Files in the folder."""
    yield SqliteTenancy(folder)


PASSWORD = "bench"
PLACES = {"postgresql": a_postgresql, "mariadb": a_mariadb, "sqlite": a_sqlite}
STALLS = {"postgresql": lambda tenancy, *rest: stall.measure_stall(tenancy.login, *rest), "mariadb": stall_mariadb.measure_stall}


def torture(tenancy: Tenancy, folder: Path, options: argparse.Namespace) -> int:
    names = [f"tenant_{number:03}" for number in range(1, options.tenants + 1)]
    if options.engine == "sqlite":
        names = [str(folder / f"{name}.db") for name in names]
    tenancy.create(names)
    run = Torture(tenancy, names, options.kills, options.parallel, random.Random(options.seed), options.kill_after)
    began = time.monotonic()
    with Load(tenancy, names) as load:
        run.run()
    seconds = time.monotonic() - began
    found = [tenancy.problems(name, run.releases) for name in names]
    wrong = [text for texts, _steps in found for text in texts]
    steps = sum(len(steps) for steps in run.releases[0].phases.values())
    print(f"{options.engine}: {options.tenants} tenants, {len(run.releases)} releases of {steps} steps, 2 controllers: "
          f"{sum(count for _texts, count in found):,} steps looked at, {run.killed} controllers killed, "
          f"{sum(tenancy.resumed(name) for name in names)} steps gone on with, {run.ended} controllers came to their end, "
          f"{seconds:.0f} s; {load.statements:,} statements beside them, "
          f"{len(load.errors)} failed; {len(wrong)} problems")
    for text in [*wrong[:20], *load.errors[:5]]:
        print(f"  {text}")
    return 1 if wrong or load.errors or not load.statements or run.killed < options.kills else 0


def measure(tenancy: Tenancy, options: argparse.Namespace) -> int:
    tenancy.create(["tenant"])
    result = STALLS[options.engine](tenancy, "tenant", options.seconds, options.rate)
    print(f"{options.engine}: a transaction of {options.seconds:g} s, {options.rate:g} statements a second: {result}")
    return 1 if result.longest_ms >= stall.SLOW_MS or result.errors else 0


def _build() -> Path:
    folder = REPOSITORY / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
