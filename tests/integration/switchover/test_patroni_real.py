# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switchover of a cluster that Patroni runs, under load: Patroni exchanges the roles, the pooler holds its clients, and nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fleet.postgres import OWNER
from integration.by_ansible import ansible
from integration.switchover.pair import Load, Loading
from integration.switchover.patroni import PASSWORD, USER, Cluster, PatroniError, find_program

CONTROLLER = Path(__file__).with_name("patroni_controller.py")
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module", name="cluster")
def _cluster(tmp_path_factory):
    try:
        find_program()
    except PatroniError as error:
        pytest.skip(str(error))
    with Cluster(tmp_path_factory.mktemp("patroni") / "run") as made:
        yield made


def switchover(cluster, old: str, new: str, *flags: str, **more) -> tuple[int, dict]:
    server = {name: {"name": name, "host": endpoint.address, "port": endpoint.port} for name, endpoint in cluster.endpoints.items()}
    pooler = {"name": "pooler", "host": cluster.pooler.endpoint.address, "port": cluster.pooler.endpoint.port, "user": OWNER,
              "file": str(cluster.pooler.databases)}
    arguments = {"old_primary": server[old], "new_primary": server[new], "login_user": OWNER, "poolers": [pooler],
                 "patroni": {"url": cluster.url("node1"), "user": USER, "password": PASSWORD}, **more}
    status, result, _shown = ansible("database_switchover", *flags, **arguments)
    return status, result


def test_1_a_planned_switchover_and_the_way_back(cluster):
    load = Load(cluster.pooler.endpoint, rate=100)
    with Loading(load):
        for old, new in (("node1", "node2"), ("node2", "node1")):
            status, result = switchover(cluster, old, new, "--check")
            assert (status, result["changed"]) == (0, True), result
            status, result = switchover(cluster, old, new, window_timeout=60)
            assert (status, result["changed"], result["primary"], list(result["steps"])) == (0, True, new, ["paused", "promoted", "resumed"]), result
            # Patroni has the old one follow.
            cluster.wait_healthy(new)
            status, result = switchover(cluster, old, new)
            assert (status, result["changed"]) == (0, False), result
    assert load.errors == load.read_errors == [] and len(load.acknowledged) > 100
    with cluster.session("pooler") as session:
        assert load.acknowledged <= set(session.execute("SELECT client, number FROM acknowledged").fetchall())
        assert session.execute("SELECT inet_server_port()").fetchone()[0] == cluster.endpoints["node1"].port


def test_2_what_patroni_would_not_do_is_refused_before_anybody_is_held(cluster):
    bad = [
        ({"state": "failed_over"}, "after a crash Patroni promotes a standby itself"),
        ({"pooler_agents": ["pooler2"]}, "without pooler_agents"),
        ({"patroni": {"url": "http://127.0.0.1:9"}}, "Patroni (http://127.0.0.1:9) cannot be asked"),
        ({"patroni": {"url": cluster.url("node1"), "user": USER, "password": "wrong"}}, "Patroni refuses the switchover (401)"),
    ]
    for more, reason in bad:
        status, result = switchover(cluster, "node1", "node2", **more)
        assert status == 2 and reason in result["msg"], result
    cluster.ask("PATCH", "/config", {"pause": True})
    status, result = switchover(cluster, "node1", "node2")
    assert status == 2 and "Patroni is paused: resume it" in result["msg"], result
    cluster.ask("PATCH", "/config", {"pause": False})
    with cluster.session("pooler") as session:
        assert session.execute("SELECT inet_server_port()").fetchone()[0] == cluster.endpoints["node1"].port


def test_3_whoever_asked_is_killed_and_clients_go_on_with_whom_patroni_has_lead(cluster):
    load = Load(cluster.pooler.endpoint, rate=100, first_client=100)
    places = [str(endpoint) for endpoint in (*cluster.endpoints.values(), cluster.pooler.endpoint)]
    with Loading(load):
        done = subprocess.run([sys.executable, str(CONTROLLER), cluster.url("node1"), USER, PASSWORD, *places, str(cluster.pooler.databases)], check=False,
                              timeout=60)
        assert done.returncode == -signal.SIGKILL
        cluster.wait_healthy("node2")
        with cluster.session("pooler") as session:
            assert session.execute("SELECT inet_server_port()").fetchone()[0] == cluster.endpoints["node2"].port
    assert load.errors == load.read_errors == [] and len(load.acknowledged) > 100
    with cluster.session("node2") as session:
        assert load.acknowledged <= set(session.execute("SELECT client, number FROM acknowledged").fetchall())
