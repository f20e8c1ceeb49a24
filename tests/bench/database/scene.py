# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene of the database benches: a PostgreSQL server of their own with two tenants in it, and runs of both methods."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.disk_space import Room
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.run import BackupRun
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import Store
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.programs import Runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import catalog, programs
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.logical import Logical
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.physical import PROGRAMS, Physical
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.scratch_server import Account
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login, PostgresqlError, connect
from fleet.ports import Ports
from fleet.postgres import AS_NOBODY, NOBODY, open_binaries

TENANTS = ("tenant_a", "tenant_b")
READY_SECONDS = 30
SHOP = """
CREATE TABLE products (id integer PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE orders (id bigserial PRIMARY KEY, product integer NOT NULL REFERENCES products, quantity integer NOT NULL, note text);
CREATE INDEX orders_by_quantity ON orders (quantity);
INSERT INTO products SELECT n, 'product ' || n FROM generate_series(1, 50) AS n;
"""
ORDERS = "INSERT INTO orders (product, quantity, note) SELECT n % 50 + 1, n, md5(n::text) FROM generate_series(1, {rows}) AS n"

CHANGE = "UPDATE orders SET quantity = quantity + 1 WHERE id = 1 + (random() * 100)::int; INSERT INTO orders (product, quantity) VALUES (1, 1)"


@dataclass(frozen=True)
class Scene:
    """A running server; `folder` is for what the benches make."""

    login: Login
    binaries: Path
    folder: Path
    tenants = TENANTS

    def empty_orders(self, tenant: str) -> None:
        self.run("TRUNCATE orders", tenant)

    def add_orders(self, tenant: str, rows: int) -> None:
        self.run(ORDERS.format(rows=rows), tenant)

    def count_orders(self, tenant: str) -> int:
        return self.value("SELECT count(*) FROM orders", tenant)

    def change(self, tenant: str) -> None:
        """What the load does."""
        self.run(CHANGE, tenant)

    def value(self, statement: str, database: str = "postgres"):
        with connect(self.login, database) as session:
            return session.value(statement)

    def run(self, script: str, database: str = "postgres") -> None:
        with connect(self.login, database) as session:
            session.run(script)

    def backups(self, method: str, **clock) -> BackupRun:
        """A run into the folder of that method, with `clock` if given."""
        with connect(self.login) as session:
            identity = catalog.identity(session)
        major = identity["version_number"] // 10000
        store = Store(str(self.folder / method), {"logical": Logical, "physical": Physical}[method].suffix)
        store.prepare()
        room, runner = Room(store.directory), Runner()
        if method == "logical":
            way = Logical(self.login, identity, programs.find(major, str(self.binaries)), runner, room)
        else:
            found = programs.find_all(major, PROGRAMS, str(self.binaries))
            way = Physical(self.login, found, runner, room, str(self.folder / "scratch"), Account.for_servers("nobody"))
        return BackupRun(way, identity, store, **clock)


@contextlib.contextmanager
def scene(rows: int, **more: str) -> Iterator[Scene]:
    """A scene whose tenants have so many orders each; all is gone afterwards.

    :param more: settings of the server.
    """
    folder = Path(tempfile.mkdtemp(prefix="alwayson-bench-"))
    folder.chmod(0o711)
    binaries, as_user = open_binaries(), AS_NOBODY if os.geteuid() == 0 else []
    home = folder / "server"
    home.mkdir(mode=0o700)
    if as_user:
        os.chown(home, NOBODY, NOBODY)
    process = None
    try:
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--data-checksums"]
        subprocess.run([*as_user, str(binaries / "initdb"), "-D", str(home / "data"), *options], check=True, capture_output=True, cwd=home)
        login = Login(host=str(home), port=Ports().endpoint("127.0.0.1").port)
        settings = {"port": login.port, "listen_addresses": "", "unix_socket_directories": home, "fsync": "off", "dynamic_shared_memory_type": "mmap",
                    **more}
        command = [*as_user, str(binaries / "postgres"), "-D", str(home / "data"), *(f"--{name}={value}" for name, value in settings.items())]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, start_new_session=True)
        if not wait_for(lambda: _answers(login), READY_SECONDS, 0.05):
            raise SystemExit(f"PostgreSQL does not come up:\n{(folder / 'log').read_text(errors='replace')}")
        place = Scene(login, binaries, folder)
        for tenant in TENANTS:
            place.run(f"CREATE DATABASE {tenant}")
            place.run(SHOP, tenant)
            place.run(ORDERS.format(rows=rows), tenant)
        yield place
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        shutil.rmtree(folder)


def _answers(login: Login) -> bool:
    try:
        connect(login).close()
    except PostgresqlError:
        return False
    return True


@contextlib.contextmanager
def load(place: Scene) -> Iterator[list[int]]:
    """Both tenants are written to meanwhile; yields how often each was, which grows."""
    ended = threading.Event()
    changes = [0] * len(place.tenants)

    def write(number: int) -> None:
        while not ended.wait(0.004):
            place.change(place.tenants[number])
            changes[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(place.tenants))]
    for thread in threads:
        thread.start()
    try:
        yield changes
    finally:
        ended.set()
        for thread in threads:
            thread.join()
