# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second HAProxy beside the one that is driven, on the same port (SO_REUSEPORT): it takes every other connection, and nobody has drained there."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import open_load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply, dry_run
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, READY, LoadBalancerError
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.haproxy.real_pool import CELLAR, Client, load, until
from integration.haproxy.real_processes import RealProcesses

MEMBERS = ("s1", "s2")
CONFIGURATION = """\
global
  nbthread 2
  stats socket {folder}/{name}.sock level admin
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend users
  bind {front} shards by-thread
  default_backend app
backend app
  option httpchk GET /healthz
  default-server check inter 200ms fall 2 rise 2
  server s1 {s1}
  server s2 {s2}
"""


class Shared(RealProcesses):
    """lb1 has a master process; lb2 is begun and ended by the tests."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.endpoints = {name: ports.endpoint(f"127.0.0.{111 + number}") for number, name in enumerate(MEMBERS)}
        self.front = ports.endpoint("127.0.0.110")
        self.specs = [{"name": name, "endpoint": f"unix:{folder}/{name}.sock"} for name in ("lb1", "lb2")]

    def start(self) -> None:
        for name, endpoint in self.endpoints.items():
            self.spawn_member(name, endpoint)
        self.begin("lb1", "-W", "-S", str(self.folder / "master.sock"))

    @contextlib.contextmanager
    def beside(self):
        self.begin("lb2")
        try:
            yield self.processes["lb2"].pid
        finally:
            process = self.processes.pop("lb2")
            process.terminate()
            process.wait(20)

    def begin(self, name: str, *options: str) -> None:
        configuration = self.folder / f"{name}.cfg"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, name=name, front=self.front, **self.endpoints), encoding="utf-8")
        self.spawn(name, [*find_binary(configuration, CELLAR), *options, "-db", "-f", str(configuration)])
        until(lambda: self._is_whole(name))

    def pool(self, name: str):
        balancer, = open_load_balancers([spec for spec in self.specs if spec["name"] == name])
        return balancer.read("app").backends["app"]

    def _is_whole(self, name: str) -> bool:
        try:
            return self.pool(name).live == len(MEMBERS)
        except LoadBalancerError:
            return False

    def do(self, state: str, names: tuple[str, ...]):
        return apply(open_load_balancers([spec for spec in self.specs if spec["name"] in names]), Request("app", ("s1",), state, timeout=5))


@pytest.fixture(scope="module", name="house")
def _house(tmp_path_factory):
    with Shared(tmp_path_factory.mktemp("shared")) as house:
        yield house


def test_a_second_one_on_the_same_port_is_refused_until_it_is_driven_too(house):
    with house.beside() as pid:
        with pytest.raises(TrafficError, match=rf"no drain of app can be proven. lb1: another process \(haproxy {pid}\) listens at {house.front}, too, .*"
                                               "end it, or make it a load balancer of its own"):
            house.do("drained", ("lb1",))
        assert house.pool("lb1").members["s1"].admin == READY
        both = house.do("drained", ("lb1", "lb2"))
        assert both.after == {"lb1": {"s1": MAINT}, "lb2": {"s1": MAINT}}
        clients = [Client(house.front, sticky=False) for _number in range(6)]
        with load(*clients):
            time.sleep(0.3)
        assert {address for client in clients for _when, address, _release in client.answers} == {house.endpoints["s2"].address}
        assert house.do("ready", ("lb1",)).changed, "one that comes back is let in"


def test_a_master_that_reloads_has_no_port_but_its_own(house):
    """Its workers of before and after listen for a moment beside one another."""
    balancers = open_load_balancers(house.specs[:1])
    for _reload in range(3):
        before = balancers[0].read("app").process
        house.signal_reload("lb1")
        until(lambda before=before: not dry_run(balancers, Request("app", ("s1",), "drained")).warnings and balancers[0].read("app").process != before)
    assert house.do("drained", ("lb1",)).changed and house.pool("lb1").refusals == ()
    house.do("ready", ("lb1",))
