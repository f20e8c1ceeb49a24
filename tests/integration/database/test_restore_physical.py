# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole server comes back from its proven backup in another data directory: with the module's own process, killed wherever it may be."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup import restore_target as places
from fleet.ports import Ports
from fleet.postgres import AS_NOBODY

from integration.database.conftest import Writer
from integration.database.restoring import begin, killed_when


@dataclass
class Hardware:
    """Another host: a folder for a data directory, a port, and what starts a server there."""

    server: object
    directory: Path
    backups: Path
    port: int = field(default_factory=lambda: Ports().endpoint("127.0.0.1").port)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def place(self) -> places.Place:
        return places.Place(str(self.data), None)

    def start_command(self, after: str = "") -> list[str]:
        argv = [*(AS_NOBODY if os.geteuid() == 0 else []), str(self.server.binaries / "postgres"), "-D", str(self.data)]
        return ["sh", "-c", f"setsid {shlex.join(argv)} > {self.directory}/log 2>&1 & {after}"]

    def options(self, **changed) -> dict:
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "dynamic_shared_memory_type": "mmap",
                    "shared_buffers": "16MB"}
        login = self.server.login
        return {"directory": str(self.backups), "data_directory": str(self.data), "owner": "nobody", "bin_dir": str(self.server.binaries), "settings": settings,
                "start_command": self.start_command(), "login_host": "127.0.0.1", "login_port": self.port, "login_user": login.user,
                "login_password": login.password, **changed}

    def begin(self, **changed) -> subprocess.Popen:
        return begin(self.options(**changed))

    def restore(self, check: bool = False, **changed) -> dict:
        said, _nothing = self.begin(**changed, _ansible_check_mode=check).communicate(timeout=120)
        return json.loads(said)

    def value(self, statement: str, database: str = "postgres"):
        login = self.server.login
        with psycopg.connect(host="127.0.0.1", port=self.port, user=login.user, password=login.password, dbname=database, autocommit=True) as session:
            return session.execute(statement).fetchone()[0]


@pytest.fixture
def hardware(run, server, tmp_path):
    """Another host. Its server is ended afterwards, and no other program is left."""
    directory = Path(tempfile.mkdtemp(prefix="alwayson-hardware-"))
    directory.chmod(0o711)
    made = Hardware(server, directory, tmp_path / "backups")
    yield made
    made.place.stop()
    shutil.rmtree(directory)


def back_up(run, names) -> Path:
    result = run().back_up_all(names, 5, 1)[names[0]]
    assert result["proven"], result["why"]
    return Path(result["path"])


def state(hardware) -> str | None:
    return hardware.place.record().get("state") if (hardware.data / places.RECORD).exists() else None


def test_a_server_comes_back_with_all_that_was_written_before_its_backup_ended(run, server, tenants, hardware):
    quiet, busy = tenants(2)
    with Writer(server, [busy]) as writer:
        base = back_up(run, [quiet, busy])
        assert writer.changes > 50
    began = time.time()
    foreseen = hardware.restore(check=True)
    assert foreseen["changed"] and foreseen["backup"] == str(base) and not hardware.data.exists()
    result = hardware.restore(compare="content", check_queries=["SELECT count(*) >= 500 FROM orders"], max_age=3600)
    assert result.get("changed") and result["backup"] == str(base), result
    assert result["databases"][quiet] == {"exact": True, "later_transactions": 0, "differences": [], "tables": 2, "rows": 550}
    assert hardware.value("SELECT count(*) FROM orders", busy) >= result["databases"][busy]["rows"] - 50 > 500
    assert began - 60 < result["data_of"] < began and result["lost_seconds"] > 0 and result["timeline"] == 2
    assert set(result["seconds"]) == {"found", "copied", "verified", "started", "took_writes", "compared"}
    assert hardware.value("INSERT INTO orders (product, quantity) VALUES (1, 1) RETURNING 1", quiet) == 1
    assert hardware.value("SHOW restore_command") != "" and hardware.value("SHOW shared_buffers") == "16MB" and hardware.value("SHOW archive_mode") == "off"
    assert "false" not in (hardware.data / "postgresql.auto.conf").read_text(encoding="utf-8")
    again = hardware.restore()
    assert not again["changed"] and again["backup"] == str(base) and again["data_of"] == result["data_of"]
    assert hardware.value("SELECT count(*) FROM orders", quiet) == 501
    hardware.place.stop()
    assert "it does not run. It may have taken writes" in hardware.restore()["msg"]


def test_what_is_there_already_and_what_is_wrong_is_refused(run, server, tenant, hardware):
    base = back_up(run, [tenant])
    identifier = run().server["system_identifier"]
    for changed, reported in (
        ({"system_identifier": "1"}, "there is no backup of cluster of the server 1"),
        ({"backup": "cluster-20260101T000000.000Z.base"}, "there is no backup of cluster named cluster-20260101T000000.000Z.base"),
        ({"settings": {"restore_command": "true"}}, "settings must not have restore_command"),
        ({"login_port": server.port}, "a server answers at 127.0.0.1"),
        ({"bin_dir": "/nowhere"}, "there are no postgres"),
    ):
        assert reported in hardware.restore(**changed)["msg"]
    time.sleep(1)
    assert "and max_age is 1" in hardware.restore(max_age=1)["msg"]
    hardware.data.mkdir()
    (hardware.data / "PG_VERSION").write_text("18", encoding="ascii")
    assert "is not empty (PG_VERSION), and nothing is ever overwritten" in hardware.restore()["msg"]
    assert (hardware.data / "PG_VERSION").exists()
    shutil.rmtree(hardware.data)
    other = base.with_name("cluster-20200101T000000.000Z.base")
    for end in ("", ".json", ".sha256"):
        made = Path(f"{other}{end}")
        made.mkdir() if not end else made.write_text(Path(f"{base}{end}").read_text(encoding="utf-8").replace(identifier, "7"), encoding="utf-8")
    assert f"set system_identifier to one of them ({', '.join(sorted(['7', identifier]))})" in hardware.restore()["msg"]
    assert hardware.restore(check=True, system_identifier=identifier)["backup"] == str(base)
    assert f"{other} is not complete" in hardware.restore(system_identifier="7")["msg"] and not hardware.data.exists()


def test_an_injured_backup_is_refused_and_an_older_one_is_taken_by_name(run, tenant, hardware):
    older, base = back_up(run, [tenant]), back_up(run, [tenant])
    heap = max((path for path in base.glob("base/*/*") if path.name.isdigit()), key=lambda path: path.stat().st_size)
    log = sorted(path for path in (base / "pg_wal").iterdir() if path.is_file())
    refused = 0
    for path in (heap, log[-1], base / "backup_manifest", Path(f"{base}.json")):
        whole = path.read_bytes()
        for injured in (whole[:-1] + bytes([whole[-1] ^ 1]), None):
            path.unlink() if injured is None else path.write_bytes(injured)
            result = hardware.restore()
            assert result.get("failed") and not hardware.data.exists(), path
            refused += 1
        path.write_bytes(whole)
    assert refused == 8
    assert hardware.restore(backup=older.name)["backup"] == str(older)


def slow(hardware, server) -> str:
    """PostgreSQL's programs, of which pg_verifybackup takes its time."""
    folder = hardware.directory / "programs"
    folder.mkdir(exist_ok=True)
    for name in ("postgres", "pg_waldump"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(f'#!/bin/sh\nexec "{server.binaries / name}" "$@"\n', encoding="utf-8")
    (folder / "pg_verifybackup").write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, *(pytest.param(other, marks=pytest.mark.thorough) for other in (signal.SIGTERM, signal.SIGHUP))])
def test_it_is_killed_while_it_copies_and_run_again(run, server, tenant, hardware, number):
    back_up(run, [tenant])
    copies = hardware.begin(bin_dir=slow(hardware, server))
    killed_when(copies, lambda: state(hardware) == places.COPYING and (hardware.data / "PG_VERSION").exists(), number)
    assert hardware.data.exists() == (number == signal.SIGKILL)
    result = hardware.restore()
    assert result.get("changed") and result["databases"][tenant]["exact"], result
    assert hardware.value("SELECT count(*) FROM orders", tenant) == 500


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough)])
def test_it_is_killed_after_its_server_began_and_run_again(run, tenant, hardware, number):
    base = back_up(run, [tenant])
    answers = hardware.directory / "answers"
    killed_when(hardware.begin(start_command=hardware.start_command(f"sleep 2; touch {answers}; sleep 60")),
                lambda: answers.exists() and bool(hardware.place.server()), number)
    assert state(hardware) == places.COPIED and bool(hardware.place.server()) == (number == signal.SIGKILL)
    result = hardware.restore()
    assert result.get("changed") and result["backup"] == str(base) and "copied" not in result["seconds"], result
    assert hardware.value("SELECT count(*) FROM orders", tenant) == 500 and state(hardware) == places.RUNNING


@pytest.mark.thorough
def test_a_copy_that_does_not_come_up_or_is_not_right_stays_and_is_gone_on_with(run, tenant, hardware):
    base = back_up(run, [tenant])
    for changed, reported in (
        ({"start_command": ["false"]}, "start_command ended with 1"),
        ({"settings": {"port": hardware.port, "shared_buffers": "none"}}, "ended, or start_command did not start it"),
        ({"check_queries": ["SELECT count(*) = 0 FROM orders"]}, "answered False in the restored copy"),
    ):
        message = hardware.restore(**changed)["msg"]
        assert reported in message and "no server runs in it: remove the cause and run this again" in message
        assert state(hardware) == places.COPIED and not hardware.place.server()
    newer = back_up(run, [tenant])
    assert "has been up and may have taken writes" in hardware.restore()["msg"]
    result = hardware.restore(backup=base.name)
    assert result.get("changed") and result["backup"] == str(base) != str(newer) and result["databases"][tenant]["exact"], result
