# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The old primary follows the new one, and takes over again: there and back, with the same two servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from fleet import postgresctl
from fleet.postgres import NOBODY, OWNER, REPLICATOR, running
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
            assert pair.switchover(old, new).apply().changed
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


def test_the_new_primary_is_not_stopped_by_mistake(pair):
    assert pair.switchover().apply().changed
    # On its own host; and with the address of the old one.
    of_the_new = arguments(pair, "db2", "db1")
    there = {key: of_the_new[key] for key in ("data_directory", "stop_command", "start_command")}
    for wrong in ({**arguments(pair, "db1", "db2"), **there}, of_the_new):
        status, result, _shown = ansible("database_rejoin", **wrong)
        assert status == 2 and ("is the primary itself" in result["msg"] or "was demoted" in result["msg"]), result
    # A way to stream that leads elsewhere is noticed before the old one is stopped.
    wrong = arguments(pair, "db1", "db2")
    wrong["primary_conninfo"] = arguments(pair, "db2", "db1")["primary_conninfo"]
    status, result, _shown = ansible("database_rejoin", **wrong)
    assert status == 2 and "primary_conninfo reaches the server with the system identifier" in result["msg"], result
    assert running(pair.servers["db1"].directory) and not pair.value("db2", "SELECT pg_is_in_recovery()")


def in_debians_layout(server) -> Path:
    """What a server has on Debian, and a host's own files in the data directory: its configuration elsewhere, which its command line names."""
    etc = server.directory / "etc"
    etc.mkdir()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (server.data / name).rename(etc / name)
    with open(etc / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(f"data_directory = '{server.data}'\nhba_file = '{etc}/pg_hba.conf'\nident_file = '{etc}/pg_ident.conf'\n"
                   f"include_dir '{server.data}/own.d'\n")
    (server.data / "own.d").mkdir()
    (server.data / "own.d" / "host.conf").write_bytes("# gr\u00fcn\nwork_mem = '7MB'\n".encode("latin-1"))
    (etc / "server.crt").write_text("certificate of this host\n")
    (server.data / "server.crt").symlink_to(etc / "server.crt")
    (server.data / "standby.signal").touch()
    (server.data / "postmaster.opts").write_text(f'{server.binaries}/postgres "-D" "{server.data}" "-c" "config_file={etc}/postgresql.conf"\n')
    postgresctl.write(server)
    command = server.directory / postgresctl.COMMAND
    started = json.loads(command.read_text())
    command.write_text(json.dumps({**started, "argv": [*started["argv"], "-c", f"config_file={etc}/postgresql.conf"]}))
    subprocess.run(["chown", "-Rh", f"{NOBODY}:{NOBODY}", str(server.directory)], check=os.geteuid() == 0)
    return etc


def test_a_fenced_server_that_crashed_is_rewound_with_the_files_of_its_host(pair):
    one, two = pair.servers["db1"], pair.servers["db2"]
    pair.be_synchronous()
    pair.kill("db1")
    with pair.node("db2").opened() as node:
        node.configure("synchronous_standby_names", "")
        node.promote()
    (two.data / "server.crt").write_text("certificate of the other host\n")
    subprocess.run(["chown", f"{NOBODY}:{NOBODY}", str(two.data / "server.crt")], check=os.geteuid() == 0)
    in_debians_layout(one)
    given = arguments(pair, "db1", "db2")

    # A pg_rewind that does not get to its end.
    broken = pair.folder / "bin"
    broken.mkdir()
    for program in one.binaries.iterdir():
        (broken / program.name).symlink_to(program)
    (broken / "pg_rewind").unlink()
    (broken / "pg_rewind").write_text(f'#!/bin/sh\ncase "$*" in *--dry-run*) exit 0;; esac\nrm {one.data}/base/1/PG_VERSION\necho no space left; exit 1\n')
    (broken / "pg_rewind").chmod(0o755)
    status, result, _shown = ansible("database_rejoin", **{**given, "bin_dir": str(broken)})
    assert status == 2 and "no space left" in result["msg"] and "PostgreSQL starts no server from them" in result["msg"], result
    subprocess.run(given["start_command"], check=True)
    shutil.rmtree(broken)

    status, result, _shown = ansible("database_rejoin", **given)
    assert status == 0 and "Done!" in result["said"], result
    assert "invalid permissions" in one.log.read_text()
    assert (one.data / "server.crt").is_symlink() and (one.data / "server.crt").read_text() == "certificate of this host\n"
    assert pair.value("db1", "SELECT pg_is_in_recovery() AND current_setting('work_mem') = '7MB'")
    assert not (one.data / "postgresql.conf").exists() and not Path(f"{one.data}.rejoin").exists()
    assert one.data.stat().st_mode & 0o777 == 0o700
    pair.wait_streaming("db2")
