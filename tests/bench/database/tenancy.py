# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants of each kind of database: how they are made, the service's statements, the migrations of a release, and what must be true in the end.

In MariaDB and SQLite a statement that changes rows changes one table, so there the rows themselves count how often a batch has changed them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import session as mariadb
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import session as postgresql

from . import tenants
from .tenants import BATCH, ORDERS, Release

TAKE_ORDER, READ_ORDERS = "INSERT INTO orders (product, quantity) VALUES (7, 1)", "SELECT count(*) FROM orders WHERE product = 7"
NUMBERS = f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ORDERS}) SELECT n % 50, n FROM numbers"
# How long the service waits for another writer.
BUSY_SECONDS = 5


class Tenancy:
    """Tenants of one kind of database. `Release(number)` has the migrations of a release."""

    Release: type

    def options(self, release: Any, names: list[str], parallel: int) -> list[dict]:
        """What the module gets for each phase."""
        common = {**self.login_options(), "databases": names, "release": release.name, "parallel": parallel, "batch_pause_ms": 5, "retry_delay_ms": 50,
                  "attempts": 600}
        phases = list(release.phases)
        return [{**common, "phase": phase, "steps": steps, **{f"{before}_steps": release.phases[before] for before in phases[:phases.index(phase)]}}
                for phase, steps in release.phases.items()]

    def login_options(self) -> dict:
        """The module's options that name the databases' server."""
        raise NotImplementedError

    def create(self, names: list[str]) -> None:
        """Make tenants."""
        raise NotImplementedError

    def work(self, name: str) -> int:
        """What the service does in a tenant; how many statements that were."""
        for statement in (TAKE_ORDER, READ_ORDERS):
            self.rows(name, statement)
        return 2

    def rows(self, name: str, statement: str) -> list[tuple]:
        """The rows of one statement in a session of its own."""
        raise NotImplementedError

    def resumed(self, name: str) -> int:
        """How many steps of a tenant were begun by more than one run."""
        raise NotImplementedError

    def problems(self, name: str, releases: list) -> tuple[list[str], int]:
        """What is wrong with a tenant to which the releases were applied, and how many steps of it were looked at."""
        raise NotImplementedError


class PostgresqlTenancy(Tenancy):
    """Databases of one PostgreSQL server."""

    Release = Release

    def __init__(self, login: postgresql.Login) -> None:
        self.login = login

    def login_options(self) -> dict:
        return {"login_host": self.login.host, "login_port": self.login.port, "login_user": self.login.user, "login_password": self.login.password}

    def create(self, names: list[str]) -> None:
        tenants.create(self.login, names)

    def rows(self, name: str, statement: str) -> list[tuple]:
        with tenants.session(self.login, name) as tenant:
            cursor = tenant.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def resumed(self, name: str) -> int:
        return tenants.resumed(self.login, name)

    def problems(self, name: str, releases: list[Release]) -> tuple[list[str], int]:
        return tenants.problems(self.login, name, releases)


@dataclass(frozen=True)
class MariadbRelease:
    """The migrations of release `number`: every phase, every kind of step."""

    number: int

    @property
    def name(self) -> str:
        return f"{self.number}.0.0"

    @property
    def phases(self) -> dict[str, list[dict[str, str]]]:
        """Phase to `[{name, sql}]`."""
        n = self.number
        columns = f"ALTER TABLE orders ADD COLUMN sum_{n} integer, ADD COLUMN channel_{n} varchar(20), ADD COLUMN times_{n} integer NOT NULL DEFAULT 0"
        cursor = ("-- alwayson: batch after 0\n"
                  f"SELECT id FROM orders WHERE id > :after ORDER BY id LIMIT {BATCH} FOR UPDATE;\n"
                  f"UPDATE orders SET sum_{n} = coalesce(sum_{n}, 0) + quantity WHERE id > :after AND id <= :last")
        condition = f"-- alwayson: batch\nUPDATE orders SET channel_{n} = 'unknown', times_{n} = times_{n} + 1 WHERE channel_{n} IS NULL LIMIT {BATCH}"
        return {
            "expand": _steps(columns=columns, default=f"ALTER TABLE orders ALTER COLUMN channel_{n} SET DEFAULT 'shop'",
                             effect=f"INSERT INTO effect VALUES ({n}, 'effect'); UPDATE effect SET step = 'effect' WHERE `release` = {n}",
                             view=f"CREATE VIEW sums_{n} AS SELECT id, sum_{n} FROM orders", old=f"CREATE INDEX old_{n} ON orders (sum_{n})"),
            "backfill": _steps(sum=cursor, channel=condition, index=f"CREATE INDEX by_channel_{n} ON orders (channel_{n}, taken)"),
            "contract": _steps(view=f"DROP VIEW sums_{n}", late=f"INSERT INTO effect VALUES ({n}, 'late')"),
            "optimise": _steps(unique=f"ALTER TABLE orders ADD UNIQUE INDEX once_{n} (id, sum_{n})", old=f"DROP INDEX old_{n} ON orders"),
        }


@dataclass(frozen=True)
class SqliteRelease(MariadbRelease):
    """The same for SQLite: a change of the schema is in one transaction with what it is about."""

    @property
    def phases(self) -> dict[str, list[dict[str, str]]]:
        n = self.number
        columns = (f"ALTER TABLE orders ADD COLUMN sum_{n} integer; ALTER TABLE orders ADD COLUMN channel_{n} text;\n"
                   f"ALTER TABLE orders ADD COLUMN times_{n} integer NOT NULL DEFAULT 0; CREATE INDEX old_{n} ON orders (sum_{n});\n"
                   f"CREATE TRIGGER shop_{n} AFTER INSERT ON orders BEGIN UPDATE orders SET channel_{n} = 'shop' WHERE id = NEW.id; END;\n"
                   f"INSERT INTO effect VALUES ({n}, 'effect')")
        cursor = ("-- alwayson: batch after 0\n"
                  f"UPDATE orders SET sum_{n} = coalesce(sum_{n}, 0) + quantity\n"
                  f" WHERE id IN (SELECT id FROM orders WHERE id > :after ORDER BY id LIMIT {BATCH}) RETURNING id")
        condition = (f"-- alwayson: batch\nUPDATE orders SET channel_{n} = 'unknown', times_{n} = times_{n} + 1\n"
                     f" WHERE id IN (SELECT id FROM orders WHERE channel_{n} IS NULL LIMIT {BATCH})")
        return {
            "expand": _steps(columns=columns, view=f"CREATE VIEW sums_{n} AS SELECT id, sum_{n} FROM orders"),
            "backfill": _steps(sum=cursor, channel=condition, index=f"CREATE INDEX by_channel_{n} ON orders (channel_{n}, taken)"),
            "contract": _steps(view=f"DROP VIEW sums_{n}; INSERT INTO effect VALUES ({n}, 'late')"),
            "optimise": _steps(unique=f"CREATE UNIQUE INDEX once_{n} ON orders (id, sum_{n})", old=f"DROP INDEX old_{n}"),
        }


class PlainTenancy(Tenancy):
    """What is the same for MariaDB and SQLite."""

    def _value(self, name: str, statement: str) -> Any:
        return self.rows(name, statement)[0][0]

    def objects(self, name: str) -> set[str]:
        """The names of the indexes and the views of a tenant."""
        raise NotImplementedError

    def ledger(self, name: str) -> dict[tuple, tuple]:
        """(release, phase, step) to (status, checksum, attempts, kind, progress)."""
        return {row[:3]: row[3:] for row in self.rows(name, f"SELECT {self.quoted_release}, phase, step, status, checksum, attempts, kind, progress FROM "
                                                            "alwayson_migration")}

    quoted_release = '"release"'

    def resumed(self, name: str) -> int:
        """In MariaDB a change of the schema that did not get its table at once counts as well."""
        return sum(attempts > 1 and kind in ("batch", "statement") for _status, _checksum, attempts, kind, _progress in self.ledger(name).values())

    def problems(self, name: str, releases: list) -> tuple[list[str], int]:
        kept, wrong = self.ledger(name), []
        expected = {(release.name, phase, step["name"]): step for release in releases for phase, steps in release.phases.items() for step in steps}
        if set(kept) != set(expected):
            wrong.append(f"the ledger differs in {sorted(set(kept) ^ set(expected))}")
        wrong += [f"{key} is {kept[key][0]}" for key in set(kept) & set(expected)
                  if kept[key][0] != "applied" or kept[key][1] != hashlib.sha256(expected[key]["sql"].encode()).hexdigest()]
        for release in releases:
            wrong += [f"release {release.number}: {text}" for text in self._problems_of_release(name, release.number, kept)]
        return [f"{name}: {text}" for text in wrong], len(kept)

    def _problems_of_release(self, name: str, n: int, kept: dict) -> list[str]:
        effects = sorted(step for (step,) in self.rows(name, f"SELECT step FROM effect WHERE {self.quoted_release} = {n}"))
        objects = self.objects(name)
        filled = self._value(name, f"SELECT count(*) FROM orders WHERE times_{n} = 1")
        progress = json.loads(kept.get((f"{n}.0.0", "backfill", "channel"), ("",) * 5)[4] or "{}")
        checks = {
            f"scripts ran: {effects}": effects == ["effect", "late"],
            f"{filled} rows were filled in once": filled >= ORDERS and progress.get("rows") == filled,
            "rows were filled in twice": self._value(name, f"SELECT count(*) FROM orders WHERE times_{n} > 1") == 0,
            "sums are wrong": self._value(name, f"SELECT count(*) FROM orders WHERE sum_{n} <> quantity OR id <= {ORDERS} AND sum_{n} IS NULL") == 0,
            "channels are missing": self._value(name, f"SELECT count(*) FROM orders WHERE channel_{n} IS NULL") == 0,
            "indexes": {f"by_channel_{n}", f"once_{n}"} <= objects,
            "the old index or view is there": not {f"old_{n}", f"sums_{n}"} & objects,
        }
        return [text for text, is_right in checks.items() if not is_right]


class MariadbTenancy(PlainTenancy):
    """Databases of one MariaDB server."""

    Release = MariadbRelease
    quoted_release = "`release`"

    def __init__(self, login: mariadb.Login) -> None:
        self.login = login

    def login_options(self) -> dict:
        return {"engine": "mariadb", "login_host": self.login.host, "login_port": self.login.port, "login_user": self.login.user,
                "login_password": self.login.password}

    def create(self, names: list[str]) -> None:
        for name in names:
            with self.session() as server, server.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {name}")
            for statement in (("CREATE TABLE orders (id bigint PRIMARY KEY AUTO_INCREMENT, product integer NOT NULL, quantity integer NOT NULL, "
                              "taken timestamp NOT NULL DEFAULT current_timestamp())"), f"INSERT INTO orders (product, quantity) {NUMBERS}",
                              "CREATE TABLE effect (`release` integer, step varchar(20))"):
                self.rows(name, statement)

    def session(self, name: str | None = None) -> pymysql.Connection:
        """A session in which every statement is a transaction."""
        return pymysql.connect(**self.login.keywords(), database=name, autocommit=True)

    def rows(self, name: str, statement: str) -> list[tuple]:
        with self.session(name) as tenant, tenant.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def objects(self, name: str) -> set[str]:
        return {found for (found,) in self.rows(name, "SELECT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() "
                                                      "UNION SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()")}


class SqliteTenancy(PlainTenancy):
    """Files in a folder, by their paths."""

    Release = SqliteRelease

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def login_options(self) -> dict:
        return {"engine": "sqlite"}

    def create(self, names: list[str]) -> None:
        for name in names:
            for statement in ("PRAGMA journal_mode = WAL", ("CREATE TABLE orders (id integer PRIMARY KEY, product integer NOT NULL, quantity integer NOT NULL, "
                              "taken text NOT NULL DEFAULT current_timestamp)"), f"INSERT INTO orders (product, quantity) {NUMBERS}",
                              'CREATE TABLE effect ("release" integer, step text)'):
                self.rows(name, statement)

    def rows(self, name: str, statement: str) -> list[tuple]:
        with self._session(name) as tenant:
            return tenant.execute(statement).fetchall()

    def objects(self, name: str) -> set[str]:
        return {found for (found,) in self.rows(name, "SELECT name FROM sqlite_master WHERE type IN ('index', 'view')")}

    @contextlib.contextmanager
    def _session(self, name: str) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(name, isolation_level=None, timeout=BUSY_SECONDS)) as tenant:
            yield tenant


def _steps(**scripts: str) -> list[dict[str, str]]:
    return [{"name": name, "sql": sql} for name, sql in sorted(scripts.items())]
