# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A load balancer is reloaded in the middle of a drain: the old worker's requests count, and nobody comes back into traffic by it."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DRAIN, MAINT, READY, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.haproxy.real_pool import CELLAR, until
from integration.haproxy.real_processes import RealProcesses

MEMBERS = ("s1", "s2")
# Long enough for a reload on a busy machine to fall into it.
SLOW_MS = 8000
CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/runtime level admin
  server-state-file {folder}/state
defaults
  mode http
  option idle-close-on-response
  load-server-state-from-file global
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend users
  bind {front}
  default_backend app
backend app
  balance roundrobin
  option httpchk GET /healthz
  default-server check inter 200ms fall 2 rise 2
{servers}
"""


class Reloadable(RealProcesses):
    """HAProxy with a master process in front of two servers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.front = ports.endpoint("127.0.0.78")
        self.endpoints = {name: ports.endpoint(f"127.0.0.{85 + number}") for number, name in enumerate(MEMBERS)}
        self.endpoint, self.master_endpoint, self.state_file = f"unix:{folder}/runtime", f"unix:{folder}/master", str(folder / "state")
        self.full = Haproxy("lb", self.endpoint, self.master_endpoint, self.state_file)

    def start(self) -> None:
        for name, endpoint in self.endpoints.items():
            self.spawn_member(name, endpoint)
        servers = "\n".join(f"  server {name} {endpoint}" for name, endpoint in self.endpoints.items())
        Path(self.state_file).write_text("1\n", encoding="ascii")
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, front=self.front, servers=servers), encoding="utf-8")
        self.spawn("lb", [*find_binary(configuration, CELLAR), "-W", "-S", f"{self.folder}/master", "-f", str(configuration)])
        until(self._is_whole)

    def _is_whole(self) -> bool:
        try:
            return self.full.read("app").backends["app"].live == len(MEMBERS)
        except LoadBalancerError:
            return False

    def reload(self) -> None:
        """And wait until another worker answers."""
        before = self._worker()
        self.signal_reload("lb")
        until(lambda: self._worker() not in (None, before))

    def _worker(self) -> str | None:
        try:
            return next(line for line in self.full.ask("show info").splitlines() if line.startswith("Pid:"))
        except LoadBalancerError:
            return None


class SlowRequest(threading.Thread):
    """One user whose answer takes its time."""

    def __init__(self, front) -> None:
        super().__init__(daemon=True)
        self.url, self.status = f"http://{front}/slow?ms={SLOW_MS}", None

    def run(self) -> None:
        try:
            with urllib.request.urlopen(self.url, timeout=60) as answer:
                self.status = answer.status
        except urllib.error.HTTPError as error:
            self.status = error.code


@pytest.fixture
def balancer(tmp_path_factory):
    # The paths of sockets are short.
    with Reloadable(tmp_path_factory.mktemp("lb")) as made:
        yield made


def member(view, name):
    return view.backends["app"].members[name]


def busy_member(balancer) -> str:
    return next((name for name in MEMBERS if member(balancer.full.read("app"), name).sessions), "")


def test_a_request_in_an_old_worker_is_in_flight(balancer):
    """Trap 2: the new worker alone says that nothing is."""
    user = SlowRequest(balancer.front)
    user.start()
    until(lambda: busy_member(balancer))
    name = busy_member(balancer)
    balancer.reload()
    blind = Haproxy("lb", balancer.endpoint)
    assert member(blind.read("app"), name).sessions == 0 and user.is_alive()
    assert member(balancer.full.read("app"), name).sessions == 1
    with pytest.raises(TrafficError, match="session"):
        apply([balancer.full], Request("app", (name,), "drained", timeout=0.5))
    assert member(balancer.full.read("app"), name).admin == READY
    result = apply([balancer.full], Request("app", (name,), "drained", timeout=60))
    user.join(60)
    assert user.status == 200 and result.proof["lb"][name]["sessions"] == 0


@pytest.mark.parametrize("keeps_states", [True, False])
def test_a_reload_forgets_nothing_that_the_state_file_has(balancer, keeps_states):
    """Trap 8: without the file it brings all members back into traffic."""
    driven = balancer.full if keeps_states else Haproxy("lb", balancer.endpoint)
    apply([driven], Request("app", ("s1",), "drained", timeout=20))
    apply([driven], Request("app", ("s2",), "draining", timeout=20))
    balancer.reload()
    admin = {name: member(driven.read("app"), name).admin for name in MEMBERS}
    assert admin == ({"s1": MAINT, "s2": DRAIN} if keeps_states else {"s1": READY, "s2": READY})


def test_a_state_file_that_cannot_be_written_is_said_before_anybody_relies_on_it(balancer, tmp_path):
    driven = Haproxy("lb", balancer.endpoint, state_file=str(tmp_path / "absent" / "state"))
    with pytest.raises(TrafficError, match=r"cannot be written here: No such file.*The previous state was restored|cannot be written here"):
        apply([driven], Request("app", ("s1",), "drained", timeout=5))
    assert member(balancer.full.read("app"), "s1").admin == READY


def test_a_socket_that_is_no_masters_is_named(balancer):
    driven = Haproxy("lb", balancer.endpoint, master_endpoint=balancer.endpoint)
    with pytest.raises(LoadBalancerError, match="instead of its processes: is this the master's socket"):
        driven.read("app")


def test_members_that_are_driven_at_once_are_all_kept(balancer):
    """Each of several members in flight has a process of its own, and all of them write the one file."""
    problems = []

    def drive(name: str) -> None:
        driven = Haproxy("lb", balancer.endpoint, balancer.master_endpoint, balancer.state_file)
        try:
            for change in [DRAIN, MAINT] * 10:
                driven.apply("app", {name: change})
        except LoadBalancerError as error:
            problems.append(str(error))

    threads = [threading.Thread(target=drive, args=(name,)) for name in MEMBERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == [] and not any(thread.is_alive() for thread in threads)
    balancer.reload()
    assert {name: member(balancer.full.read("app"), name).admin for name in MEMBERS} == dict.fromkeys(MEMBERS, MAINT)


class IdleUsers:
    """Users who have asked once, and keep their connections."""

    def __init__(self, front, count: int) -> None:
        self.connections = [http.client.HTTPConnection(front.address, front.port, timeout=10) for _number in range(count)]
        self.ask_all()

    def ask_all(self) -> list[str]:
        """The status of each one's answer and who gave it."""
        return [self._ask(connection) for connection in self.connections]

    def _ask(self, connection) -> tuple[int, str]:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["X-Served-By"]


def lingering(balancer) -> dict[str, int]:
    return {name: member(balancer.full.read("app"), name).lingering for name in MEMBERS}


def test_a_connection_in_an_old_worker_may_bring_a_request_to_a_member_that_left_after_the_reload(balancer):
    """The old worker does not know that it left, and cannot be told: it is out when there is no such connection any more."""
    users = IdleUsers(balancer.front, 8)
    balancer.reload()
    assert lingering(balancer) == {"s1": 8, "s2": 8}
    with pytest.raises(TrafficError, match=r"app/s1 is not drained on lb \(in maint, 0 sessions, 0 queued, 8 connections from before a reload that may"):
        apply([balancer.full], Request("app", ("s1",), "drained", timeout=0.5))
    blind = Haproxy("lb", balancer.endpoint, state_file=balancer.state_file)
    apply([blind], Request("app", ("s1",), "drained", timeout=30))
    served_by = {address for _status, address in users.ask_all()}
    assert balancer.endpoints["s1"].address in served_by
    result = apply([balancer.full], Request("app", ("s1",), "drained", timeout=20))
    assert lingering(balancer) == {"s1": 0, "s2": 0} and not result.changed


def test_a_member_that_was_out_before_the_reload_has_no_lingering_connections(balancer):
    apply([balancer.full], Request("app", ("s1",), "drained", timeout=20))
    users = IdleUsers(balancer.front, 4)
    balancer.reload()
    assert lingering(balancer) == {"s1": 0, "s2": 4}
    assert users.ask_all() == [(200, balancer.endpoints["s2"].address)] * 4


def test_what_does_not_end_in_an_old_worker_is_cut_off(balancer):
    user = SlowRequest(balancer.front)
    user.start()
    until(lambda: busy_member(balancer))
    name = busy_member(balancer)
    balancer.reload()
    result = apply([balancer.full], Request("app", (name,), "drained", timeout=0.5, on_timeout="cut"))
    user.join(60)
    assert result.proof["lb"][name]["cut"] == 1 and user.status == 502
