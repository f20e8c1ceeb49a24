# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many members are driven at once while HAProxy is reloaded again and again, with the ten places for sessions that it has by default."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, READY, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.haproxy.answering import Answering
from integration.haproxy.real_pool import CELLAR, Client, load, until
from integration.haproxy.real_processes import RealProcesses

MEMBERS = tuple(f"s{number}" for number in range(1, 31))
WINDOW, ROUNDS = 24, 4
RELOAD_EVERY_SECONDS = 0.4
CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/runtime level admin
  server-state-file {folder}/state
defaults
  mode http
  option redispatch 1
  retries 3
  option idle-close-on-response
  load-server-state-from-file global
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout check 5s
frontend users
  bind {front}
  default_backend app
backend app
  balance roundrobin
  option httpchk GET /healthz
  default-server check inter 300ms fall 2 rise 1
{servers}
"""


class Crowded(RealProcesses):
    """One HAProxy in front of thirty servers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.front = ports.endpoint("127.0.0.78")
        self.endpoints = {name: ports.endpoint(f"127.0.2.{number}") for number, name in enumerate(MEMBERS, start=1)}
        self.worker = f"unix:{folder}/runtime"

    def driven(self) -> Haproxy:
        return Haproxy("lb", self.worker, f"unix:{self.folder}/master", str(self.folder / "state"))

    def start(self) -> None:
        servers = "\n".join(f"  server {name} {endpoint}" for name, endpoint in self.endpoints.items())
        (self.folder / "state").write_text("1\n", encoding="ascii")
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, front=self.front, servers=servers), encoding="utf-8")
        self.spawn("lb", [*find_binary(configuration, CELLAR), "-W", "-S", f"{self.folder}/master", "-f", str(configuration)])
        until(self._is_whole)

    def _is_whole(self) -> bool:
        try:
            return self.driven().read("app").backends["app"].live == len(MEMBERS)
        except LoadBalancerError:
            return False

    @contextlib.contextmanager
    def reloading(self):
        over, reloads = threading.Event(), []

        def reload() -> None:
            while not over.wait(RELOAD_EVERY_SECONDS):
                self.signal_reload("lb")
                reloads.append(1)

        thread = threading.Thread(target=reload, daemon=True)
        thread.start()
        try:
            yield reloads
        finally:
            over.set()
            thread.join()


@pytest.fixture
def crowded(tmp_path_factory):
    # The paths of sockets are short.
    balancer = Crowded(tmp_path_factory.mktemp("lb"))
    with Answering(balancer.endpoints), balancer:
        yield balancer


def test_no_read_is_lost_to_a_reload_and_no_change_either(crowded):
    """Each of them goes out and comes back; what a reload has lost is asked for again."""
    def through(name: str) -> str:
        apply([crowded.driven()], Request("app", (name,), "drained", timeout=60))
        out = crowded.driven().read("app").backends["app"].members[name].admin
        apply([crowded.driven()], Request("app", (name,), "ready", timeout=60))
        return out

    users = [Client(crowded.front) for _number in range(4)]
    with load(*users), crowded.reloading() as reloads, ThreadPoolExecutor(WINDOW) as window:
        outcomes = [out for _round in range(ROUNDS) for out in window.map(through, MEMBERS[:WINDOW])]
    assert outcomes == [MAINT] * WINDOW * ROUNDS and len(reloads) > 5
    until(lambda: {member.admin for member in crowded.driven().read("app").backends["app"].members.values()} == {READY})


def test_sessions_that_others_leave_open_are_waited_for(crowded):
    """Ten that do nothing take all places, until HAProxy ends them: `stats timeout`, 10 s."""
    with contextlib.ExitStack() as idle:
        for _number in range(10):
            idle.enter_context(socket.socket(socket.AF_UNIX)).connect(crowded.worker[len("unix:"):])
        assert crowded.driven().read("app").backends["app"].live == len(MEMBERS)
