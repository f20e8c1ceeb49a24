# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue and green behind two real HAProxy: a cutover and a return under load, and what a reload makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.map import HaproxyMap
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.route import Request, Rerouting, RouteError, sides_of
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.by_ansible import ansible
from integration.haproxy.real_pool import CELLAR, Client, load, until
from integration.haproxy.real_processes import RealProcesses

RELEASES = {"blue": "1.0.0", "green": "2.0.0"}
MEMBERS = {f"{pool}{number}": pool for pool in RELEASES for number in (1, 2)}
CUTOVERS = 10
CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/{name}.sock level admin
defaults
  mode http
  option idle-close-on-response
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout check 5s
  default-server check inter 200ms fall 2 rise 2
frontend users
  bind {front}
  use_backend %[str(active),map({folder}/{name}/active.map,blue)]
"""


class BlueGreen(RealProcesses):
    """Two load balancers, each with a map of its own, and two members of each pool."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.fronts = {name: ports.endpoint(f"127.0.0.{number}") for name, number in (("lb1", 96), ("lb2", 97))}
        self.endpoints = {name: ports.endpoint(f"127.0.0.{number}") for number, name in enumerate(MEMBERS, start=91)}
        self.balancers = {name: Haproxy(name, f"unix:{folder}/{name}.sock") for name in self.fronts}

    def start(self) -> None:
        for name, endpoint in self.endpoints.items():
            self.spawn_member(name, endpoint, RELEASES[MEMBERS[name]])
        pools = "".join(f"backend {pool}\n  option httpchk GET /healthz\n  cookie {pool.upper()} insert indirect nocache\n"
                        + "".join(f"  server {name} {endpoint} cookie {name}\n" for name, endpoint in self.endpoints.items() if MEMBERS[name] == pool)
                        for pool in RELEASES)
        for name, front in self.fronts.items():
            self.map(name).parent.mkdir()
            self.map(name).write_text("# who serves\nactive blue\n", encoding="utf-8")
            configuration = self.folder / f"{name}.cfg"
            configuration.write_text(CONFIGURATION.format(folder=self.folder, name=name, front=front) + pools, encoding="utf-8")
            self.spawn(name, [*find_binary(configuration, CELLAR), "-W", "-f", str(configuration)])
        until(lambda: all(self.live(name, pool) == 2 for name in self.fronts for pool in RELEASES))

    def map(self, name: str) -> Path:
        return self.folder / name / "active.map"

    def live(self, name: str, pool: str) -> int:
        try:
            return self.balancers[name].read(pool).backends[pool].live
        except LoadBalancerError:
            return 0

    def go(self, pool: str, is_kept: bool = True, **options):
        return Rerouting(sides_of(list(self.balancers.values()), "active.map", is_kept), Request("active", pool, **options)).apply()

    def reload(self, name: str) -> None:
        """And wait until another worker answers, with its checks done."""
        def worker() -> str:
            return next((line for line in self.balancers[name].ask("show info").splitlines() if line.startswith("Pid:")), "")
        before = worker()
        self.signal_reload(name)
        until(lambda: self.live(name, "blue") == 2 and self.live(name, "green") == 2 and worker() != before)

    def crowd(self) -> list[Client]:
        return [Client(self.fronts[name], sticky=sticky, pause=0.01) for name in self.fronts for sticky in (True, True, False, False)]


@pytest.fixture(name="service")
def _service(tmp_path_factory):
    # The paths of sockets are short.
    with BlueGreen(tmp_path_factory.mktemp("bg")) as service:
        yield service


def changes_of_release(client: Client) -> list[str]:
    """The releases that a client saw, each run of the same as one."""
    releases = [release for _when, _who, release in client.answers]
    return [release for number, release in enumerate(releases) if number == 0 or releases[number - 1] != release]


def test_cutovers_and_returns_lose_nothing_and_mix_nothing(service):
    clients = service.crowd()
    with load(*clients):
        for number in range(CUTOVERS):
            seen = [len(client.answers) for client in clients]
            pool = ("green", "blue")[number % 2]
            result = service.go(pool, min_live=2, drain_wait=60)
            assert result.changed and all(proof["after"] == pool and proof["sessions_before"] == 0 for proof in result.proof.values())
            until(lambda seen=seen, release=RELEASES[pool]: all(len(client.answers) > before + 2 and client.answers[-1][2] == release
                                                                for client, before in zip(clients, seen, strict=True)))
    wanted = ["1.0.0", *[RELEASES[("green", "blue")[number % 2]] for number in range(CUTOVERS)]]
    assert [changes_of_release(client) for client in clients] == [wanted] * len(clients)
    assert sum(len(client.answers) for client in clients) >= 3 * CUTOVERS * len(clients)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_reload_keeps_the_route_that_the_file_has(service, is_kept):
    """Trap 8: without the file everybody is back on blue."""
    service.go("green", is_kept=is_kept)
    for name in service.fronts:
        service.reload(name)
    routes = {name: HaproxyMap(balancer, "active.map", False).route("active") for name, balancer in service.balancers.items()}
    assert set(routes.values()) == {"green" if is_kept else "blue"}
    assert service.go("green").changed is not is_kept


def test_a_pool_whose_members_are_gone_gets_nobody(service):
    for name in ("green1", "green2"):
        service.processes[name].kill()
    until(lambda: all(service.live(name, "green") == 0 for name in service.fronts))
    with pytest.raises(RouteError, match=r"green has 0 live members on lb1, and 1 are required. Nothing was changed"):
        service.go("green")
    with pytest.raises(LoadBalancerError, match="has no backend 'red': it has blue, green"):
        service.go("red")
    assert all(service.map(name).read_text(encoding="utf-8").endswith("active blue\n") for name in service.fronts)


def test_traffic_route_by_ansible(service):
    specs = [{"name": name, "endpoint": f"unix:{service.folder}/{name}.sock"} for name in service.fronts]
    to_green = {"load_balancers": specs, "map": "active.map", "key": "active", "backend": "green"}

    def kept():
        return {HaproxyMap(balancer, "active.map", True).kept("active") for balancer in service.balancers.values()}

    status, foreseen, _shown = ansible("traffic_route", "--check", **to_green)
    assert status == 0 and foreseen["changed"] and kept() == {"blue"}
    status, result, shown = ansible("traffic_route", "--diff", **to_green)
    assert status == 0 and result["changed"] and shown.count('+    "lb1": "green"') == 1, shown
    assert result["proof"]["lb2"] == {"before": "blue", "after": "green", "map": str(service.map("lb2")), "live": 2, "sessions_before": 0}
    assert kept() == {"green"}
    status, again, _shown = ansible("traffic_route", **to_green)
    assert status == 0 and again["changed"] is False
    status, failed, _shown = ansible("traffic_route", **{**to_green, "backend": "red"})
    assert status != 0 and failed["msg"].endswith("has no backend 'red': it has blue, green")
