# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers that a real Patroni runs, from PyPI in a virtual environment of its own, with its own consensus (raft); and a PgBouncer in front of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psycopg
import yaml
from fleet import processes
from fleet.layout import TENANTS
from fleet.pooler import Pooler, find_binary
from fleet.ports import Ports
from fleet.postgres import NOBODY, OWNER, REPLICATOR, SWITCHOVER_RIGHTS, accepted_prefixes, open_binaries, remove_interlock, running
from integration.switchover.pair import CELLAR

VENV = Path(__file__).resolve().parents[3] / "build" / "cache" / "patroni"
PACKAGES = ("patroni[raft]==4.1.*", "psycopg[binary]")
INSTALL_SECONDS, READY_SECONDS = 300, 90
NAMES = ("node1", "node2")
USER, PASSWORD = "operator", "secret"


class PatroniError(Exception):
    """There is no Patroni, or it does not come up."""


def find_program() -> list[str]:
    """How to run Patroni; installed when it is not there yet."""
    if not (VENV / "bin" / "patroni").exists():
        partial = VENV.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            for command in ([sys.executable, "-m", "venv", str(partial)], [str(partial / "bin" / "pip"), "install", "--quiet", *PACKAGES]):
                subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            raise PatroniError(f"no Patroni is to be had here: {error}") from error
        partial.rename(VENV)
    # By the interpreter: the scripts name the folder in which they were installed.
    return [str(VENV / "bin" / "python"), "-m", "patroni"]


class Cluster:
    """The processes; as a context manager they run inside the block. `node1` leads at first."""

    def __init__(self, folder: Path) -> None:
        ports = Ports()
        self.folder, self.program, self.binaries = folder, find_program(), open_binaries()
        self.endpoints = {name: ports.endpoint(f"127.0.0.{70 + number}") for number, name in enumerate(NAMES)}
        self.apis = {name: ports.endpoint(f"127.0.0.{70 + number}") for number, name in enumerate(NAMES)}
        self._rafts = {name: ports.endpoint(f"127.0.0.{70 + number}") for number, name in enumerate(NAMES)}
        self.pooler = Pooler(find_binary(CELLAR), folder / "pooler", ports.endpoint("127.0.0.72"), folder / "pooler.log")
        self.processes: list[processes.Process] = []

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()

    def end(self) -> None:
        processes.end(self.processes, first_signal=signal.SIGTERM, grace=30)
        processes.end([server for name in NAMES if (server := running(self.folder / name))], first_signal=signal.SIGINT)
        for name in NAMES:
            remove_interlock(self.folder / name)

    def url(self, name: str) -> str:
        return f"http://{self.apis[name]}"

    def ask(self, method: str, path: str, body: object = None) -> object:
        """One request to the first node's API."""
        with urllib.request.urlopen(self._request(method, path, body), timeout=10) as answer:
            return json.loads(answer.read() or b"null") if method == "GET" else None

    def session(self, name: str, user: str = OWNER, database: str = "tenant_a") -> psycopg.Connection:
        endpoint = {**self.endpoints, "pooler": self.pooler.endpoint}[name]
        return psycopg.connect(host=endpoint.address, port=endpoint.port, user=user, dbname=database, autocommit=True, prepare_threshold=None,
                               sslmode="disable", gssencmode="disable")

    def wait_healthy(self, leader: str) -> None:
        """Wait until this one leads and the other one streams."""
        wanted = {name: ("leader", "running") if name == leader else ("replica", "streaming") for name in NAMES}
        deadline, found = time.monotonic() + READY_SECONDS, None
        while time.monotonic() < deadline:
            try:
                found = {member["name"]: (member["role"], member["state"]) for member in self.ask("GET", "/cluster")["members"]}
            except OSError as error:
                found = error
            if found == wanted:
                return
            time.sleep(0.2)
        raise PatroniError(f"the cluster is not healthy: {found}\n" + "\n".join(processes.tail(self.folder / f"{name}.log") for name in NAMES))

    def _request(self, method: str, path: str, body: object) -> urllib.request.Request:
        manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
        manager.add_password(None, self.url("node1"), USER, PASSWORD, is_authenticated=True)
        urllib.request.install_opener(urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager)))
        return urllib.request.Request(self.url("node1") + path, method=method, data=None if body is None else json.dumps(body).encode("utf-8"))

    def _start(self) -> None:
        for number, name in enumerate(NAMES):
            self._start_node(name)
            if number == 0:
                time.sleep(1)
        self.wait_healthy("node1")
        with self.session("node1", "postgres", "postgres") as session:
            for statement in (f"CREATE ROLE {OWNER} LOGIN", f"GRANT pg_monitor TO {OWNER}", *SWITCHOVER_RIGHTS,
                              *(f"CREATE DATABASE {database} OWNER {OWNER}" for database in TENANTS.values())):
                session.execute(statement)
        with self.session("node1") as session:
            session.execute("CREATE TABLE acknowledged (client integer, number integer, PRIMARY KEY (client, number)); CREATE TABLE products ()")
        self.pooler.create(self.endpoints["node1"])
        self.processes.append(self.pooler.start())
        self.pooler.wait_ready(self.processes[-1])

    def _start_node(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir(parents=True)
        (folder / "patroni.yml").write_text(yaml.safe_dump(self._configuration(name)), encoding="utf-8")
        if os.geteuid() == 0:
            for path in (folder, folder / "patroni.yml"):
                os.chown(path, NOBODY, NOBODY)
        self.processes.append(processes.launch(name, [*accepted_prefixes()[0], *self.program, str(folder / "patroni.yml")], self.folder / f"{name}.log",
                                               cwd=folder))

    def _configuration(self, name: str) -> dict:
        endpoint, folder = self.endpoints[name], self.folder / name
        return {
            "scope": "test", "name": name,
            "restapi": {"listen": str(self.apis[name]), "connect_address": str(self.apis[name]), "authentication": {"username": USER, "password": PASSWORD}},
            "raft": {"data_dir": str(folder / "raft"), "self_addr": str(self._rafts[name]),
                     "partner_addrs": [str(raft) for other, raft in self._rafts.items() if other != name]},
            "bootstrap": {"dcs": {"ttl": 30, "loop_wait": 5, "retry_timeout": 10, "postgresql": {"use_pg_rewind": True}},
                          "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"]},
            "postgresql": {
                "listen": str(endpoint), "connect_address": str(endpoint), "data_dir": str(folder / "data"), "bin_dir": str(self.binaries),
                "pgpass": str(folder / "pgpass"), "pg_hba": ["host all all 127.0.0.0/8 trust", "host replication all 127.0.0.0/8 trust"],
                "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": REPLICATOR}},
                "parameters": {"unix_socket_directories": "", "shared_buffers": "32MB", "dynamic_shared_memory_type": "mmap",
                               "wal_retrieve_retry_interval": "100ms"},
            },
        }
