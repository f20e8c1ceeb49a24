# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real HAProxy in front of four throwaway servers, and clients that count what they get."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import READY, Member
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy, HaproxyError
from fleet.haproxy import find_binary
from fleet.ports import Endpoint, Ports
from integration.haproxy.real_processes import RealProcesses

CELLAR = Path(__file__).resolve().parents[3] / "build" / "cache" / "haproxy"
BACKEND = "app"
MEMBERS = ("s1", "s2", "s3", "s4")
WAIT_SECONDS = 60

CONFIGURATION = """\
global
  nbthread 1
  stats socket {runtime} level admin
  stats maxconn 100
defaults
  mode http
  option redispatch 1
  retries 3
  option idle-close-on-response
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  # Patient with a machine that is busy with other tests: a check that starves would empty the pool.
  timeout check 5s
frontend users
  bind {front}
  default_backend {backend}
backend {backend}
  balance roundrobin
  option httpchk GET /healthz
  cookie SRV insert indirect nocache
  default-server check inter 200ms fall 2 rise 2
{servers}
  server unchecked {unchecked} disabled no-check
backend other
  option persist
"""


class Pool(RealProcesses):
    """The processes; `balancers` drive the two HAProxy, the first over TCP and the second over its UNIX socket."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self._endpoints = {name: ports.endpoint(f"127.0.0.{80 + number}") for number, name in enumerate(MEMBERS, start=1)}
        self.fronts = {"lb1": ports.endpoint("127.0.0.79"), "lb2": ports.endpoint("127.0.0.80")}
        runtime = ports.endpoint("127.0.0.79")
        self._sockets = {"lb1": f"ipv4@{runtime}", "lb2": str(folder / "lb2.sock")}
        self.specs = [{"name": "lb1", "endpoint": f"tcp://{runtime}"}, {"name": "lb2", "endpoint": f"unix:{folder / 'lb2.sock'}"}]
        self.balancers = [Haproxy(spec["name"], spec["endpoint"], answer_seconds=1.0) for spec in self.specs]

    def start(self) -> None:
        for name in MEMBERS:
            self.spawn_member(name, self._endpoints[name])
        binary = None
        for name in self.fronts:
            configuration = self._write_configuration(name)
            binary = binary or find_binary(configuration, CELLAR)
            self.spawn(name, [*binary, "-db", "-f", str(configuration)])
        until(lambda: self._are_all(lambda member: member.live))

    def start_member(self, name: str, release: str = "1.0.0") -> None:
        """It takes connections afterwards."""
        self.spawn_member(name, self._endpoints[name], release)
        until(lambda: _listens(self._endpoints[name]))

    def kill_member(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def address(self, name: str) -> str:
        return self._endpoints[name].address

    def do(self, state: str, *members: str, **options):
        return apply(self.balancers, Request(BACKEND, members, state, **options))

    def members(self) -> list[dict[str, Member]]:
        """The members as lb1 and as lb2 see them."""
        views = [balancer.read(BACKEND).backends[BACKEND].members for balancer in self.balancers]
        return [{name: view[name] for name in MEMBERS} for view in views]

    def admin(self, *names: str) -> list[list[str]]:
        return [[view[name].admin for name in names] for view in self.members()]

    def reset(self) -> None:
        """Every member alive, ready and up on both."""
        for name in MEMBERS:
            if self.processes[name].poll() is not None:
                self.start_member(name)
        for balancer in self.balancers:
            balancer.apply(BACKEND, dict.fromkeys(MEMBERS, READY))
        until(lambda: self._are_all(lambda member: member.live and member.confirmed and member.sessions == 0))

    def _are_all(self, condition: Callable[[Member], bool]) -> bool:
        try:
            return all(condition(member) for view in self.members() for member in view.values())
        except HaproxyError:
            return False

    def _write_configuration(self, name: str) -> Path:
        servers = "\n".join(f"  server {member} {endpoint} cookie {member}" for member, endpoint in self._endpoints.items())
        path = self.folder / f"{name}.cfg"
        path.write_text(
            CONFIGURATION.format(
                runtime=self._sockets[name], front=self.fronts[name], backend=BACKEND, servers=servers, unchecked=self._endpoints["s1"]
            ),
            encoding="utf-8",
        )
        return path


class Client(threading.Thread):
    """Asks for `path` again and again through one front, over one connection, until it is told to stop; without `sticky` it keeps no cookie."""

    def __init__(self, front: Endpoint, path: str = "/", sticky: bool = True, pause: float = 0.02, cookie: str | None = None) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[float, str, str]] = []  # when it was asked for, who served, which release
        self.failures: list[str] = []
        self.cookie = cookie
        self._front, self._path, self._sticky, self._pause = front, path, sticky, pause
        self._over = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._front.address, self._front.port, timeout=15)
        while not self._over.is_set():
            try:
                self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self._over.wait(self._pause)
        connection.close()

    def stop(self) -> None:
        self._over.set()
        self.join(WAIT_SECONDS)
        assert not self.is_alive()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        # When an answer is read says little on a busy machine; a request that was not sent yet has reached nobody.
        asked = time.time()
        connection.request("GET", self._path, headers={"Cookie": self.cookie} if self.cookie else {})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            self.failures.append(f"status {answer.status}")
            return
        self.answers.append((asked, answer.headers["X-Served-By"], answer.headers["X-Release"]))
        if self._sticky and answer.headers["Set-Cookie"]:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    give_up = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < give_up, f"not within {WAIT_SECONDS} s"
        time.sleep(0.02)


def total(clients: Iterable[Client]) -> int:
    """How many answers they have together."""
    return sum(len(client.answers) for client in clients)


def _listens(endpoint: Endpoint) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex((endpoint.address, endpoint.port)) == 0


@contextlib.contextmanager
def load(*clients: Client, forgiven: int = 0) -> Iterator[None]:
    """Run the clients, from the first answer of each of them on; afterwards no request has failed, or at most as many as are forgiven."""
    for client in clients:
        client.start()
    try:
        until(lambda: all(client.answers or client.failures for client in clients))
        yield
    finally:
        for client in clients:
            client.stop()
    failures = [failure for client in clients for failure in client.failures]
    assert len(failures) <= forgiven, f"{len(failures)} requests failed: {failures[:5]}"
