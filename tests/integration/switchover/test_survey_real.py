# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the way of a switchover is found on real servers before anybody is held; and what is written past a fence is not lost."""

from __future__ import annotations

import contextlib
import itertools
import signal

import psycopg
import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import session as postgresql_session
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.failover import Failover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError
from fleet.postgres import OWNER
from integration.switchover.controller import at
from integration.switchover.pair import DATABASE, WAIT_SECONDS, Load, Loading, Pair, wait_writable

WAIT = "SELECT pg_reload_conf(), pg_sleep(1)"


@pytest.fixture
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("pair") / "run") as made:
        for name in made.servers:
            access = made.servers[name].data / "pg_hba.conf"
            access.write_text("host all postgres 127.0.0.0/8 trust\n" + access.read_text("utf-8"), "utf-8")
            made.processes[name].send(signal.SIGHUP)
        for name in made.servers:
            assert wait_for(lambda name=name: lets_in(made, name, "postgres", "postgres"), WAIT_SECONDS, 0.05)
        yield made


def lets_in(pair, name: str, user: str, database: str) -> bool:
    """Whether a server takes a session of this account."""
    endpoint = pair.servers[name].endpoint
    try:
        psycopg.connect(host=endpoint.address, port=endpoint.port, user=user, dbname=database, sslmode="disable").close()
    except psycopg.OperationalError:
        return False
    return True


def as_superuser(pair, name: str, *statements: str, database: str = DATABASE) -> psycopg.Connection:
    """A session in which these were done."""
    endpoint = pair.servers[name].endpoint
    session = psycopg.connect(host=endpoint.address, port=endpoint.port, user="postgres", dbname=database, autocommit=True, sslmode="disable")
    for statement in statements:
        session.execute(statement)
    return session


SUBSCRIPTION = ("CREATE SUBSCRIPTION news CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = 'x', enabled = false)",
                "ALTER SUBSCRIPTION news ENABLE")
NO_SUBSCRIPTION = ("ALTER SUBSCRIPTION news DISABLE", "ALTER SUBSCRIPTION news SET (slot_name = NONE)", "DROP SUBSCRIPTION news")
IN_THE_WAY = (
    ("db1", ("ALTER ROLE shop SET default_transaction_read_only = off",), ("ALTER ROLE shop RESET default_transaction_read_only",),
     "ALTER ROLE shop SET default_transaction_read_only = off lets sessions write past a fence"),
    ("db1", SUBSCRIPTION, NO_SUBSCRIPTION, "has subscriptions .news in tenant_a."),
    ("db2", ("SELECT pg_wal_replay_pause()",), ("SELECT pg_wal_replay_resume()",), "replay is paused on db2"),
    ("db2", ("ALTER SYSTEM SET recovery_min_apply_delay = '1h'", WAIT), ("ALTER SYSTEM RESET recovery_min_apply_delay", WAIT), "replays with a delay"),
    ("db2", ("ALTER SYSTEM SET default_transaction_read_only = on", WAIT), ("ALTER SYSTEM RESET default_transaction_read_only", WAIT),
     "is read only by its own configuration"),
)


@pytest.mark.parametrize("driver", ["psycopg3", pytest.param("psycopg2", marks=pytest.mark.thorough)])
def test_what_is_in_the_way_is_named_and_nobody_is_held(pair, driver, monkeypatch):
    pytest.importorskip(driver.rstrip("3"))
    monkeypatch.setattr(postgresql_session, "DRIVERS", [getattr(postgresql_session, f"_{driver}")])
    load, held = Load(pair.pooler.endpoint, clients=4, rate=50), []

    def refused(what: str) -> None:
        switchover = pair.switchover()
        at(switchover, "paused", lambda: held.append(what))
        with pytest.raises(SwitchoverError, match=what):
            switchover.apply()

    with Loading(load):
        for server, done, undone, what in IN_THE_WAY:
            with as_superuser(pair, server, *done) as session:
                refused(what)
                for statement in undone:
                    session.execute(statement)
        with pair.session("db2") as reader, pair.session("db1") as writer:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM products")
            writer.execute("ALTER TABLE products ADD COLUMN note text")
            refused("replay on db2 .* waits for readers: process .* of upgrade .idle in transaction")
        with pair.session("db1") as session:
            session.execute("CREATE UNLOGGED TABLE sessions (a integer)")
        result = pair.switchover().apply()
    assert any("unlogged tables are empty on db2" in warning and "tenant_a.public.sessions" in warning for warning in result.warnings)
    assert load.errors == load.read_errors == [] and len(load.waits_ms) > 100 and max(load.waits_ms) < 10_000 and held == []


def test_what_is_written_past_the_fence_is_on_the_new_primary_or_nothing_is_exchanged(pair):
    with pair.session("db1") as past:
        past.execute("SET default_transaction_read_only = off")
        numbers = itertools.count()

        def write(client: int) -> None:
            past.execute("INSERT INTO acknowledged VALUES (%s, %s)", (client, next(numbers)))

        def refused(switchover, what: str) -> None:
            with pytest.raises(SwitchoverError, match=f"db1 .* {what}.* Clients use db1"):
                switchover.apply()
            assert not pair.node_is_fenced("db1") and wait_writable(pair) == "db1"

        def behind_the_end(switchover, act) -> None:
            """Have something happen whenever the end of the log was taken and the fence is there."""
            has_replayed = switchover.new.has_replayed

            def after(lsn: str) -> bool:
                if switchover.result.steps.get("fenced"):
                    act()
                return has_replayed(lsn)

            switchover.new.has_replayed = after

        endless = pair.switchover()
        behind_the_end(endless, lambda: write(-1))
        refused(endless, "is written to although it is read only. The writers are processes that end at once")
        assert pair.value("db1", "SELECT count(*) FROM acknowledged WHERE client = -1") > 1

        unended = pair.switchover()
        at(unended, "fenced", lambda: (past.execute("BEGIN"), write(-2)))
        refused(unended, "is written to although it is read only. The writers are process .* of upgrade")
        past.execute("ROLLBACK")

        late = pair.switchover()
        at(late, "replayed", lambda: write(-3))
        refused(late, "was written to although it was read only")

        once, written = pair.switchover(), []
        behind_the_end(once, lambda: written or written.append(write(-4)))
        assert once.apply().changed and written
    assert pair.value("db2", "SELECT count(*) FROM acknowledged WHERE client IN (-3, -4)") == 2


def test_a_primary_that_lets_nobody_in_any_more_takes_writes_again_when_the_switchover_is_taken_back(pair):
    switchover = pair.switchover(window_seconds=5.0)

    def shut() -> None:
        (pair.servers["db1"].data / "pg_hba.conf").write_text("host tenant_a,tenant_b all 127.0.0.0/8 trust\n", "utf-8")
        pair.processes["db1"].send(signal.SIGHUP)
        assert wait_for(lambda: not lets_in(pair, "db1", OWNER, "postgres"), WAIT_SECONDS, 0.05)
        raise SwitchoverError("something went wrong")

    at(switchover, "fenced", shut)
    with pytest.raises(SwitchoverError, match=r"something went wrong. Clients use db1"):
        switchover.apply()
    assert wait_writable(pair) == "db1"


def test_a_primary_that_refuses_connections_while_its_standby_streams_is_alive(pair):
    pair.be_synchronous()
    failover = Failover(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits())
    failover.old.knock = lambda: "refuses"
    with pytest.raises(SwitchoverError, match=r"db2 .* still streams from its primary, so db1 .* is alive"):
        failover.apply()
    assert pair.value("db2", "SELECT pg_is_in_recovery()") and wait_writable(pair) == "db1"


@pytest.mark.parametrize("level", ["local", "off"])
def test_commits_that_wait_for_nobody_are_not_taken_for_safe(pair, level):
    pair.be_synchronous()
    as_superuser(pair, "db1", f"ALTER ROLE shop SET synchronous_commit = {level}").close()
    pair.kill("db1")
    with pytest.raises(SwitchoverError, match=f"ALTER ROLE shop SET synchronous_commit = {level} counts on db2 .*data_loss=accept"):
        Failover(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits()).apply()


def test_a_reader_does_not_keep_everybody_from_writing_after_a_crash(pair):
    pair.be_synchronous()
    as_superuser(pair, "db2", "ALTER SYSTEM SET max_standby_streaming_delay = -1", WAIT).close()
    with pair.session("db2") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM products")
        with pair.session("db1") as session:
            session.execute("ALTER TABLE products ADD COLUMN note text")
        pair.kill("db1")
        result = Failover(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits()).apply()
        assert any("waited for readers, whose sessions were ended: process" in warning for warning in result.warnings) and result.steps["resumed"] < 14_000
        with contextlib.suppress(psycopg.Error):
            reader.execute("COMMIT")
    assert wait_writable(pair) == "db2"
