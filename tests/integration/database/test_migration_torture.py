# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small and quick forms of the bench tests/bench/database/migrations.py: controllers that are killed, and who waits beside a blocked migration."""

from __future__ import annotations

import random

import pytest
from bench.database.kills import Load, Torture
from bench.database.stall import measure_stall
from bench.database.tenants import create, problems, session

STEPS_OF_A_RELEASE = 8


@pytest.fixture
def many(server):
    """Makes so many tenants, which are gone afterwards."""
    made = []

    def make(count):
        made.extend(f"many_{number}" for number in range(1, count + 1))
        create(server.login, made)
        return made

    yield make
    with server.connect() as admin:
        for name in made:
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_two_controllers_that_are_killed_apply_each_step_once(server, many):
    names = many(4)
    run = Torture(server.login, names, kills=6, parallel=2, chance=random.Random(7))
    with Load(server.login, names) as load:
        run.run()
    assert run.killed >= 6 and run.ended == 2 * len(run.releases) and load.statements > 0 and load.errors == []
    found = [problems(server.login, name, run.releases) for name in names]
    assert [text for texts, _steps in found for text in texts] == []
    assert sum(steps for _texts, steps in found) == STEPS_OF_A_RELEASE * len(run.releases) * len(names)


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


def test_what_would_be_wrong_is_seen(server, many):
    (name,) = many(1)
    run = Torture(server.login, [name], kills=0, parallel=1, chance=random.Random(1))
    run.migrate_once()
    assert problems(server.login, name, run.releases) == ([], STEPS_OF_A_RELEASE)
    for damage, told in DAMAGES.items():
        assert not any(told in text for text in problems(server.login, name, run.releases)[0])
        with session(server.login, name) as tenant:
            tenant.execute(damage)
        assert any(told in text for text in problems(server.login, name, run.releases)[0])


def test_a_blocked_migration_makes_nobody_wait_as_long(server, many):
    (name,) = many(1)
    seconds = 4
    result = measure_stall(server.login, name, seconds, rate=100)
    assert result.statements > 100 * seconds / 2 and result.errors == 0 and result.attempts >= 4
    # Without a lock_timeout, statements wait until the blocker ends. The bound leaves room for a busy machine.
    assert result.longest_ms < seconds * 1000 / 2, str(result)
