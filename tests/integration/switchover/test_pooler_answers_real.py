# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real PgBouncers say themselves is what counts: several processes on one port, a RELOAD that is in vain, entries of other files, kept sessions."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import session as postgresql_session
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer import PgBouncer
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.failover import Failover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.planned import Switchover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError
from fleet import processes
from fleet.postgres import NOBODY, OWNER
from integration.switchover.pair import WAIT_SECONDS, Pair, pooler_at, wait_writable

PROCESSES = ("p1", "p2")
# PgBouncer does it three times a second.
MAINTENANCE_SECONDS = 1.0


@pytest.fixture
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("pair") / "run", poolers=2) as made:
        yield made


def console(pair, command: str) -> None:
    with pair.session("pooler", "pgbouncer") as session:
        session.execute(command)


def switchover_after_maintenance(pair) -> Switchover:
    """One before whose first look PgBouncer's maintenance hides the database that was made of the entry *."""
    switchover = pair.switchover()
    pooler = switchover.poolers[0]
    rows, waited = pooler._rows, []

    def late(what: str):
        if what == "DATABASES" and not waited:
            waited.append(time.sleep(MAINTENANCE_SECONDS))
        return rows(what)

    pooler._rows = late
    return switchover


def test_a_pooler_that_would_not_follow_is_found_before_the_promotion_and_readers_stay_where_they_are(pair):
    ini = pair.pooler.directory / "pgbouncer.ini"
    healthy = ini.read_text(encoding="utf-8")
    old, new = (pair.servers[name].endpoint for name in ("db1", "db2"))
    # A slip since it was started, above the line that includes the file: RELOAD says so in its log.
    ini.write_text(healthy.replace("[databases]\n", "[databases]\nlegacy = host=127.0.0.9 pool_sise=5\n", 1), encoding="utf-8")
    with pytest.raises(SwitchoverError, match=r"has not taken what .*tenant_a to .*. Clients use db1"):
        pair.switchover().apply()
    assert wait_writable(pair) == "db1" and pair.value("db2", "SELECT pg_is_in_recovery()") is True and not pair.node_is_fenced("db1")
    # An entry for everything else that only pgbouncer.ini has.
    ini.write_text(healthy.replace("[databases]\n", f"[databases]\n* = host={old.address} port={old.port}\n", 1), encoding="utf-8")
    console(pair, "RELOAD")
    with pytest.raises(SwitchoverError, match=r"sends \* to .* Nothing has changed"):
        switchover_after_maintenance(pair).apply()
    ini.write_text(healthy, encoding="utf-8")
    file = pair.pooler.databases
    file.write_text(file.read_text(encoding="utf-8").replace("tenant_a = ", "tenant_a = pool_mode=session ") +
                    f"tenant_a_ro = host={new.address} port={new.port} dbname=tenant_a\n* = host={old.address} port={old.port}\n", encoding="utf-8")
    console(pair, "RELOAD")
    with pair.session("pooler") as idle:
        assert idle.execute("SELECT 1").fetchone() == (1,)
        result = pair.switchover().apply()
    assert any("keeps sessions for 1 clients of tenant_a (pool_mode=session): they are ended" in warning for warning in result.warnings)
    assert wait_writable(pair) == "db2" and pair.switchover().apply().changed is False
    # Somebody changes the file, and no RELOAD follows: what the pooler does counts.
    assert pair.session("pooler", "tenant_a_ro").execute("SELECT inet_server_port()").fetchone() == (new.port,)


def test_processes_that_share_a_port_are_refused_until_each_is_named_by_its_socket(pair):
    pooler = pair.pooler
    processes.end([pair.processes["pooler"]], first_signal=2)
    text = (pooler.directory / "pgbouncer.ini").read_text(encoding="utf-8")
    for name in PROCESSES:
        folder = pooler.directory / name
        folder.mkdir()
        (folder / "pgbouncer.ini").write_text(text.replace("unix_socket_dir =", f"unix_socket_dir = {folder}") + "so_reuseport = 1\n", encoding="utf-8")
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        pair.processes[name] = type(pooler).start(_at(pooler, folder))
    pooler.wait_ready(pair.processes["p2"])
    by_socket = [PgBouncer(name, Login(host=str(pooler.directory / name), port=pooler.endpoint.port, user=OWNER), str(pooler.databases)) for name in PROCESSES]
    _wait_for(lambda: not any(one.is_dead() for one in by_socket))

    def switchover(poolers) -> Switchover:
        return Switchover(pair.node("db1"), pair.node("db2"), poolers, Limits())

    for poolers, text in ((pair.poolers(), "different processes|2 processes listen"), (by_socket[:1], "2 processes share the port .* 1 of them are listed")):
        with pytest.raises(SwitchoverError, match=f"({text}).* give each process a unix_socket_dir of its own.* Nothing has changed"):
            switchover(poolers).apply()
    assert switchover(by_socket).apply().changed
    # Each connection may reach another process.
    assert [wait_writable(pair) for _number in range(12)] == ["db2"] * 12


def test_a_dead_pooler_does_not_keep_the_others_clients_from_a_failover(pair):
    pair.be_synchronous("db2")
    pair.kill("pooler2")
    poolers = [pooler_at(one.endpoint, str(one.databases), name) for name, one in pair.all_poolers.items()]
    with pytest.raises(SwitchoverError, match=r"pooler pooler2 .* does not run: nothing listens there. Start it, or remove it"):
        Switchover(pair.node("db1"), pair.node("db2"), poolers, Limits()).apply()
    pair.kill("db1")
    result = Failover(pair.node("db1"), pair.node("db2"), poolers, Limits()).apply()
    assert any("pooler2" in warning and "does not run, so no client uses it" in warning for warning in result.warnings)
    pair.start_pooler("pooler2")
    assert [wait_writable(pair, name) for name in pair.all_poolers] == ["db2", "db2"]


@pytest.mark.thorough
def test_the_older_driver_hears_the_same(pair, monkeypatch):
    pytest.importorskip("psycopg2")
    monkeypatch.setattr(postgresql_session, "DRIVERS", [postgresql_session._psycopg2])
    console(pair, "SET server_login_retry = 2")
    result = pair.switchover().apply()
    assert result.changed and any("server_login_retry" in warning for warning in result.warnings) and wait_writable(pair) == "db2"


@pytest.mark.thorough
def test_a_primary_that_hangs_does_not_keep_the_clients_that_wait_for_it(pair):
    """Its host is cut off, or frozen: what is under way there never ends, and a pause would wait for it."""
    pair.be_synchronous("db2")
    failures = []
    with pair.session("pooler") as waiting:
        waiting.execute("SELECT 1")
        hanging = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _is_within(path, pair.processes["db1"].pid)]
        for pid in hanging:
            os.kill(pid, signal.SIGSTOP)
        thread = threading.Thread(target=lambda: failures.append(_error_of(waiting, "SELECT count(*) FROM products")))
        thread.start()
        time.sleep(0.5)
        failover = Failover(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits())
        failover.is_lost = True
        assert failover.apply().changed and len(hanging) > 1
        assert wait_writable(pair) == "db2"
        thread.join(10)
    assert len(failures) == 1 and "query timeout" in str(failures[0]), failures
    with pair.session("pooler", "pgbouncer") as session:
        config = {row[0]: row[1] for row in session.execute("SHOW CONFIG").fetchall()}
    assert (config["query_timeout"], config["idle_transaction_timeout"], config["server_fast_close"]) == ("0", "0", "1")


def _is_within(stat, parent: int) -> bool:
    """Whether a process is this one or a child of it."""
    try:
        fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return False
    return parent in (int(stat.parent.name), int(fields[1]))


def _error_of(session, statement: str) -> BaseException | None:
    try:
        session.execute(statement)
    except psycopg.Error as error:
        return error
    return None


def _at(pooler, folder):
    """The same pooler with the configuration in another folder."""
    other = object.__new__(type(pooler))
    other.__dict__.update(pooler.__dict__, directory=folder)
    return other


def _wait_for(is_so) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
