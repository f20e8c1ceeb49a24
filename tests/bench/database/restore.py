# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a restore of a proven backup takes until the new instance takes writes, beside a plain copy of the same bytes.

    build/venv/bin/python tests/bench/database/restore.py --megabytes 1024 --times 3

Takes a backup of each kind of a server of that size, proves both, and has the classes of the module bring them back, all checks included; the median of each is
printed in seconds per GB
of the server's size, with the ratio to `cp` of the same bytes and a flush to the disk. Copies and restores take turns, so that they meet the same disk.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from scene import ORDERS, TENANTS, Scene, scene

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.restore import Wanted
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.restore_logical import LogicalRestore
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.restore_physical import PhysicalRestore
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.restore_settings import checked
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.restore_target import Place
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login, connect
from fleet.ports import Ports
from fleet.postgres import AS_NOBODY

GIGABYTE = 10**9
# What an order takes with its part of the indexes, by measurement.
BYTES_OF_AN_ORDER = 140


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with scene(rows=1000) as place:
        place.run(ORDERS.format(rows=options.megabytes * 1_000_000 // BYTES_OF_AN_ORDER), TENANTS[0])
        place.run("CHECKPOINT")
        print(f"{place.value('SELECT pg_database_size(current_database())', TENANTS[0]) / GIGABYTE:.2f} GB in the larger database")
        for method, restore in (("physical", physical), ("logical", logical)):
            report(method, place, restore, options.times)
    return 0


def report(method: str, place: Scene, restore: Callable, times: int) -> None:
    """Take a backup, prove it, and print how long copies and restores of it take."""
    run = place.backups(method)
    result = run.back_up_all(TENANTS, 1, 1)[TENANTS[0]]
    if not result["proven"]:
        raise SystemExit(f"the {method} backup is not proven: {result['why']}")
    path = Path(result["path"])
    # A dump is smaller than what it restores; its row is per GB of the database.
    size = result["size_bytes"] if method == "physical" else place.value("SELECT pg_database_size(current_database())", TENANTS[0])
    source = path if method == "physical" else database_files(place)
    copies, restores = [], []
    for _time in range(times):
        copies.append(seconds(lambda: copy(source, place.folder / "copy")))
        shutil.rmtree(place.folder / "copy")
        restores.append(seconds(lambda: restore(place, run, path)))
    copied, restored = statistics.median(copies), statistics.median(restores)
    print(f"{method}: {size / GIGABYTE:.2f} GB; taken in {result['seconds_dump']:.1f} s, proven in {result['seconds_restore']:.1f} s; "
          f"restored until it takes writes {restored:.2f} s, {restored / size * GIGABYTE:.2f} s per GB; "
          f"cp {copied:.2f} s, {copied / size * GIGABYTE:.2f} s per GB; "
          f"ratio {restored / copied:.2f}; median of {times}")


def database_files(place: Scene) -> Path:
    """The folder of the larger database's files in the server."""
    oid = place.value(f"SELECT oid FROM pg_database WHERE datname = '{TENANTS[0]}'")
    return place.folder / "server" / "data" / "base" / str(oid)


def copy(source: Path, target: Path) -> None:
    """Copy with all bytes on the disk at the end. Without reflinks: other hardware has none of these blocks."""
    subprocess.run(["cp", "--archive", "--reflink=never", source, target], check=True)
    flush(target)


def flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.sync()
        os.fsync(handle)
    finally:
        os.close(handle)


def physical(place: Scene, run, path: Path) -> float:
    """A new server from the copy, as the module brings it back, written to; when it was, before it is removed."""
    folder = Path(tempfile.mkdtemp(dir=place.folder))
    folder.chmod(0o711)
    port = Ports().endpoint("127.0.0.1").port
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "dynamic_shared_memory_type": "mmap"}
    argv = [*(AS_NOBODY if os.geteuid() == 0 else []), str(place.binaries / "postgres"), "-D", str(folder / "data")]
    task = PhysicalRestore(
        store=run.store, wanted=Wanted(), place=Place(str(folder / "data"), run.method.account), login=Login(host="127.0.0.1", port=port),
        settings=checked(settings), start_command=["sh", "-c", f"setsid {shlex.join(argv)} > {folder}/log 2>&1 &"], bin_dir=str(place.binaries),
    )
    try:
        result = task.bring_back()
        written(connect(task.login, TENANTS[0]))
        ended = time.monotonic()
        print(f"  {', '.join(f'{step} {taken:.2f} s' for step, taken in result['seconds'].items())}")
        return ended
    finally:
        task.place.stop()
        shutil.rmtree(folder)


def logical(place: Scene, run, path: Path) -> float:
    """The larger database from its dump, as the module brings it back, written to; when it was, before it is removed and the original has its name again."""
    place.run(f"ALTER DATABASE {TENANTS[0]} RENAME TO original")
    try:
        row = LogicalRestore(run.store, Wanted(), place.login, str(place.binaries)).bring_back([TENANTS[0]])["databases"][TENANTS[0]]
        if not row["restored"]:
            raise SystemExit(row["why"])
        written(connect(place.login, TENANTS[0]))
        return time.monotonic()
    finally:
        place.run(f"DROP DATABASE IF EXISTS {TENANTS[0]} WITH (FORCE)")
        place.run(f"ALTER DATABASE original RENAME TO {TENANTS[0]}")


def written(session) -> None:
    with session:
        session.run("INSERT INTO orders (product, quantity) VALUES (1, 1)")


def seconds(act: Callable[[], float | None]) -> float:
    """How long `act` takes, or until the moment that it returns: clearing up is no part of it."""
    began = time.monotonic()
    ended = act()
    return (time.monotonic() if ended is None else ended) - began


if __name__ == "__main__":
    sys.exit(main())
