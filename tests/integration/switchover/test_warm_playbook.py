# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook failover after a double fault, as a user runs it: the third server takes over, on its own host, and the old primary is fenced."""

from __future__ import annotations

import json

import psycopg
import pytest
from integration.switchover.test_poolers_playbook import inventory, play
from integration.switchover.trio import RECEIVER, WARM, Trio


@pytest.fixture
def trio(tmp_path_factory):
    with Trio(tmp_path_factory.mktemp("trio") / "run") as made:
        hosts = inventory(made)
        servers = hosts["all"]["children"]["servers"]["hosts"]
        programs = str(made.warm.binaries)
        servers[WARM]["postgresql_warm_log"] = {"directory": str(made.received), "name": RECEIVER, "bin_dir": programs}
        servers["db1"] |= {"postgresql_data_directory": str(made.servers["db1"].data), "postgresql_bin_dir": programs, "postgresql_become": False}
        (made.folder / "inventory.yml").write_text(json.dumps(hosts), encoding="utf-8")
        made.be_synchronous()
        yield made


@pytest.mark.thorough
def test_after_a_double_fault_the_third_server_takes_over_and_nothing_is_lost(trio):
    with trio.session("pooler") as session:
        for number in range(50):
            session.execute("INSERT INTO orders (product, quantity, total_cents) VALUES (1, %s, 1)", (7000 + number,))
    trio.kill_both()
    names = {"upgrade_old_primary": "db1", "upgrade_new_primary": WARM}
    code, said = play(trio, "alwayson.upgrade.failover", **names)
    assert code == 0 and f"{WARM} takes writes; clients were held for" in said, said[-3000:]
    assert "db1 takes none, even if it is started" in said
    assert trio.value("pooler", "SELECT count(*) FROM orders WHERE quantity >= 7000") == 50
    with trio.session("pooler") as session:
        session.execute("INSERT INTO orders (product, quantity, total_cents) VALUES (1, 8000, 1)")
    trio.start_server("db1")
    with trio.session("db1") as session, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.execute("INSERT INTO orders (product, quantity, total_cents) VALUES (1, 9000, 1)")
    code, said = play(trio, "alwayson.upgrade.failover", **names)
    assert code == 0 and "it did before" in said, said[-3000:]
