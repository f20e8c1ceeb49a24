# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook patch on two database servers: each is restarted as a standby, under load, and no statement fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from fleet import postgres, postgresctl
from fleet.embedded import EmbeddedFleet
from integration.cores import NEWEST, installed
from integration.switchover.pair import Load, Loading
from integration.upgrade.conftest import PLUGINS, Operator

SERVERS = {
    "upgrade_patch": "none", "upgrade_probe": {}, "upgrade_databases": None, "upgrade_database_servers": "database_servers", "upgrade_poolers": "poolers",
    "upgrade_database_patch_tasks": {name: str(PLUGINS / f"patch_{name}.yml") for name in ("waiting", "apply")},
}


@pytest.fixture(scope="module", name="operator")
def _operator():
    # pg_rewind runs as the owner of the data, and has to get there.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with EmbeddedFleet(Path(folder) / "run", members=2, is_replicated=True) as fleet:
            if "pooler" not in fleet.running() and os.environ.get("CI") != "true":
                pytest.skip("no PgBouncer is to be had here: apt-get install pgbouncer")
            fleet.query("tenant_a", "CREATE TABLE acknowledged (client integer, number integer, PRIMARY KEY (client, number))")
            yield Operator(fleet, installed(NEWEST))


def patch(operator, number: int, **variables: object):
    """A run to which that patch is new."""
    return operator.run("patch", **SERVERS, test_patch=number, postgresql_bin_dir=str(postgres.open_binaries()), **variables)


def session(endpoint) -> psycopg.Connection:
    return psycopg.connect(host=endpoint.address, port=endpoint.port, user=postgres.OWNER, dbname="tenant_a", autocommit=True, sslmode="disable",
                           gssencmode="disable", prepare_threshold=None)


def primary(operator) -> str:
    """Which of the two the pooler's clients write to; the other one is a standby that streams."""
    layout = operator.fleet.layout
    with session(layout.pooler) as through:
        assert through.execute("SELECT pg_is_in_recovery(), count(*) FROM pg_stat_replication WHERE state = 'streaming'").fetchone() == (False, 1)
        place = through.execute("SELECT host(inet_server_addr()), inet_server_port()").fetchone()
    return {(layout.database.address, layout.database.port): "db1", (layout.standby.address, layout.standby.port): "db2"}[place]


def started(operator) -> list:
    """When each server was started."""
    found = []
    for endpoint in (operator.fleet.layout.database, operator.fleet.layout.standby):
        with session(endpoint) as own:
            found.append(own.execute("SELECT pg_postmaster_start_time()").fetchone()[0])
    return found


def lost(operator, load) -> set:
    with session(operator.fleet.layout.pooler) as through:
        return load.acknowledged - set(through.execute("SELECT client, number FROM acknowledged").fetchall())


def test_1_both_servers_are_patched_and_no_statement_fails(operator):
    before, load = started(operator), Load(operator.fleet.layout.pooler, rate=100)
    with Loading(load):
        run = patch(operator, 1)
    assert run.code == 0, run.output[-4000:]
    assert load.errors == load.read_errors == [] and lost(operator, load) == set() and len(load.acknowledged) > 500
    assert all(now > then for now, then in zip(started(operator), before)) and primary(operator) == "db2"


@pytest.mark.thorough
def test_2_the_same_command_again_changes_nothing(operator):
    before = started(operator)
    run = patch(operator, 1)
    assert run.code == 0 and set(run.changed.values()) == {0}, run.output[-4000:]
    assert started(operator) == before and primary(operator) == "db2"


@pytest.mark.thorough
def test_3_a_server_that_fails_stops_the_run_and_the_same_command_goes_on(operator):
    run = patch(operator, 2, test_fails_on="db1")
    assert run.code != 0 and "db1" in run.words, run.output[-4000:]
    with session(operator.fleet.layout.pooler) as through:
        assert through.execute("SELECT inet_server_port()").fetchone()[0] == operator.fleet.layout.standby.port, "nobody took over"
    run = patch(operator, 2)
    assert run.code != 0 and "database server db1 cannot be read" in run.words, run.output[-4000:]


@pytest.mark.thorough
def test_4_what_an_interrupted_run_left_follows_first_and_in_the_end_all_is_as_it_was(operator):
    # What made the start fail is repaired; then somebody has db1 take over and does not get to the rest.
    subprocess.run([sys.executable, postgresctl.__file__, "start", str(operator.fleet.directory / "postgres")], check=True, timeout=60)
    load = Load(operator.fleet.layout.pooler, rate=100, first_client=100)
    with Loading(load):
        run = operator.run("failover", upgrade_old_primary="db2", upgrade_new_primary="db1", upgrade_planned=True)
        assert run.code == 0, run.output[-4000:]
        run = patch(operator, 3, upgrade_database_switch_back=True)
    assert run.code == 0 and run.words.count("takes over") == 1, run.output[-4000:]
    assert load.errors == load.read_errors == [] and lost(operator, load) == set() and len(load.acknowledged) > 500 and primary(operator) == "db1"
    again = patch(operator, 3, upgrade_database_switch_back=True)
    assert again.code == 0 and set(again.changed.values()) == {0} and primary(operator) == "db1"
