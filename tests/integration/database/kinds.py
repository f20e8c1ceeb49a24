# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of databases for tests that mean the same on each: how a module reaches them, and how a test makes, fills and asks them."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_engines as engines
from ansible_collections.alwayson.upgrade.plugins.modules import database_backup
from fleet.mariadb import ROLE, Mariadb

PASSWORD = "s3cret ' \\ %s"
# 50 products and 500 orders, in each kind's own words.
SHOP = (
    "CREATE TABLE products (id integer PRIMARY KEY, name varchar(100) NOT NULL UNIQUE, price numeric(10, 2) NOT NULL CHECK (price > 0))",
    "CREATE TABLE orders (id {serial}, product integer NOT NULL, quantity integer NOT NULL, note {blob}, FOREIGN KEY (product) REFERENCES products (id))",
    "CREATE INDEX orders_by_quantity ON orders (quantity)",
    "CREATE VIEW large_orders AS SELECT id, quantity FROM orders WHERE quantity > 400",
)
NUMBERS = "WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
PRODUCTS = "INSERT INTO products (id, name, price) {numbers} SELECT n, {name}, n FROM numbers"
ORDERS = "INSERT INTO orders (product, quantity, note) {numbers} SELECT n % 50 + 1, n, {note} FROM numbers"


class MariadbKind:
    """Databases of a running server."""

    name = "mariadb"
    suffix = ".sql.gz"

    def __init__(self, server: Mariadb) -> None:
        self.server = server
        self.made: list[str] = []
        self._numbers = itertools.count(1)

    @property
    def login(self) -> dict:
        """The modules' options."""
        return {"engine": self.name, "login_host": "127.0.0.1", "login_port": self.server.endpoint.port, "login_user": ROLE, "login_password": PASSWORD}

    @property
    def programs(self) -> dict:
        """The option that says where the programs are."""
        return {"bin_dir": str(self.server.programs.bin)}

    def make(self) -> str:
        """A database with a shop in it."""
        name = f"tenant_{next(self._numbers)}"
        self.server.run(f"CREATE DATABASE {name}")
        self.made.append(name)
        self.run(name, *(statement.format(serial="bigint PRIMARY KEY AUTO_INCREMENT", blob="blob") for statement in SHOP))
        self.run(name, PRODUCTS.format(numbers=NUMBERS.format(last=50), name="concat('product ', n)"))
        self.run(name, ORDERS.format(numbers=NUMBERS.format(last=500), note="unhex(md5(n))"))
        return name

    def run(self, database: str, *statements: str) -> None:
        self.server.run(*statements, database=database)

    def value(self, database: str, statement: str):
        return self.server.value(statement, database)

    def scratch(self) -> list[str]:
        """The scratch databases that are there."""
        with self.server.connect() as session, session.cursor() as cursor:
            cursor.execute("SHOW DATABASES LIKE 'alwayson\\_proof\\_%'")
            return [name for (name,) in cursor.fetchall()]

    def close(self) -> None:
        """Remove what was made."""
        self.server.run(*(f"DROP DATABASE IF EXISTS {name}" for name in self.made))


class SqliteKind:
    """Databases in files of one folder."""

    name = "sqlite"
    suffix = ".sqlite"
    programs = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    @property
    def login(self) -> dict:
        return {"engine": self.name}

    def make(self) -> str:
        # What quoting could get wrong.
        path = str(self.folder / f"tenant {next(self._numbers)}?%.db")
        self.run(path, "PRAGMA journal_mode = wal", *(statement.format(serial="integer PRIMARY KEY AUTOINCREMENT", blob="blob") for statement in SHOP))
        self.run(path, PRODUCTS.format(numbers=NUMBERS.format(last=50), name="'product ' || n"))
        self.run(path, ORDERS.format(numbers=NUMBERS.format(last=500), note="randomblob(16)"))
        return path

    def run(self, database: str, *statements: str) -> None:
        session = sqlite3.connect(database, isolation_level=None, timeout=10)
        for statement in statements:
            session.execute(statement)
        session.close()

    def value(self, database: str, statement: str):
        session = sqlite3.connect(database, isolation_level=None)
        try:
            return session.execute(statement).fetchone()[0]
        finally:
            session.close()

    def scratch(self) -> list[str]:
        return []

    def close(self) -> None:
        """The folder is the test's own."""


def back_up(kind: MariadbKind | SqliteKind, directory: Path, *databases: str, **options) -> tuple[str, dict]:
    """What the module says (empty when all is proven) and its result; in this process, which is faster than a module of its own."""
    defaults = {name: specification.get("default") for name, specification in {**engines.ARGUMENTS, **database_backup.ARGUMENTS}.items()}
    given = {**defaults, **kind.login, **kind.programs, "databases": list(databases), "directory": str(directory / "backups"), **options}
    module = SimpleNamespace(params=given, check_mode=False, warn=lambda sentence: None)
    try:
        result = database_backup.prove(module, engines.of(given))
    except database_backup.FAILURES as error:
        return str(error), {}
    return database_backup.failure(result), result
