# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PgBouncer in front of the fleet's databases: clients talk to it, and it says where the databases are."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

import psycopg

from fleet import debian, processes
from fleet.layout import TENANTS
from fleet.ports import Endpoint
from fleet.postgres import APPLICATION, NOBODY, OWNER, accepted_prefixes
from fleet.processes import Process

READY_SECONDS = 60
# Debian's place, which an ordinary user's PATH does not have.
SYSTEM = "/usr/sbin/pgbouncer"
CONFIGURATION = """\
[databases]
%include {databases}
[pgbouncer]
listen_addr = {endpoint.address}
listen_port = {endpoint.port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = {owner}
pool_mode = transaction
max_client_conn = 400
default_pool_size = 10
ignore_startup_parameters = extra_float_digits,options
# A server that comes back, or another one, is tried at once.
server_login_retry = 0.2
server_fast_close = 1
log_connections = 0
log_disconnections = 0
"""


class PoolerError(Exception):
    """There is no usable PgBouncer, or it does not come up."""


def find_binary(cellar: Path) -> list[str]:
    """How to run PgBouncer: the system's, else Debian's package unpacked into `cellar`."""
    installed = shutil.which("pgbouncer") or (SYSTEM if os.access(SYSTEM, os.X_OK) else None)
    if installed:
        return [installed]
    cellar.parent.mkdir(parents=True, exist_ok=True)
    with open(cellar.with_suffix(".lock"), "wb") as lock:
        # Several tests may want it at once: it is there as a whole, or not yet.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cellar.exists():
            _unpack(cellar)
    return debian.command(cellar / "root", "usr/sbin/pgbouncer")


def _unpack(cellar: Path) -> None:
    partial = cellar.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if debian.unpack("pgbouncer", partial) is None:
        raise PoolerError("no PgBouncer found: apt-get install pgbouncer (its service need not run)")
    partial.rename(cellar)


def _works(command: list[str]) -> bool:
    return subprocess.run([*command, "--version"], capture_output=True, check=False).returncode == 0


class Pooler:
    """One PgBouncer in `directory`, listening at `endpoint`; its file `databases` says where they are."""

    def __init__(self, command: list[str], directory: Path, endpoint: Endpoint, log: Path) -> None:
        self.command, self.directory, self.endpoint, self.log = command, directory, endpoint, log
        self.databases = directory / "databases.ini"

    def create(self, database: Endpoint) -> None:
        """Write its files: everybody is sent to this server."""
        self.directory.mkdir(parents=True, exist_ok=True)
        users = self.directory / "users.txt"
        users.write_text("".join(f'"{name}" ""\n' for name in (OWNER, APPLICATION)), encoding="ascii")
        self.databases.write_text("".join(f"{name} = host={database.address} port={database.port}\n" for name in (*TENANTS.values(), "postgres")), "ascii")
        text = CONFIGURATION.format(databases=self.databases, users=users, owner=OWNER, endpoint=self.endpoint)
        (self.directory / "pgbouncer.ini").write_text(text, encoding="utf-8")
        if os.geteuid() == 0:
            for path in (self.directory, *self.directory.iterdir()):
                os.chown(path, NOBODY, NOBODY)

    def start(self) -> Process:
        """Start it; `wait_ready` says when it can be used."""
        command = [*self.command, "--quiet", str(self.directory / "pgbouncer.ini")]
        prefix = next(way for way in accepted_prefixes() if _works([*way, *self.command]))
        return processes.launch("pooler", [*prefix, *command], self.log, cwd=self.directory)

    def wait_ready(self, process: Process) -> None:
        """Wait until its console answers."""
        deadline = time.monotonic() + READY_SECONDS
        while process.is_alive and time.monotonic() < deadline:
            try:
                psycopg.connect(host=self.endpoint.address, port=self.endpoint.port, user=OWNER, dbname="pgbouncer", autocommit=True).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise PoolerError(f"PgBouncer at {self.endpoint} is not ready; its log {self.log} ends with:\n{processes.tail(self.log)}")
