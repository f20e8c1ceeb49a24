# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as a user runs it: check mode, the act, and once more."""

from __future__ import annotations

import pytest
from fleet.postgres import OWNER
from integration.by_ansible import ansible
from integration.switchover.pair import Pair


@pytest.fixture
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("pair") / "run") as made:
        yield made


def arguments(pair, **more) -> dict:
    server = {name: {"name": name, "host": one.endpoint.address, "port": one.endpoint.port} for name, one in pair.servers.items()}
    pooler = {"name": "pooler", "host": pair.pooler.endpoint.address, "port": pair.pooler.endpoint.port, "user": OWNER, "file": str(pair.pooler.databases)}
    return {"old_primary": server["db1"], "new_primary": server["db2"], "login_user": OWNER, "poolers": [pooler], **more}


def test_it_is_foreseen_done_and_done_already(pair):
    status, result, _shown = ansible("database_switchover", "--check", **arguments(pair))
    assert (status, result["changed"], result["steps"], result["lsn"]) == (0, True, {}, None)
    assert pair.value("pooler", "SELECT pg_is_in_recovery()") is False and pair.value("db2", "SELECT pg_is_in_recovery()") is True
    status, result, _shown = ansible("database_switchover", **arguments(pair))
    assert (status, result["changed"], result["primary"], result["synchronous"]) == (0, True, "db2", False) and len(result["steps"]) == 5
    assert pair.value("pooler", "SELECT inet_server_port()") == pair.servers["db2"].endpoint.port
    status, result, _shown = ansible("database_switchover", **arguments(pair))
    assert (status, result["changed"], result["primary"], result["steps"]) == (0, False, "db2", {})


def test_bad_input_is_refused(pair):
    bad = [
        (arguments(pair, pause_timeout=0), "pause_timeout must be more than 0"),
        (arguments(pair, poolers=arguments(pair)["poolers"] * 2), "poolers has a name twice: pooler, pooler"),
        (arguments(pair, login_user="nobody"), "as nobody"),
        (arguments(pair, new_primary=arguments(pair)["old_primary"]), "give two servers"),
    ]
    for given, reason in bad:
        status, result, _shown = ansible("database_switchover", **given)
        assert status == 2 and reason in result["msg"], result
    assert pair.value("pooler", "SELECT pg_is_in_recovery()") is False
