# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real HAProxy that refuse writes until a moment: reads go on, and writing is let in again by the clock alone."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.map import HaproxyMap
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.by_ansible import ansible
from integration.haproxy.real_pool import CELLAR, Client, load, total, until
from integration.haproxy.real_processes import RealProcesses

CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/{name}.sock level admin
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout check 5s
frontend users
  bind {front}
  http-request set-var(txn.now) date
  http-request set-var(txn.shop) str(shop),map_str_int({map},0),sub(txn.now)
  http-request set-var(txn.tenant) url_param(tenant),map_str_int({map},0),sub(txn.now)
  http-request return status 503 content-type text/plain string "read only" hdr Retry-After %[var(txn.shop)] if {{ var(txn.shop) -m int gt 0 }} \
!{{ method GET HEAD OPTIONS }}
  http-request return status 503 content-type text/plain string "read only" hdr Retry-After %[var(txn.tenant)] if {{ var(txn.tenant) -m int gt 0 }} \
!{{ method GET HEAD OPTIONS }}
  default_backend app
backend app
  option httpchk GET /healthz
  server app1 {member} check inter 200ms fall 2 rise 2
"""


class Service(RealProcesses):
    """One member behind two load balancers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.fronts = {"lb1": ports.endpoint("127.0.0.98"), "lb2": ports.endpoint("127.0.0.99")}
        self.member = ports.endpoint("127.0.0.100")
        self.balancers = {name: Haproxy(name, f"unix:{folder}/{name}.sock") for name in self.fronts}

    def start(self) -> None:
        self.spawn_member("member", self.member)
        for name, front in self.fronts.items():
            table = self.folder / name / "read_only.map"
            table.parent.mkdir()
            table.touch()
            configuration = self.folder / f"{name}.cfg"
            configuration.write_text(CONFIGURATION.format(folder=self.folder, name=name, front=front, map=table, member=self.member), encoding="utf-8")
            self.spawn(name, [*find_binary(configuration, CELLAR), "-db", "-f", str(configuration)])
        until(lambda: all(self.is_up(name) for name in self.fronts))

    def is_up(self, name: str) -> bool:
        try:
            return self.balancers[name].read("app").backends["app"].live == 1
        except LoadBalancerError:
            return False

    def answers(self, path: str = "/orders") -> list[tuple[int, str | None]]:
        """What a write gets through each load balancer: the status, and when to try again."""
        return [self._write(front, path) for front in self.fronts.values()]

    def _write(self, front, path: str) -> tuple[int, str | None]:
        connection = http.client.HTTPConnection(front.address, front.port, timeout=10)
        try:
            connection.request("POST", path, body=b"{}")
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers["Retry-After"]
        finally:
            connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[list[tuple[float, float, int]]]:
        """Writes come in all the time: when each was sent through the first load balancer, when it was answered, and the status that it got."""
        over, seen = threading.Event(), []

        def write() -> None:
            while not over.wait(0.02):
                sent = time.time()
                status = self._write(self.fronts["lb1"], "/orders")[0]
                seen.append((sent, time.time(), status))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield seen
        finally:
            over.set()
            writer.join()

    def module(self, *flags: str, **options):
        specs = [{"name": name, "endpoint": f"unix:{self.folder}/{name}.sock"} for name in self.fronts]
        return ansible("traffic_read_only", *flags, load_balancers=specs, map="read_only.map", **{"key": "shop", **options})


@pytest.fixture(name="service", scope="module")
def _service(tmp_path_factory):
    with Service(tmp_path_factory.mktemp("ro")) as service:
        yield service


def test_reads_go_on_while_writes_are_refused_politely(service):
    clients = [Client(front, path="/products", pause=0.01) for front in service.fronts.values()]
    with load(*clients):
        assert service.answers() == [(200, None)] * 2
        status, foreseen, _shown = service.module("--check", seconds=60)
        assert status == 0 and foreseen["changed"] and service.answers() == [(200, None)] * 2
        status, result, _shown = service.module(seconds=60)
        assert status == 0, result
        assert result["changed"] and 0 < result["until"] - time.time() <= 61
        refused = service.answers()
        assert [code for code, _after in refused] == [503, 503] and all(0 < int(after) <= 60 for _code, after in refused)
        status, result, _shown = service.module(state="open")
        assert status == 0 and result["changed"] and service.answers() == [(200, None)] * 2
        status, again, _shown = service.module(state="open")
        assert status == 0 and again["changed"] is False
        until(lambda: total(clients) > 100)


def test_writing_is_let_in_again_by_the_clock_alone(service):
    with service.writing() as seen:
        status, result, _shown = service.module(seconds=3)
        assert status == 0, result
        until(lambda: time.time() > result["until"] and service.answers() == [(200, None)] * 2 and seen[-1][0] > result["until"])
    first = min(sent for sent, _answered, code in seen if code == 503)
    assert {code for sent, _answered, code in seen if sent >= result["until"]} == {200}
    # HAProxy counts whole seconds.
    assert {code for sent, answered, code in seen if first <= sent and answered < result["until"] - 1} == {503}
    status, opened, _shown = service.module(state="open")
    assert status == 0 and opened["changed"] is False, "the moment has passed: nothing is to be done"


def test_one_tenant_reads_only_and_the_others_write(service):
    status, _result, _shown = service.module(key="a", seconds=60)
    assert status == 0
    assert [code for code, _after in service.answers("/orders?tenant=a")] == [503, 503]
    assert service.answers("/orders?tenant=b") == [(200, None)] * 2
    assert all(HaproxyMap(balancer, "read_only.map", True).kept("a") == HaproxyMap(balancer, "read_only.map", True).route("a")
               for balancer in service.balancers.values())
    assert service.module(key="a", state="open")[1]["changed"] and service.answers("/orders?tenant=a") == [(200, None)] * 2


def test_bad_input_is_refused_before_anything_is_changed(service):
    status, result, _shown = service.module(seconds=0)
    assert status != 0 and "seconds is 0: it must be at least 1" in result["msg"]
    status, result, _shown = service.module(key="a;b", seconds=5)
    assert status != 0 and "cannot have 'a;b' in its map" in result["msg"]
    assert service.answers() == [(200, None)] * 2
