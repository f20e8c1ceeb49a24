# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backfill beside a standby that falls behind: it waits, and goes on by itself when the standby has caught up."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from fleet.postgres import OWNER
from integration.by_ansible import ansible
from integration.switchover.pair import DATABASE, WAIT_SECONDS, Pair

ROWS, BATCH, MAX_LAG_BYTES = 20_000, 500, 2_000_000
# What a batch writes at most, and what else the server does meanwhile.
TO_SPARE_BYTES = 1_000_000
EXPAND = "ALTER TABLE wide ADD COLUMN filled boolean;"
BACKFILL = f"""-- alwayson: batch
UPDATE wide SET filled = true WHERE id IN (SELECT id FROM wide WHERE filled IS NULL LIMIT {BATCH});
"""
LAG = "SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) FROM pg_stat_replication"
# Of the ledger: to look at the rows themselves would write hint bits, and so add to the log.
FILLED = "SELECT coalesce(max((progress ->> 'rows')::int), 0) FROM alwayson.migration WHERE phase = 'backfill'"


@pytest.fixture
def pair(tmp_path):
    with Pair(tmp_path / "pair") as pair:
        with pair.session("db1") as session:
            session.execute("CREATE TABLE wide (id bigserial PRIMARY KEY, note text) WITH (autovacuum_enabled = off)")
            session.execute(f"INSERT INTO wide (note) SELECT repeat('x', 200) FROM generate_series(1, {ROWS})")
            session.execute("VACUUM (FREEZE) wide")
            session.execute("CHECKPOINT")
        yield pair


def test_a_backfill_waits_for_a_standby_that_lags(pair):
    endpoint = pair.servers["db1"].endpoint
    options = {"login_host": endpoint.address, "login_port": endpoint.port, "login_user": OWNER, "databases": [DATABASE], "release": "9.0.0",
               "batch_pause_ms": 0, "max_replica_lag_bytes": MAX_LAG_BYTES, "wait_timeout": 120}
    expand = [{"name": "001_column", "sql": EXPAND}]
    assert ansible("database_migration", phase="expand", steps=expand, **options)[0] == 0
    options |= {"phase": "backfill", "steps": [{"name": "001_fill", "sql": BACKFILL}], "expand_steps": expand}
    _wait(lambda: pair.value("db1", LAG) == 0)
    receiver = pair.value("db2", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'")
    done: list = []
    runner = threading.Thread(target=lambda: done.append(ansible("database_migration", **options)))
    os.kill(receiver, signal.SIGSTOP)
    try:
        runner.start()
        _wait(lambda: pair.value("db1", LAG) > MAX_LAG_BYTES)
        filled = _at_rest(pair)
        assert 0 < filled < ROWS
        assert pair.value("db1", LAG) < MAX_LAG_BYTES + TO_SPARE_BYTES
        assert not done
    finally:
        os.kill(receiver, signal.SIGCONT)
        runner.join()
    status, result, _shown = done[0]
    assert status == 0, result
    assert pair.value("db1", FILLED) == ROWS
    (row,) = result["migrations"][DATABASE]
    assert (row["status"], row["rows"], row["batches"]) == ("applied", ROWS, ROWS // BATCH)


def _at_rest(pair) -> int:
    """How many rows are filled when none is for two seconds: the batch that was under way has ended."""
    filled, deadline = -1, time.monotonic() + WAIT_SECONDS
    while (now := pair.value("db1", FILLED)) != filled:
        assert time.monotonic() < deadline
        filled = now
        time.sleep(2)
    return filled


def _wait(condition) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
