# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair of servers that a real repmgr runs, Debian's. Both are on this machine: where repmgr uses ssh, a program of that name runs the command here."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psycopg
from fleet import processes
from fleet.postgres import AS_NOBODY, NOBODY, Postgres, running
from integration.switchover.pair import WAIT_SECONDS, Pair

BINARIES = Path("/usr/lib/postgresql/15/bin")
ROLE = "repmgr"
# ssh [-o option]... host command...: the options of repmgr's take a word each.
SSH = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do case "$1" in -o) shift;; esac; shift; done
shift
exec sh -c "$*"
"""
CONFIGURATION = """
node_id={number}
node_name='{name}'
conninfo='host={address} port={port} user=repmgr dbname=repmgr connect_timeout=2 sslmode=disable gssencmode=disable'
data_directory='{data}'
pg_bindir='{binaries}'
monitoring_history=no
failover={failover}
promote_command='{binaries}/repmgr -f {file} standby promote'
follow_command='{binaries}/repmgr -f {file} standby follow --upstream-node-id=%n'
service_start_command='{binaries}/pg_ctl -D {data} -l {log} -w start'
service_stop_command='{binaries}/pg_ctl -D {data} -m fast -w stop'
service_restart_command='{binaries}/pg_ctl -D {data} -l {log} -m fast -w restart'
service_reload_command='{binaries}/pg_ctl -D {data} reload'
"""


class Cluster(Pair):
    """`db1` is the primary at first. Repmgr runs as the account of the servers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for server in self.servers.values():
            server.binaries = BINARIES

    def command(self, name: str) -> list[str]:
        """What runs repmgr on the host of this server."""
        return [*AS_NOBODY, "env", f"PATH={self.folder}/bin:/usr/bin:/bin", str(BINARIES / "repmgr"), "-f", str(self._file(name))]

    def repmgr(self, name: str, *words: str) -> None:
        done = subprocess.run([*self.command(name), *words], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr

    def as_repmgr(self, name: str) -> psycopg.Connection:
        """A session as repmgr has them."""
        endpoint = self.servers[name].endpoint
        return psycopg.connect(host=endpoint.address, port=endpoint.port, user=ROLE, dbname=ROLE, autocommit=True, sslmode="disable", gssencmode="disable")

    def wait_for_roles(self, primary: str) -> None:
        """Wait until repmgr and the servers agree that this one is the primary, and the other one streams from it."""
        deadline, found = time.monotonic() + WAIT_SECONDS, None
        while time.monotonic() < deadline:
            with self.as_repmgr(primary) as session:
                found = session.execute("SELECT node_name FROM repmgr.nodes WHERE type = 'primary' AND active").fetchall()
            if found == [(primary,)]:
                self.wait_streaming(primary)
                return
            time.sleep(0.1)
        raise AssertionError(found)

    def kill_server(self, name: str) -> None:
        """The server's processes: repmgr has started it again meanwhile."""
        server = running(self.servers[name].directory)
        processes.end([server], first_signal=signal.SIGKILL)

    def start_daemon(self, name: str) -> None:
        command = [*AS_NOBODY, str(BINARIES / "repmgrd"), "-f", str(self._file(name)), "--daemonize=false"]
        self.processes[f"{name} repmgrd"] = processes.launch("repmgrd", command, self.folder / f"{name}.repmgrd.log", cwd=self.folder)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.repmgr.conf"

    def _complete(self, server: Postgres) -> None:
        server._run("postgres", "--single", "-D", str(server.data), "postgres",
                    text=f"CREATE ROLE {ROLE} LOGIN SUPERUSER REPLICATION\nCREATE DATABASE {ROLE} OWNER {ROLE}\n")
        with open(server.data / "pg_hba.conf", "a", encoding="utf-8") as file:
            file.write(f"host {ROLE},replication {ROLE} 127.0.0.0/8 trust\n")
        with open(server.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write("shared_preload_libraries = 'repmgr'\n")

    def _start(self) -> None:
        super()._start()
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "ssh").write_text(SSH, encoding="utf-8")
        (self.folder / "bin" / "ssh").chmod(0o755)
        for number, (name, server) in enumerate(self.servers.items(), 1):
            self._file(name).write_text(CONFIGURATION.format(
                number=number, name=name, address=server.endpoint.address, port=server.endpoint.port, data=server.data, binaries=BINARIES, log=server.log,
                file=self._file(name), failover="manual"), encoding="utf-8")
            server.log.touch()
            subprocess.run(["chown", f"{NOBODY}:{NOBODY}", str(server.log)], check=True)
        self.repmgr("db1", "primary", "register")
        self.repmgr("db2", "standby", "register")
        self.wait_for_roles("db1")
