# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby takes over from its primary under load: no error, nothing lost, whoever dies in the middle of it."""

from __future__ import annotations

import psycopg
import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_switchover import SwitchoverError
from integration.switchover.pair import Load, Loading, Pair, lost


@pytest.fixture
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("pair") / "run") as made:
        yield made


def test_clients_wait_for_a_moment_and_nothing_is_lost(pair):
    load = Load(pair.pooler.endpoint)
    with Loading(load):
        result = pair.switchover().bring_about()
    assert result.changed and list(result.steps) == ["paused", "fenced", "replayed", "promoted", "resumed"]
    assert load.errors == load.read_errors == [] and len(load.acknowledged) > 100
    assert lost(pair, load, "db2") == set()
    assert [pair.value(name, "SELECT pg_is_in_recovery()") for name in ("db1", "db2", "pooler")] == [False, False, False]
    assert pair.value("pooler", "SELECT inet_server_addr()::text").startswith(pair.servers["db2"].endpoint.address)
    # Who comes past the pooler writes nothing into the old one.
    with pair.session("db1") as session, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.execute("INSERT INTO acknowledged VALUES (-1, -1)")
    again = pair.switchover().bring_about()
    assert not again.changed and "follows nobody: have it follow db2" in again.warnings[0]
