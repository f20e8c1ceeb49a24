# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of database as the same tests see it: tenants with 500 orders in them, and the steps that mean the same everywhere."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.interface import Engine
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import session as mariadb
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration import ledger as mariadb_ledger
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration.engine import MariadbEngine
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration import ledger as migration_ledger
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.migration import ledger as sqlite_ledger
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.migration.engine import SqliteEngine
from fleet.mariadb import ROLE, Mariadb

ORDERS = 500
NUMBERS = f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ORDERS}) SELECT n, n FROM numbers"
FILL = "-- alwayson: batch\nUPDATE orders SET channel = 'unknown' WHERE id IN (SELECT id FROM orders WHERE channel IS NULL ORDER BY id LIMIT 100)"
DOUBLE = ("-- alwayson: batch after 0\nUPDATE orders SET quantity = quantity * 2\n"
          " WHERE id IN (SELECT id FROM orders WHERE id > :after ORDER BY id LIMIT 40) RETURNING id")


@dataclass
class Place:
    """A kind of database with tenants. `fill` is a batch step by a condition, of 5 batches, `double` one with a cursor, of 13."""

    engine: Engine
    ledger: ModuleType
    options: dict[str, Any]
    fill: str = FILL
    double: str = DOUBLE
    analyze: str = "ANALYZE large"
    numbers: Iterator[int] = field(default_factory=itertools.count)
    made: list[str] = field(default_factory=list)

    def make(self, count: int) -> list[str]:
        """So many tenants."""
        names = [self.name(next(self.numbers)) for _tenant in range(count)]
        for name in names:
            self.create(name)
            self.made.append(name)
            self.run("CREATE TABLE orders (id integer PRIMARY KEY, quantity integer NOT NULL, channel varchar(20))", name)
            self.run(f"INSERT INTO orders (id, quantity) {NUMBERS}", name)
            self.run("CREATE TABLE seen (n integer)", name)
        return names

    def close(self) -> None:
        """Drop what was made."""
        for name in self.made:
            self.drop(name)

    def name(self, number: int) -> str:
        raise NotImplementedError

    def create(self, name: str) -> None:
        raise NotImplementedError

    def drop(self, name: str) -> None:
        raise NotImplementedError

    def rows(self, statement: str, name: str) -> list[tuple]:
        raise NotImplementedError

    def run(self, statement: str, name: str) -> None:
        raise NotImplementedError

    def value(self, statement: str, name: str) -> Any:
        """The first column of the first row."""
        return self.rows(statement, name)[0][0]

    def has(self, column: str, name: str) -> bool:
        """Whether the table of orders has a column."""
        raise NotImplementedError


class PostgresqlPlace(Place):
    """In the server of these tests."""

    def __init__(self, server) -> None:
        self.server = server
        options = {"engine": "postgresql", "login_host": "127.0.0.1", "login_port": server.port, "login_user": server.login.user,
                   "login_password": server.login.password}
        super().__init__(server.engine, migration_ledger, options)

    def name(self, number: int) -> str:
        return f"place_{number}"

    def create(self, name: str) -> None:
        with self.server.connect() as admin:
            admin.execute(f'CREATE DATABASE "{name}" OWNER {self.server.login.user}')

    def drop(self, name: str) -> None:
        with self.server.connect() as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def rows(self, statement: str, name: str) -> list[tuple]:
        with self.server.connect(name) as session:
            return session.execute(statement).fetchall()

    def run(self, statement: str, name: str) -> None:
        self.server.run(statement, name)

    def has(self, column: str, name: str) -> bool:
        return self.value(f"SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = '{column}'", name) == 1


class MariadbPlace(Place):
    """In a server of its own."""

    def __init__(self, server: Mariadb, password: str) -> None:
        self.server = server
        login = mariadb.Login("127.0.0.1", server.endpoint.port, user=ROLE, password=password)
        options = {"engine": "mariadb", "login_host": login.host, "login_port": login.port, "login_user": login.user, "login_password": password}
        fill = "-- alwayson: batch\nUPDATE orders SET channel = 'unknown' WHERE channel IS NULL ORDER BY id LIMIT 100"
        double = ("-- alwayson: batch after 0\nSELECT id FROM orders WHERE id > :after ORDER BY id LIMIT 40 FOR UPDATE;\n"
                  "UPDATE orders SET quantity = quantity * 2 WHERE id > :after AND id <= :last;")
        super().__init__(MariadbEngine(login), mariadb_ledger, options, fill, double, "ANALYZE TABLE large")

    def name(self, number: int) -> str:
        # What quoting could get wrong.
        return f"Place {number} `%s"

    def create(self, name: str) -> None:
        self.server.run(f"CREATE DATABASE {mariadb.identifier(name)}")

    def drop(self, name: str) -> None:
        self.server.run(f"DROP DATABASE {mariadb.identifier(name)}")

    def rows(self, statement: str, name: str) -> list[tuple]:
        with contextlib.closing(self.server.connect(name)) as session, session.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def run(self, statement: str, name: str) -> None:
        self.rows(statement, name)

    def has(self, column: str, name: str) -> bool:
        return len(self.rows(f"SHOW COLUMNS FROM orders LIKE '{column}'", name)) == 1


class SqlitePlace(Place):
    """In files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(SqliteEngine(), sqlite_ledger, {"engine": "sqlite"})

    def name(self, number: int) -> str:
        # What a URI could get wrong.
        return str(self.folder / f"place {number}?mode=ro#%20.db")

    def create(self, name: str) -> None:
        # Writers and readers at once, as services have it.
        self.run("PRAGMA journal_mode = WAL", name)

    def drop(self, name: str) -> None:
        """The folder goes with the test."""

    def rows(self, statement: str, name: str) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(name, isolation_level=None)) as session:
            return session.execute(statement).fetchall()

    def run(self, statement: str, name: str) -> None:
        self.rows(statement, name)

    def has(self, column: str, name: str) -> bool:
        return (column,) in self.rows("SELECT name FROM pragma_table_info('orders')", name)
