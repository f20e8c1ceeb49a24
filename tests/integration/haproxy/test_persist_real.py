# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bound clients that HAProxy lets into maintenance: `option persist` that its file no longer has, and `force-persist`. What comes is counted, and refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, READY, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.haproxy.real_pool import CELLAR, Client, load, until
from integration.haproxy.real_processes import RealProcesses

MEMBERS = ("s1", "s2")
BACKENDS = {"plain": "", "persisting": "option persist", "forcing": "force-persist if TRUE"}
CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/runtime level admin
  stats socket ipv4@{runtime} level admin
defaults
  mode http
  option redispatch 1
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend users
  bind {front}
  use_backend %[path,field(2,/)]
"""
BACKEND = """\
backend {name}
  {rule}
  option httpchk GET /healthz
  cookie SRV insert indirect nocache
  default-server check inter 100ms fall 2 rise 2
  server s1 {s1} cookie s1
  server s2 {s2} cookie s2
"""


class Persisting(RealProcesses):
    """A pool of each kind, over the same two members. The file says nothing of `option persist` as soon as HAProxy has read it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.endpoints = {name: ports.endpoint(f"127.0.0.{107 + number}") for number, name in enumerate(MEMBERS)}
        self.front, runtime = ports.endpoint("127.0.0.106"), ports.endpoint("127.0.0.106")
        self._ways = {"unix": f"unix:{folder}/runtime", "tcp": f"tcp://{runtime}"}
        self._head = CONFIGURATION.format(folder=folder, front=self.front, runtime=runtime)

    def start(self) -> None:
        for name, endpoint in self.endpoints.items():
            self.spawn_member(name, endpoint)
        configuration = self.folder / "haproxy.cfg"
        text = self._head + "".join(BACKEND.format(name=name, rule=rule, **self.endpoints) for name, rule in BACKENDS.items())
        configuration.write_text(text, encoding="utf-8")
        self.spawn("lb", [*find_binary(configuration, CELLAR), "-db", "-f", str(configuration)])
        until(self._is_whole)
        configuration.write_text(text.replace("option persist", ""), encoding="utf-8")

    def _is_whole(self) -> bool:
        try:
            return all(pool.live == len(MEMBERS) for pool in self.driven().read().backends.values())
        except LoadBalancerError:
            return False

    def driven(self, way: str = "unix") -> Haproxy:
        """As another run sees it, which reads the files again."""
        return Haproxy("lb", self._ways[way])

    def client(self, backend: str) -> Client:
        """One that keeps its connection and is bound to the member that is drained."""
        return Client(self.front, f"/{backend}/", cookie="SRV=s1")

    def admin(self, backend: str) -> str:
        return self.driven().read(backend).backends[backend].members["s1"].admin


@pytest.fixture(scope="module", name="house")
def _house(tmp_path_factory):
    with Persisting(tmp_path_factory.mktemp("persist")) as house:
        yield house


@pytest.mark.parametrize(("backend", "way"), [("persisting", "unix"), ("persisting", "tcp"), ("forcing", "unix")])
def test_a_member_that_bound_clients_reach_in_maintenance_is_refused(house, backend, way):
    """The files are read where HAProxy is this host's, and do not tell: what it counts does."""
    client = house.client(backend)
    with load(client), pytest.raises(TrafficError) as failure:
        apply([house.driven(way)], Request(backend, ("s1",), "drained", timeout=3))
    reported = re.search(rf"{backend}/s1 was given (\d+) more sessions on lb after it was set to maintenance: .*option persist and force-persist out of the "
                         r"backend .*reload HAProxy\. The previous state was restored on lb", str(failure.value))
    assert reported and int(reported[1]) > 0 and house.admin(backend) == READY
    assert {address for _when, address, _release in client.answers} == {house.endpoints["s1"].address}, "it was served by it all the time"


def test_a_member_that_they_do_not_reach_is_proven_within_a_second_more(house):
    """Clients that keep their connections are sent to the other one, and checks are no arrivals."""
    bound, free = house.client("plain"), Client(house.front, "/plain/", sticky=False)
    with load(bound, free):
        done = apply([house.driven()], Request("plain", ("s1",), "drained", timeout=30))
        assert house.admin("plain") == MAINT and done.warnings == ()
        last = max(when for when, address, _release in bound.answers + free.answers if address == house.endpoints["s1"].address)
    # Where something had come meanwhile, it would be watched for five seconds. The bound leaves room for a busy machine.
    assert done.finished - last < 4, "what HAProxy counts was watched for a second behind the last request"
    apply([house.driven()], Request("plain", ("s1",), "ready", timeout=30))
