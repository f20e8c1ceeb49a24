# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that repmgr runs: repmgr exchanges the roles and promotes, the pooler holds its clients, and nothing is lost."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from fleet.postgres import OWNER
from integration.by_ansible import ansible
from integration.switchover.pair import Load, Loading, lost
from integration.switchover.repmgr import BINARIES, Cluster

pytestmark = [pytest.mark.thorough, pytest.mark.skipif(not (BINARIES / "repmgr").exists() or os.geteuid() != 0, reason="needs root and Debian's repmgr")]


@pytest.fixture(scope="module", name="cluster")
def _cluster():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with Cluster(Path(folder) / "run") as made:
            yield made


def switchover(cluster, old: str, new: str, *flags: str, **more) -> tuple[int, dict]:
    server = {name: {"name": name, "host": one.endpoint.address, "port": one.endpoint.port} for name, one in cluster.servers.items()}
    pooler = {"name": "pooler", "host": cluster.pooler.endpoint.address, "port": cluster.pooler.endpoint.port, "user": OWNER, "ssl_mode": "disable",
              "file": str(cluster.pooler.databases)}
    arguments = {"old_primary": server[old], "new_primary": server[new], "login_user": OWNER, "ssl_mode": "disable", "poolers": [pooler],
                 "repmgr": {"command": cluster.command(new)}, "window_timeout": 30, **more}
    status, result, _shown = ansible("database_switchover", *flags, **arguments)
    return status, result


def test_1_a_planned_switchover_and_the_way_back(cluster):
    load = Load(cluster.pooler.endpoint, rate=100)
    with Loading(load):
        for old, new in (("db1", "db2"), ("db2", "db1")):
            status, result = switchover(cluster, old, new, "--check")
            assert (status, result["changed"]) == (0, True), result
            status, result = switchover(cluster, old, new)
            assert (status, result["changed"], result["primary"]) == (0, True, new), result
            assert [step for step in result["steps"] if step in ("paused", "promoted", "resumed")] == ["paused", "promoted", "resumed"]
            # It has ended when repmgr has had the old one follow.
            cluster.wait_for_roles(new)
            assert cluster.value(old, "SELECT pg_is_in_recovery()")
            status, result = switchover(cluster, old, new)
            assert (status, result["changed"]) == (0, False), result
    assert load.errors == load.read_errors == [] and len(load.acknowledged) > 100 and lost(cluster, load, "db1") == set()


def test_2_what_is_not_driven_is_refused_before_anybody_is_held(cluster):
    for more, reason in (
        ({"repmgr": None}, "repmgr runs this cluster"),
        ({"repmgr": None, "state": "failed_over", "data_loss": "accept"}, "repmgr runs this cluster"),
        ({"pooler_agents": ["pooler2"]}, "nor for state=switched with pooler_agents"),
        ({"repmgr": {"command": cluster.command("db1")}}, "does not run on the host of db2"),
        ({"repmgr": {"command": ["/nowhere/repmgr"]}}, "cannot be run"),
    ):
        status, result = switchover(cluster, "db1", "db2", **more)
        assert status == 2 and reason in result["msg"], result
    one, two = cluster.servers["db1"], cluster.servers["db2"]
    status, result, _shown = ansible(
        "database_rejoin", login_host=one.endpoint.address, login_port=one.endpoint.port, login_user=OWNER, ssl_mode="disable", name="db3",
        data_directory=str(two.data), bin_dir=str(two.binaries), stop_command=["false"], start_command=["false"], primary_conninfo="host=127.0.0.1")
    assert status == 2 and "repmgr node rejoin --force-rewind" in result["msg"], result
    assert cluster.value("pooler", "SELECT inet_server_port()") == one.endpoint.port


def test_3_after_a_crash_repmgr_promotes(cluster):
    cluster.be_synchronous("db2")
    with cluster.session("pooler") as session:
        session.execute("INSERT INTO acknowledged VALUES (1000, 1)")
    status, result = switchover(cluster, "db1", "db2", state="failed_over")
    assert status == 2 and "runs: replace it" in result["msg"], result
    cluster.kill_server("db1")
    status, result = switchover(cluster, "db1", "db2", state="failed_over")
    assert (status, result["changed"], result["primary"]) == (0, True, "db2"), result
    assert "promoted" in result["steps"] and result["timeline"] == 4
    with cluster.session("pooler") as session:
        there = session.execute("SELECT count(*), inet_server_port() FROM acknowledged WHERE client = 1000").fetchone()
        assert there == (1, cluster.servers["db2"].endpoint.port)
    with cluster.as_repmgr("db2") as session:
        assert session.execute("SELECT node_name FROM repmgr.nodes WHERE type = 'primary' AND active").fetchall() == [("db2",)]
