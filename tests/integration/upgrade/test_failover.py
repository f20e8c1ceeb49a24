# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook failover on the embedded fleet: a standby takes over while the shop goes on, planned and after a crash."""

from __future__ import annotations

import os
import signal

import pytest
from fleet import processes
from fleet.demo import probe, run_playbook, stop_probe
from fleet.embedded import EmbeddedFleet

from integration.upgrade.conftest import REPOSITORY

MIX = [{"kind": "keepalive", "share": 3, "path": "/products?tenant=a"},
       {"kind": "write", "share": 1, "path": "/orders?tenant=b", "body": {"product": 1, "quantity": 2}, "status": [201]}]


@pytest.fixture
def fleet():
    made = EmbeddedFleet(REPOSITORY / "build" / "integration" / "test_failover", members=2, is_replicated=True)
    with made:
        if "pooler" not in made.running() and os.environ.get("CI") != "true":
            pytest.skip("no PgBouncer is to be had here: apt-get install pgbouncer")
        yield made


def failover(fleet, **variables) -> tuple[int, str]:
    log = fleet.directory / "failover.log"
    with log.open("w", encoding="utf-8") as output:
        code = run_playbook("failover", fleet.directory, {"old_primary": "db1", "new_primary": "db2", **variables}, output=output)
    return code, " ".join(log.read_text(encoding="utf-8").split())


def test_a_standby_takes_over_and_no_request_fails(fleet):
    directory = fleet.directory / "probe"
    probe(directory, "started", targets=fleet.front_urls, mix=MIX, rate=80, max_seconds=120).check_returncode()
    try:
        code, said = failover(fleet, planned=True)
    finally:
        stop_probe(directory)
    result = (directory / "result.json").read_text(encoding="utf-8")
    assert code == 0 and "db2 takes writes; clients were held for" in said and "databases: tenant_a, tenant_b" in said, said[-2000:]
    assert '"requests_failed": 0' in result
    code, said = failover(fleet, planned=True)
    assert code == 0 and "it did before" in said


def test_after_a_crash_it_takes_over_when_a_loss_is_accepted(fleet):
    processes.end([fleet.record.processes["postgres"]], first_signal=signal.SIGKILL)
    code, said = failover(fleet)
    assert code != 0 and "is not named in synchronous_standby_names" in said
    code, said = failover(fleet, data_loss="accept")
    assert code == 0 and "db2 takes writes; clients were held for" in said, said[-2000:]


def test_names_that_are_none_are_refused(fleet):
    for variables in ({"old_primary": "db9"}, {"new_primary": ""}):
        code, said = failover(fleet, **variables)
        assert code != 0 and "which is no host of the inventory" in said
