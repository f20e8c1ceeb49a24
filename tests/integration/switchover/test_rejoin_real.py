# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The old primary follows the new one, and takes over again: there and back, with the same two servers."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from fleet import postgresctl
from fleet.postgres import OWNER, REPLICATOR
from integration.by_ansible import ansible
from integration.switchover.pair import Load, Loading, Pair, lost

CONTROL = postgresctl.__file__


@pytest.fixture
def pair():
    # pg_rewind runs as the owner of the data, and has to get there.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with Pair(Path(folder) / "run") as made:
            yield made


def arguments(pair, old: str, new: str) -> dict:
    server, primary = pair.servers[old], pair.servers[new].endpoint
    command = [sys.executable, CONTROL]
    return {
        "login_host": primary.address, "login_port": primary.port, "login_user": OWNER, "ssl_mode": "disable", "name": old,
        "data_directory": str(server.data), "bin_dir": str(server.binaries),
        "stop_command": [*command, "stop", str(server.directory)], "start_command": [*command, "start", str(server.directory)],
        "primary_conninfo": f"host={primary.address} port={primary.port} user={REPLICATOR} sslmode=disable gssencmode=disable",
    }


def test_there_and_back(pair):
    load = Load(pair.pooler.endpoint, rate=100)
    with Loading(load):
        for old, new in (("db1", "db2"), ("db2", "db1")):
            assert pair.switchover(old, new).bring_about().changed
            status, result, _shown = ansible("database_rejoin", "--check", **arguments(pair, old, new))
            assert (status, result["changed"], pair.node_is_fenced(old)) == (0, True, True)
            status, result, _shown = ansible("database_rejoin", **arguments(pair, old, new))
            assert status == 0 and result["changed"] and "Done!" in result["said"], result
            status, result, _shown = ansible("database_rejoin", **arguments(pair, old, new))
            assert (status, result["changed"]) == (0, False)
            pair.wait_streaming(new)
            assert not pair.node_is_fenced(old) and pair.value(old, "SELECT pg_is_in_recovery()")
            # What pg_rewind copied from the other server is its own again.
            assert pair.value(old, "SELECT inet_server_port()") == pair.servers[old].endpoint.port
    assert load.errors == load.read_errors == [] and lost(pair, load, "db1") == set() and len(load.acknowledged) > 100


def test_a_primary_that_is_none_is_named(pair):
    status, result, _shown = ansible("database_rejoin", **arguments(pair, "db1", "db2"))
    assert status == 2 and "standby" in result["msg"]
    status, result, _shown = ansible("database_rejoin", **{**arguments(pair, "db2", "db1"), "data_directory": str(pair.folder)})
    assert status == 2 and "is no data directory of PostgreSQL" in result["msg"]
    status, result, _shown = ansible("database_rejoin", **arguments(pair, "db2", "db1"))
    assert (status, result["changed"]) == (0, False)
