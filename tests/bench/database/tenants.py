# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants whose database tells on a step that ran twice, the migrations of any number of releases, and what must be true of both in the end."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import psycopg
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login

ORDERS = 300
BATCH = 60
# `effect` gets a row each time a transactional step runs, `touched` one each time a batch changes a row.
SCHEMA = f"""
CREATE TABLE orders (id bigserial PRIMARY KEY, product integer NOT NULL, quantity integer NOT NULL, legacy text, taken timestamptz NOT NULL DEFAULT now());
INSERT INTO orders (product, quantity) SELECT n % 50, n FROM generate_series(1, {ORDERS}) AS n;
CREATE TABLE effect (release integer, step text);
CREATE TABLE touched (release integer, step text, id bigint);
"""


@dataclass(frozen=True)
class Release:
    """The migrations of release `number`: every phase, every kind of step."""

    number: int

    @property
    def name(self) -> str:
        return f"{self.number}.0.0"

    @property
    def phases(self) -> dict[str, list[dict[str, str]]]:
        """Phase to `[{name, sql}]`."""
        n = self.number
        columns = (f"ALTER TABLE orders ADD COLUMN sum_{n} integer, ADD COLUMN channel_{n} text, ALTER COLUMN channel_{n} SET DEFAULT 'shop';\n"
                   f"CREATE INDEX old_{n} ON orders (sum_{n}); INSERT INTO effect VALUES ({n}, '001_columns')")
        cursor = ("-- alwayson: batch after 0\n"
                  f"WITH chosen AS (SELECT id FROM orders WHERE id > :after ORDER BY id LIMIT {BATCH}),\n"
                  f" noted AS (INSERT INTO touched SELECT {n}, '001_sum', id FROM chosen)\n"
                  f"UPDATE orders SET sum_{n} = coalesce(sum_{n}, 0) + quantity FROM chosen WHERE orders.id = chosen.id RETURNING orders.id")
        condition = ("-- alwayson: batch\n"
                     f"WITH filled AS (UPDATE orders SET channel_{n} = 'unknown'\n"
                     f" WHERE id IN (SELECT id FROM orders WHERE channel_{n} IS NULL ORDER BY id LIMIT {BATCH}) RETURNING id)\n"
                     f"INSERT INTO touched SELECT {n}, '002_channel', id FROM filled")
        view = f"INSERT INTO effect VALUES ({n}, '002_view'); CREATE VIEW sums_{n} AS SELECT id, sum_{n} FROM orders"
        return {
            "expand": [{"name": "001_columns", "sql": columns}, {"name": "002_view", "sql": view}],
            "backfill": [{"name": "001_sum", "sql": cursor}, {"name": "002_channel", "sql": condition},
                         {"name": "003_index", "sql": f"-- alwayson: concurrently\nCREATE INDEX CONCURRENTLY by_channel_{n} ON orders (channel_{n}, taken)"}],
            "contract": [{"name": "001_view", "sql": f"DROP VIEW sums_{n}; INSERT INTO effect VALUES ({n}, '001_view')"}],
            "optimise": [{"name": "001_unique", "sql": f"-- alwayson: concurrently\nCREATE UNIQUE INDEX CONCURRENTLY once_{n} ON orders (id, sum_{n})"},
                         {"name": "002_old", "sql": f"-- alwayson: concurrently\nDROP INDEX CONCURRENTLY old_{n}"}],
        }


def session(login: Login, database: str = "postgres") -> psycopg.Connection:
    """A session in which every statement is a transaction."""
    return psycopg.connect(**login.keywords(database), password=login.password, autocommit=True)


def create(login: Login, names: list[str]) -> None:
    """Make the tenants, the first one by its schema and the others as its copies."""
    with session(login) as server:
        server.execute(f'CREATE DATABASE "{names[0]}"')
        with session(login, names[0]) as tenant:
            tenant.execute(SCHEMA)
        for name in names[1:]:
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{names[0]}"')


def problems(login: Login, database: str, releases: list[Release]) -> tuple[list[str], int]:
    """What is wrong with a tenant to which the releases were applied, and how many steps of it were looked at."""
    wrong, looked_at = [], 0
    with session(login, database) as tenant:
        kept = {(release, phase, step): rest for release, phase, step, *rest in tenant.execute(
            "SELECT release, phase, step, status, checksum, progress FROM alwayson.migration")}
        expected = {(release.name, phase, step["name"]): step for release in releases for phase, steps in release.phases.items() for step in steps}
        if set(kept) != set(expected):
            wrong.append(f"the ledger differs in {sorted(set(kept) ^ set(expected))}")
        for key, (status, checksum, _progress) in kept.items():
            looked_at += 1
            if status != "applied" or checksum != hashlib.sha256(expected[key]["sql"].encode()).hexdigest():
                wrong.append(f"{key} is {status}")
        for release in releases:
            wrong += _problems_of_release(tenant, release.number, kept)
        invalid = tenant.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchone()[0]
        wrong += [f"{invalid} invalid indexes"] if invalid else []
    return [f"{database}: {text}" for text in wrong], looked_at


def resumed(login: Login, database: str) -> int:
    """How many steps of a tenant were begun by more than one run."""
    with session(login, database) as tenant:
        return tenant.execute("SELECT count(*) FROM alwayson.migration WHERE kind <> 'transaction' AND attempts > 1").fetchone()[0]


def _problems_of_release(tenant: psycopg.Connection, n: int, kept: dict) -> list[str]:
    def value(statement: str):
        return tenant.execute(statement).fetchone()[0]

    effects = sorted(step for (step,) in tenant.execute("SELECT step FROM effect WHERE release = %s", (n,)))
    touched = {step: (times, rows) for step, times, rows in tenant.execute(
        "SELECT step, count(*), count(DISTINCT id) FROM touched WHERE release = %s GROUP BY step", (n,))}
    checks = {
        f"transactional steps ran: {effects}": effects == ["001_columns", "001_view", "002_view"],
        f"rows were changed (times, rows): {touched}": len(touched) == 2 and all(times == rows >= ORDERS for times, rows in touched.values()),
        "the ledger counts other rows than were changed": all(
            kept[(f"{n}.0.0", "backfill", step)][2]["rows"] == rows for step, (_times, rows) in touched.items()),
        "sums are wrong": value(f"SELECT count(*) FROM orders WHERE sum_{n} <> quantity OR id <= {ORDERS} AND sum_{n} IS NULL") == 0,
        "channels are missing": value(f"SELECT count(*) FROM orders WHERE channel_{n} IS NULL") == 0,
        "indexes": value(f"SELECT count(*) FROM pg_class WHERE relname IN ('by_channel_{n}', 'once_{n}')") == 2,
        "the old index or view is there": value(f"SELECT to_regclass('old_{n}') IS NULL AND to_regclass('sums_{n}') IS NULL"),
    }
    return [f"release {n}: {text}" for text, is_right in checks.items() if not is_right]
