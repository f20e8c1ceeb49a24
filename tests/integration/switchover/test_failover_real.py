# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary dies: its synchronous standby takes its place and nothing that was acknowledged is lost; meanwhile clients can read."""

from __future__ import annotations

import pytest
from psycopg.rows import dict_row
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.failover import Failover, Redirection
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError
from integration.by_ansible import ansible
from integration.switchover.controller import times_of_steps
from integration.switchover.pair import Load, Loading, Pair, lost, wait_writable
from integration.switchover.test_switchover_module import arguments


@pytest.fixture
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("pair") / "run") as made:
        yield made


def server_ports(pair: Pair) -> set[str]:
    """The ports of the servers to which the pooler has connections, or begins some."""
    with pair.session("pooler", "pgbouncer") as session:
        session.row_factory = dict_row
        return {str(row["port"]) for row in session.execute("SHOW SERVERS")}


def failover(pair) -> Failover:
    return Failover(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits())


def test_a_synchronous_standby_takes_the_place_of_a_dead_primary_and_nothing_is_lost(pair):
    pair.be_synchronous()
    load, taking_over = Load(pair.pooler.endpoint), failover(pair)
    resumed = times_of_steps(taking_over, "resumed")
    with Loading(load):
        pair.kill("db1")
        result = taking_over.apply()
        assert wait_writable(pair) == "db2" and load.failed_since(resumed[0]) == 0
    assert result.changed and result.synchronous and list(result.steps) == ["paused", "promoted", "resumed"]
    assert lost(pair, load, "db2") == set() and len(load.acknowledged) > 100
    assert load.failed_at
    assert not failover(pair).apply().changed


def test_what_may_lose_something_is_refused_and_can_be_accepted(pair):
    with pytest.raises(SwitchoverError, match=r"db1 .* runs: replace it by state=switched"):
        failover(pair).apply()
    pair.kill("db1")
    with pytest.raises(SwitchoverError, match=r"db2 is not named in synchronous_standby_names of db2 .*, so db1 .* may have acknowledged writes that db2"):
        failover(pair).apply()
    status, result, _shown = ansible("database_switchover", **arguments(pair, state="failed_over", data_loss="accept"))
    assert (status, result["changed"], result["primary"], result["synchronous"]) == (0, True, "db2", False)
    assert wait_writable(pair) == "db2"


def test_poolers_are_sent_to_a_server_that_takes_writes_already(pair):
    with pair.node("db2").opened() as standby:
        standby.promote()
        assert wait_for(lambda: not standby.is_in_recovery(), 30, 0.05)
    with pytest.raises(SwitchoverError, match=r"db1 .* runs: replace it by state=switched"):
        failover(pair).apply()
    pair.kill("db1")
    with pytest.raises(SwitchoverError, match=r"db2 .* takes writes already, so it may lack what db1 .* acknowledged"):
        failover(pair).apply()
    assert pair.poolers()[0].servers()["tenant_a"] == pair.node("db1").address
    accepting = failover(pair)
    accepting.accept_loss = True
    assert list(accepting.apply().steps) == ["paused", "resumed"] and wait_writable(pair) == "db2"
    assert not failover(pair).apply().changed


def test_while_the_primary_is_away_clients_read(pair):
    load = Load(pair.pooler.endpoint)
    with Loading(load):
        assert Redirection(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits()).apply().changed
        # A login to db1 that began before and fails with it has PgBouncer refuse clients for server_login_retry.
        assert wait_for(lambda: server_ports(pair) == {str(pair.servers["db2"].endpoint.port)}, 30, 0.05), server_ports(pair)
        pair.kill("db1")
        pair.start_server("db1")
        status, result, _shown = ansible("database_switchover", **arguments(pair, state="read_write"))
        assert (status, result["changed"], result["primary"]) == (0, True, "db1")
        assert wait_writable(pair) == "db1"
    assert load.read_errors == [] and load.errors and all("read-only" in error for error in load.errors) and lost(pair, load, "db1") == set()
    status, result, _shown = ansible("database_switchover", **arguments(pair, state="read_write"))
    assert (status, result["changed"]) == (0, False)
