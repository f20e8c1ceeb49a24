# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary, its standby and a PgBouncer in front of them, all real; and clients whose lost writes, errors and waits are counted."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer import PgBouncer
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer_file import Server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.node import Node
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.planned import Switchover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits
from fleet import postgresctl, processes
from fleet.pooler import Pooler, find_binary
from fleet.ports import Endpoint, Ports
from fleet.postgres import OWNER, Postgres, open_binaries, remove_interlock, running
from fleet.processes import Process

CELLAR = Path(__file__).resolve().parents[3] / "build" / "cache" / "pgbouncer"
DATABASE = "tenant_a"
WAIT_SECONDS = 30
# More than a pooler's server_login_retry and its maintenance take together: until then it refuses clients, because their server refused it.
LOGIN_RETRY_SECONDS = 2.0
NAMES = ("db1", "db2")


class Pair:
    """The processes; as a context manager they run inside the block. `db1` is the primary at first.

    :param poolers: how many PgBouncers there are, each in a folder of its own: `pooler`, `pooler2` and so on.
    """

    def __init__(self, folder: Path, poolers: int = 1) -> None:
        ports = Ports()
        binaries = open_binaries()
        self.folder = folder
        self.servers = {name: Postgres(binaries, folder / name, ports.endpoint(f"127.0.0.{60 + number}"), folder / f"{name}.log")
                        for number, name in enumerate(NAMES)}
        names = ["pooler", *(f"pooler{number}" for number in range(2, poolers + 1))]
        self.all_poolers = {name: Pooler(find_binary(CELLAR), folder / name, ports.endpoint(f"127.0.0.{65 + number}"), folder / f"{name}.log")
                            for number, name in enumerate(names)}
        self.pooler = self.all_poolers["pooler"]
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Pair:
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()

    def end(self) -> None:
        restarted = [server for one in self.servers.values() if (server := running(one.directory))]
        processes.end([*self.processes.values(), *restarted], first_signal=signal.SIGINT)
        for server in self.servers.values():
            remove_interlock(server.directory)

    def restart_by_itself(self, name: str, *guard: str) -> bool:
        """What a service manager does with a server that died: asks the guard if there is one, then starts it as it was. Whether the guard let it."""
        if guard and subprocess.run(guard, check=False, capture_output=True, timeout=WAIT_SECONDS).returncode:
            return False
        self.start_server(name)
        return True

    def start_server(self, name: str) -> None:
        postgresctl.write(self.servers[name])
        self.processes[name] = self.servers[name].start()
        self.servers[name].wait_ready(self.processes[name])

    def start_pooler(self, name: str = "pooler") -> None:
        self.processes[name] = self.all_poolers[name].start()
        self.all_poolers[name].wait_ready(self.processes[name])

    def kill(self, name: str) -> None:
        processes.end([self.processes[name]], first_signal=signal.SIGKILL)

    def node(self, name: str) -> Node:
        return node_at(name, self.servers[name].endpoint)

    def poolers(self) -> list[PgBouncer]:
        return [pooler_at(self.pooler.endpoint, str(self.pooler.databases))]

    def switchover(self, old: str = "db1", new: str = "db2", **limits) -> Switchover:
        return Switchover(self.node(old), self.node(new), self.poolers(), Limits(**limits))

    def session(self, name: str, database: str = DATABASE) -> psycopg.Connection:
        """With a server itself, or with a pooler."""
        endpoint = {**self.all_poolers, **self.servers}[name].endpoint
        return psycopg.connect(host=endpoint.address, port=endpoint.port, user=OWNER, dbname=database, autocommit=True, prepare_threshold=None,
                               sslmode="disable", gssencmode="disable")

    def value(self, name: str, statement: str):
        with self.session(name) as session:
            return session.execute(statement).fetchone()[0]

    def wait_streaming(self, primary: str = "db1") -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if self.value(primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"):
                return
            time.sleep(0.05)
        raise AssertionError("no standby streams")

    def be_synchronous(self, names: str = "db2", count: int = 1) -> None:
        """Have db1 acknowledge nothing that db2 does not have; every server has the same setting, as those of a cluster do."""
        for name in self.servers:
            with self.node(name).opened() as node:
                node.configure("synchronous_standby_names", names)
        deadline = time.monotonic() + WAIT_SECONDS
        while self.value("db1", "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')") != count:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def node_is_fenced(self, name: str) -> bool:
        with self.node(name).opened() as node:
            return node.is_fenced()

    def _complete(self, server: Postgres) -> None:
        """What else the first server has, from its beginning."""

    def _start(self) -> None:
        first, second = NAMES
        self.servers[first].create()
        self._complete(self.servers[first])
        self.start_server(first)
        self.servers[first].fill()
        with self.session(first) as session:
            session.execute("CREATE TABLE acknowledged (client integer, number integer, PRIMARY KEY (client, number))")
        self.servers[second].create_standby(self.servers[first].endpoint, second)
        self.start_server(second)
        for name, pooler in self.all_poolers.items():
            pooler.create(self.servers[first].endpoint)
            self.start_pooler(name)
        self.wait_streaming()


def node_at(name: str, endpoint: Endpoint) -> Node:
    """A server as the module drives it."""
    return Node(name, Login(host=endpoint.address, port=endpoint.port, user=OWNER, ssl_mode="disable"), Server(endpoint.address, str(endpoint.port)))


def pooler_at(endpoint: Endpoint, databases: str, name: str = "pooler") -> PgBouncer:
    """A pooler as the module drives it."""
    return PgBouncer(name, Login(host=endpoint.address, port=endpoint.port, user=OWNER, ssl_mode="disable"), databases)


@dataclass
class Load:
    """Clients through the pooler, at a rate of statements a second, each counted from the moment it was scheduled for: half of them write.

    :param first_client: their first number, where another load writes too.
    """

    endpoint: Endpoint
    clients: int = 20
    rate: float = 300.0
    first_client: int = 0
    acknowledged: set = field(default_factory=set)
    # The moments of these, by the steady clock.
    written_at: list = field(default_factory=list)
    waits_ms: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    read_errors: list = field(default_factory=list)
    # The moments at which the statements that failed were begun, by the steady clock.
    failed_at: list = field(default_factory=list)

    def failed_since(self, moment: float) -> int:
        """How many statements failed that were begun so late behind a moment that each pooler has tried its server again; writes of a second are waited for."""
        tried = moment + LOGIN_RETRY_SECONDS
        assert wait_for(lambda: bool(self.written_at) and self.written_at[-1] > tried + 1, WAIT_SECONDS, 0.05)
        return sum(began > tried for began in self.failed_at)

    async def run(self, over: asyncio.Event) -> None:
        began = time.monotonic()
        await asyncio.gather(*(self._client(number, began, over) for number in range(self.clients)))

    async def _client(self, client: int, began: float, over: asyncio.Event) -> None:
        connection, number, interval = None, 0, self.clients / self.rate
        while not over.is_set():
            due = began + (number + client / self.clients) * interval
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            began_at = time.monotonic()
            try:
                if connection is None or connection.closed:
                    connection = await self._connect()
                await self._statement(connection, self.first_client + client, number)
            except psycopg.Error as error:
                (self.errors if number % 2 else self.read_errors).append(str(error).strip())
                self.failed_at.append(began_at)
                if connection is not None:
                    await connection.close()
                connection = None
            self.waits_ms.append((time.monotonic() - due) * 1000)
            number += 1
        if connection is not None:
            await connection.close()

    async def _statement(self, connection: psycopg.AsyncConnection, client: int, number: int) -> None:
        if number % 2:
            await connection.execute("INSERT INTO acknowledged VALUES (%s, %s)", (client, number))
            self.acknowledged.add((client, number))
            self.written_at.append(time.monotonic())
        else:
            await connection.execute("SELECT count(*) FROM products")

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            host=self.endpoint.address, port=self.endpoint.port, user=OWNER, dbname=DATABASE, autocommit=True, prepare_threshold=None,
            sslmode="disable", gssencmode="disable")


class Loading:
    """Has a load run in a thread while the block does, from its first writes on, and for a moment longer: until as many are acknowledged as tell something."""

    def __init__(self, load: Load, steady_seconds: float = 1.0, enough: int = 110) -> None:
        self.load, self.steady_seconds, self.enough = load, steady_seconds, enough
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(load.run(self._over)), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        time.sleep(self.steady_seconds)
        self._wait_for_writes(1)
        return self.load

    def __exit__(self, *exception: object) -> None:
        time.sleep(self.steady_seconds)
        if exception[0] is None:
            self._wait_for_writes(self.enough)
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(60)
        self._loop.close()

    def _wait_for_writes(self, count: int) -> None:
        """The test says what it needs: this only gives a busy machine the time for it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.load.acknowledged) < count and time.monotonic() < deadline:
            time.sleep(0.05)


def lost(pair: Pair, load: Load, server: str) -> set:
    """What was acknowledged and is not there."""
    with pair.session(server) as session:
        return load.acknowledged - {tuple(row) for row in session.execute("SELECT client, number FROM acknowledged").fetchall()}


def wait_writable(pair: Pair, pooler: str = "pooler") -> str:
    """Which of the two a client of a pooler writes to, as soon as one can."""
    deadline, why = time.monotonic() + WAIT_SECONDS, None
    addresses = {(server.endpoint.address, server.endpoint.port): name for name, server in pair.servers.items()}
    while time.monotonic() < deadline:
        try:
            with pair.session(pooler) as session:
                session.execute("CREATE TABLE IF NOT EXISTS is_writable ()")
                return addresses[session.execute("SELECT host(inet_server_addr()), inet_server_port()").fetchone()]
        except psycopg.Error as error:
            why = error
            time.sleep(0.05)
    raise AssertionError(f"nobody takes writes: {why}")
