# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small and quick forms of the bench tests/bench/database/migrations.py: controllers that are killed, and who waits beside a blocked migration."""

from __future__ import annotations

import random

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.session import Login
from bench.database import stall, stall_mariadb
from bench.database.kills import Load, Torture
from bench.database.tenancy import MariadbTenancy, PostgresqlTenancy, SqliteTenancy
from fleet.mariadb import ROLE
from integration.database.kinds import PASSWORD


@pytest.fixture
def postgresql_tenancy(server):
    yield PostgresqlTenancy(server.login)
    with server.connect() as admin:
        for (name,) in admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'many%'").fetchall():
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def mariadb_tenancy(mariadb_server):
    yield MariadbTenancy(Login("127.0.0.1", mariadb_server.endpoint.port, user=ROLE, password=PASSWORD))
    with mariadb_server.connect() as admin, admin.cursor() as cursor:
        cursor.execute("SHOW DATABASES LIKE 'many%'")
        mariadb_server.run(*(f"DROP DATABASE {name}" for (name,) in cursor.fetchall()))


@pytest.fixture
def sqlite_tenancy(tmp_path):
    return SqliteTenancy(tmp_path)


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def tenancy(request):
    """Each kind of database in its turn."""
    return request.getfixturevalue(f"{request.param}_tenancy")


@pytest.fixture
def many(tenancy, tmp_path):
    """Makes so many tenants."""

    def make(count):
        names = [str(tmp_path / f"many_{number}") if isinstance(tenancy, SqliteTenancy) else f"many_{number}" for number in range(1, count + 1)]
        tenancy.create(names)
        return names

    return make


def test_two_controllers_that_are_killed_apply_each_step_once(tenancy, many):
    names = many(4)
    run = Torture(tenancy, names, kills=6, parallel=2, chance=random.Random(7))
    with Load(tenancy, names) as load:
        run.run()
    assert run.killed >= 6 and run.ended == 2 * len(run.releases) and load.statements > 0 and load.errors == []
    found = [tenancy.problems(name, run.releases) for name in names]
    assert [text for texts, _steps in found for text in texts] == []
    assert sum(steps for _texts, steps in found) == sum(steps_of(release) for release in run.releases) * len(names)


def steps_of(release):
    return sum(len(steps) for steps in release.phases.values())


DAMAGES = {
    "INSERT INTO effect VALUES (2, '001_columns')": "transactional steps ran",
    "INSERT INTO touched VALUES (2, '001_sum', 5)": "rows were changed",
    "UPDATE orders SET sum_2 = sum_2 + 1 WHERE id = 9": "sums are wrong",
    "UPDATE orders SET channel_2 = NULL WHERE id = 9": "channels are missing",
    "DROP INDEX once_2": "release 2: indexes",
    "CREATE VIEW sums_2 AS SELECT 1": "the old index or view is there",
    "UPDATE alwayson.migration SET status = 'begun' WHERE step = '002_old'": "is begun",
    "DELETE FROM alwayson.migration WHERE step = '002_old'": "the ledger differs",
}


PLAIN_DAMAGES = {
    "INSERT INTO effect VALUES (2, 'effect')": "scripts ran",
    "UPDATE orders SET times_2 = 0 WHERE id = 8": "rows were filled in once",
    "UPDATE orders SET times_2 = times_2 + 1 WHERE id = 9": "rows were filled in twice",
    "UPDATE orders SET sum_2 = sum_2 + 1 WHERE id = 9": "sums are wrong",
    "UPDATE orders SET channel_2 = NULL WHERE id = 9": "channels are missing",
    "CREATE VIEW sums_2 AS SELECT 1": "the old index or view is there",
    "UPDATE alwayson_migration SET status = 'begun' WHERE step = 'unique'": "is begun",
    "DELETE FROM alwayson_migration WHERE step = 'unique'": "the ledger differs",
}


def test_what_would_be_wrong_is_seen(tenancy, many):
    (name,) = many(1)
    run = Torture(tenancy, [name], kills=0, parallel=1, chance=random.Random(1))
    run.migrate_once()
    assert tenancy.problems(name, run.releases) == ([], steps_of(run.releases[0]))
    for damage, reported in (DAMAGES if isinstance(tenancy, PostgresqlTenancy) else PLAIN_DAMAGES).items():
        assert not any(reported in text for text in tenancy.problems(name, run.releases)[0])
        tenancy.rows(name, damage)
        assert any(reported in text for text in tenancy.problems(name, run.releases)[0])


@pytest.mark.parametrize("tenancy", ["postgresql", pytest.param("mariadb", marks=pytest.mark.thorough)], indirect=True)
def test_a_blocked_migration_makes_nobody_wait_as_long(tenancy, many):
    (name,) = many(1)
    seconds = 4
    measure = (lambda *given: stall.measure_stall(tenancy.login, *given)) if isinstance(tenancy, PostgresqlTenancy) else (
        lambda *given: stall_mariadb.measure_stall(tenancy, *given))
    result = measure(name, seconds, 100)
    assert result.statements > 100 * seconds / 4 and result.errors == 0 and result.attempts >= 2
    # Without a lock_timeout, statements wait until the blocker ends. The bound leaves room for a busy machine.
    assert result.longest_ms < seconds * 1000 * 3 / 4, str(result)
