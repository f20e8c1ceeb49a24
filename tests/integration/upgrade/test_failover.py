# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook failover on the embedded fleet: a standby takes over while the shop goes on, planned and after a crash."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import tempfile
from pathlib import Path

import psycopg
import pytest
import yaml
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.lock import Claim
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.store import FleetLock
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.restore_target import Place
from fleet import postgres, processes
from fleet.demo import probe, run_playbook, stop_probe
from fleet.embedded import EmbeddedFleet

from fleet.ports import Ports

from integration.by_ansible import ansible
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
        code = run_playbook("failover", fleet.directory, {"upgrade_old_primary": "db1", "upgrade_new_primary": "db2", **variables}, output=output)
    return code, " ".join(log.read_text(encoding="utf-8").split())


def test_a_standby_takes_over_and_no_request_fails(fleet):
    lock = FleetLock(str(fleet.directory / "state"), "shop")
    lock.hold(Claim(owner="anna", host="ctl9", run="upgrade-7"), now=1_798_761_600.0)
    code, said = failover(fleet, upgrade_planned=True)
    assert code != 0 and "the lock of shop is taken: anna has held it since" in said and "from ctl9" in said and "upgrade_take_over=" in said, said[-2000:]
    pooler = fleet.layout.pooler
    with psycopg.connect(host=pooler.address, port=pooler.port, user=postgres.OWNER, dbname="tenant_a", prepare_threshold=None) as session:
        assert session.execute("SELECT inet_server_port()").fetchone()[0] == fleet.layout.database.port
    lock.release("upgrade-7", now=1_798_761_601.0)
    # The folder may hold the fence of an earlier fleet.
    fence = fleet.directory / "state" / "shop.databases.fence"
    fence.unlink(missing_ok=True)
    directory = fleet.directory / "probe"
    probe(directory, "started", targets=fleet.front_urls, mix=MIX, rate=80, max_seconds=120).check_returncode()
    try:
        code, said = failover(fleet, upgrade_planned=True)
    finally:
        stop_probe(directory)
    result = (directory / "result.json").read_text(encoding="utf-8")
    assert code == 0 and "db2 takes writes; clients were held for" in said and "databases: tenant_a, tenant_b" in said, said[-2000:]
    assert "affected tenants (2): tenant_a, tenant_b" in said
    assert '"requests_failed": 0' in result
    # Every change was fenced with the lock's token.
    assert json.loads(fence.read_text(encoding="utf-8"))["token"] >= 2
    code, said = failover(fleet, planned=True)  # a name of version 0.2
    assert code == 0 and "it did before" in said
    assert not (fleet.directory / "state" / "shop.lock").exists()


def test_after_a_crash_it_takes_over_when_a_loss_is_accepted(fleet):
    processes.end([fleet.record.processes["postgres"]], first_signal=signal.SIGKILL)
    code, said = failover(fleet)
    assert code != 0 and "is not named in synchronous_standby_names" in said
    code, said = failover(fleet, upgrade_data_loss="accept")
    assert code == 0 and "db2 takes writes; clients were held for" in said, said[-2000:]
    assert "this began, db1's clients write to db2" in said and "no backup was needed" in said


@pytest.fixture
def third(fleet):
    """A host db3 with nothing on it but PostgreSQL's programs, and a proven backup of the fleet's server that it can read; its folder."""
    folder = Path(tempfile.mkdtemp(prefix="alwayson-third-"))
    folder.chmod(0o711)
    (fleet.directory / "postgres" / "data" / "pg_hba.conf").write_text("host all,replication all 127.0.0.0/8 trust\n", encoding="ascii")
    fleet.record.processes["postgres"].send(signal.SIGHUP)
    database, binaries = fleet.layout.database, postgres.open_binaries()
    with psycopg.connect(host=database.address, port=database.port, user="postgres", dbname="postgres", autocommit=True) as session:
        session.execute(f"ALTER ROLE {postgres.OWNER} REPLICATION")
        identifier = session.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()[0]
    code, result, _shown = ansible("database_backup", method="physical", directory=str(fleet.directory / "backups"), scratch_directory=str(folder / "scratch"),
                                   scratch_user="nobody", login_host=database.address, login_port=database.port, login_user=postgres.OWNER,
                                   bin_dir=str(binaries))
    assert code == 0 and result["backups"]["tenant_a"]["proven"], result["backups"]["tenant_a"]["why"]
    endpoint, data = Ports().endpoint("127.0.0.54"), folder / "data"
    argv = [*(postgres.AS_NOBODY if os.geteuid() == 0 else []), str(binaries / "postgres"), "-D", str(data)]
    inventory = yaml.safe_load(fleet.inventory.read_text(encoding="utf-8"))
    groups = inventory["all"]["children"]
    # The folder may hold backups of earlier fleets.
    groups["databases"]["hosts"]["db1"].update(postgresql_tenants={"tenant_a": ["acme", "globex"]}, postgresql_system_identifier=identifier)
    groups["spares"] = {"hosts": {"db3": {
        "postgresql_login_host": endpoint.address, "postgresql_login_port": endpoint.port, "postgresql_login_user": postgres.OWNER,
        "postgresql_data_directory": str(data), "postgresql_bin_dir": str(binaries), "postgresql_owner": "nobody",
        "postgresql_start_command": ["sh", "-c", f"setsid {shlex.join(argv)} > {folder}/log 2>&1 &"],
        "postgresql_restore_settings": {"listen_addresses": endpoint.address, "port": endpoint.port},
    }}}
    fleet.inventory.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    yield folder
    Place(str(data), None).stop()
    shutil.rmtree(folder)


@pytest.mark.thorough
def test_without_a_standby_the_newest_proven_backup_comes_back_and_its_tenants_are_named(fleet, third):
    restoring = {"upgrade_old_primary": "db1", "upgrade_restore_on": "db3"}
    processes.end([fleet.record.processes[name] for name in ("postgres", "standby")], first_signal=signal.SIGKILL)
    code, said = failover(fleet)
    assert code != 0 and "no server can take over from db1: db2 does not answer" in said and "-e upgrade_restore_on=db3" in said, said[-2000:]
    assert "affected tenants (2): acme, globex" in said
    code, said = failover(fleet, **restoring)
    assert code == 0 and "db3 takes writes; clients were held for" in said and "databases: tenant_a, tenant_b" in said, said[-3000:]
    assert said.index("affected tenants (2): acme, globex") < said.index("Restore it") and "does not name them: db1/tenant_b" in said
    assert "db1's clients write to db3" in said and f"restored from {fleet.directory}/backups/cluster-" in said and "UTC is lost" in said
    pooler = fleet.layout.pooler
    with psycopg.connect(host=pooler.address, port=pooler.port, user=postgres.OWNER, dbname="tenant_a", autocommit=True, prepare_threshold=None) as session:
        session.execute("CREATE TABLE is_writable ()")
        assert session.execute("SELECT count(*) FROM products").fetchone()[0] > 0
    code, said = failover(fleet, **restoring)
    assert code == 0 and "it did before" in said


def test_names_that_are_none_are_refused(fleet):
    for variables in ({"upgrade_old_primary": "db9"}, {"upgrade_new_primary": ""}):
        code, said = failover(fleet, **variables)
        assert code != 0 and "which is no host of the inventory" in said
