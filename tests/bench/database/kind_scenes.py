# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same scene on MariaDB and on SQLite: two tenants with orders, and runs that back them up."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scene import REPOSITORY

from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_engines as engines
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.run import BackupRun
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import Store
from ansible_collections.alwayson.upgrade.plugins.modules.database_backup import ARGUMENTS
from fleet import mariadb
from fleet.ports import Ports
from integration.database.kinds import NUMBERS, PASSWORD, MariadbKind, SqliteKind

SHOP = (
    "CREATE TABLE products (id integer PRIMARY KEY, name varchar(100) NOT NULL UNIQUE)",
    "CREATE TABLE orders (id {serial}, product integer NOT NULL, quantity integer NOT NULL, note varchar(100))",
    "CREATE INDEX orders_by_quantity ON orders (quantity)",
)
ORDERS = "INSERT INTO orders (product, quantity, note) {numbers} SELECT n % 50 + 1, n, 'note ' || n FROM numbers"
CHANGES = ("UPDATE orders SET quantity = quantity + 1 WHERE id = 50", "INSERT INTO orders (product, quantity) VALUES (1, 1)")
SERIALS = {"mariadb": "bigint PRIMARY KEY AUTO_INCREMENT", "sqlite": "integer PRIMARY KEY AUTOINCREMENT"}


class KindScene:
    """See `scene.Scene`."""

    def __init__(self, kind: MariadbKind | SqliteKind, tenants: tuple[str, ...], folder: Path) -> None:
        self.kind, self.tenants, self.folder = kind, tenants, folder

    def backups(self, method: str, **clock) -> BackupRun:
        """A run into the folder of that method, with `clock` if given."""
        defaults = {name: specification.get("default") for name, specification in {**engines.ARGUMENTS, **ARGUMENTS}.items()}
        options = {**defaults, **self.kind.login, **self.kind.programs, "directory": str(self.folder / method)}
        with engines.of(options).opened() as server:
            way, identity = server.method(options), server.identity()
        store = Store(options["directory"], way.suffix)
        store.prepare()
        return BackupRun(way, identity, store, **clock)

    def empty_orders(self, tenant: str) -> None:
        self.kind.run(tenant, "DELETE FROM orders")

    def add_orders(self, tenant: str, rows: int) -> None:
        self.kind.run(tenant, *(["SET sql_mode = 'PIPES_AS_CONCAT'"] if self.kind.name == "mariadb" else []), ORDERS.format(numbers=NUMBERS.format(last=rows)))

    def count_orders(self, tenant: str) -> int:
        return self.kind.value(tenant, "SELECT count(*) FROM orders")

    def change(self, tenant: str) -> None:
        self.kind.run(tenant, *CHANGES)

    def fill(self, rows: int) -> None:
        """Make the tenants' tables, with so many orders each."""
        for tenant in self.tenants:
            self.kind.run(tenant, *(statement.format(serial=SERIALS[self.kind.name]) for statement in SHOP))
            self.add_orders(tenant, rows)


@contextlib.contextmanager
def mariadb_scene(rows: int) -> Iterator[KindScene]:
    """A server whose tenants have so many orders each; all is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="alwayson-bench-") as folder:
        programs = mariadb.find_programs(REPOSITORY / "build" / "cache" / "mariadb")
        with mariadb.running(programs, Path(folder) / "server", Ports().endpoint("127.0.0.1"), PASSWORD) as server:
            place = KindScene(MariadbKind(server), ("tenant_a", "tenant_b"), Path(folder))
            server.run(*(f"CREATE DATABASE {tenant}" for tenant in place.tenants))
            place.fill(rows)
            yield place


@contextlib.contextmanager
def sqlite_scene(rows: int) -> Iterator[KindScene]:
    """Files of tenants with so many orders each; all is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="alwayson-bench-") as folder:
        place = KindScene(SqliteKind(Path(folder)), (f"{folder}/tenant_a.db", f"{folder}/tenant_b.db"), Path(folder))
        for tenant in place.tenants:
            sqlite3.connect(tenant).execute("PRAGMA journal_mode = wal").connection.close()
        place.fill(rows)
        yield place
