# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby takes over from its primary under load: no error, nothing lost, whoever dies in the middle of it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer_file import Server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import SwitchoverError
from integration.switchover.controller import at
from integration.switchover.pair import Load, Loading, Pair, lost, wait_writable

CONTROLLER = Path(__file__).with_name("controller.py")


@pytest.fixture
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("pair") / "run") as made:
        yield made


def test_clients_wait_for_a_moment_and_nothing_is_lost(pair):
    load = Load(pair.pooler.endpoint)
    with Loading(load):
        result = pair.switchover().apply()
    assert result.changed and list(result.steps) == ["paused", "fenced", "replayed", "promoted", "resumed"]
    assert load.errors == load.read_errors == [] and len(load.acknowledged) > 100
    assert lost(pair, load, "db2") == set()
    assert [pair.value(name, "SELECT pg_is_in_recovery()") for name in ("db1", "db2", "pooler")] == [False, False, False]
    assert pair.value("pooler", "SELECT inet_server_addr()::text").startswith(pair.servers["db2"].endpoint.address)
    # Who comes past the pooler writes nothing into the old one.
    with pair.session("db1") as session, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.execute("INSERT INTO acknowledged VALUES (-1, -1)")
    again = pair.switchover().apply()
    assert not again.changed and "is no standby: make it" in again.warnings[0]


@pytest.mark.parametrize("step", ["fenced", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("paused", "replayed", "promoted"))])
def test_a_controller_that_is_killed_in_the_window_leaves_clients_that_go_on(pair, step):
    load = Load(pair.pooler.endpoint)
    with Loading(load):
        places = [str(endpoint) for endpoint in (*(server.endpoint for server in pair.servers.values()), pair.pooler.endpoint)]
        done = subprocess.run([sys.executable, str(CONTROLLER), step, *places, str(pair.pooler.databases)], check=False, timeout=120)
        assert done.returncode == -signal.SIGKILL
        writable = wait_writable(pair)
    assert writable == ("db2" if step == "promoted" else "db1")
    assert load.errors == load.read_errors == [] and lost(pair, load, writable) == set()
    result = pair.switchover().apply()
    assert result.changed == (step != "promoted")


@pytest.mark.parametrize(("step", "goes_on_with"), [("paused", "db1"), ("replayed", "db2")])
def test_an_old_primary_that_dies_in_the_window(pair, step, goes_on_with):
    """Before its log's end is known, only it can go on, here when its service manager has begun it again; afterwards the standby has everything."""
    load = Load(pair.pooler.endpoint)
    switchover = pair.switchover()

    def die() -> None:
        pair.kill("db1")
        if goes_on_with == "db1":
            pair.start_server("db1")

    with Loading(load):
        at(switchover, step, die)
        with contextlib.suppress(SwitchoverError):
            switchover.apply()
        assert wait_writable(pair) == goes_on_with
    assert load.errors == load.read_errors == [] and lost(pair, load, goes_on_with) == set()


def test_a_pooler_that_dies_in_the_window_comes_back_to_the_new_primary(pair):
    load = Load(pair.pooler.endpoint)
    switchover = pair.switchover()

    def die() -> None:
        pair.kill("pooler")
        pair.start_pooler()

    with Loading(load):
        at(switchover, "promoted", die)
        with pytest.raises(SwitchoverError, match="Clients use db2"):
            switchover.apply()
        assert wait_writable(pair) == "db2"
    # Whoever was connected to it was cut off, and nobody could connect for the moment of its start.
    assert load.errors + load.read_errors and lost(pair, load, "db2") == set()


def test_a_transaction_that_lasts_is_waited_for_in_vain_and_nothing_has_changed(pair):
    load = Load(pair.pooler.endpoint)
    with Loading(load), pair.session("pooler") as session:
        session.execute("BEGIN")
        session.execute("SELECT 1")
        with pytest.raises(SwitchoverError, match=r"pooler .* could not be paused within 0.5 s.* Clients use db1"):
            pair.switchover(pause_seconds=0.5).apply()
        with pytest.raises(SwitchoverError, match="a pause would wait for transactions on db1"):
            pair.switchover(transaction_seconds=0.1).apply()
        session.execute("COMMIT")
    assert load.errors == load.read_errors == [] and lost(pair, load, "db1") == set() and not pair.node_is_fenced("db1")


def test_what_does_not_fit_is_refused_before_anything_is_held(pair):
    assert not pair.switchover("db2", "db1").apply().changed
    stranger = pair.switchover()
    stranger.poolers[0].point(stranger.old.address, Server("127.0.0.99", "5432"))
    with pytest.raises(SwitchoverError, match=r"pooler pooler sends to 127.0.0.99:5432, and db1 .* correct the addresses, or its file"):
        stranger.apply()
    stranger.poolers[0].point(Server("127.0.0.99", "5432"), stranger.old.address)
    pair.kill("db2")
    with pytest.raises((SwitchoverError, PostgresqlError), match=r"db2|refused"):
        pair.switchover().apply()
    assert pair.value("pooler", "SELECT 1") == 1
