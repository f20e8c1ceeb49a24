# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with an agent that says what it is: it overrules the command line, so it is warned of, and what it undoes is noticed (trap 4)."""

from __future__ import annotations

import socketserver
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, READY, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.haproxy.real_pool import CELLAR, until
from integration.haproxy.real_processes import RealProcesses

MEMBERS = ("s1", "s2")
CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/runtime level admin
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend users
  bind {front}
  default_backend app
backend app
  option httpchk GET /healthz
  default-server check inter 200ms fall 2 rise 2
  server s1 {s1} agent-check agent-addr {agent_address} agent-port {agent_port} agent-inter 200ms
  server s2 {s2}
"""


class Agent(socketserver.ThreadingTCPServer):
    """Answers every question with the words that it has now, and counts them."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self, endpoint) -> None:
        self.words, self.asked = "up", 0
        super().__init__((endpoint.address, endpoint.port), Answer)

    def finish_request(self, request, client_address) -> None:
        self.asked += 1
        super().finish_request(request, client_address)


class Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(f"{self.server.words}\n".encode("ascii"))


class WithAgent(RealProcesses):
    """Two servers, the first of which has an agent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.endpoints = {name: ports.endpoint(f"127.0.0.{104 + number}") for number, name in enumerate(MEMBERS)}
        self.front = ports.endpoint("127.0.0.102")
        self.agent_endpoint = ports.endpoint("127.0.0.103")
        self.agent = Agent(self.agent_endpoint)
        self.driven = Haproxy("lb", f"unix:{folder}/runtime")

    def start(self) -> None:
        threading.Thread(target=self.agent.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        for name, endpoint in self.endpoints.items():
            self.spawn_member(name, endpoint)
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, agent_address=self.agent_endpoint.address, agent_port=self.agent_endpoint.port,
                                                      front=self.front, **self.endpoints), encoding="utf-8")
        self.spawn("lb", [*find_binary(configuration, CELLAR), "-db", "-f", str(configuration)])
        until(self._is_whole)

    def stop(self) -> None:
        super().stop()
        self.agent.shutdown()
        self.agent.server_close()

    def _is_whole(self) -> bool:
        try:
            return self.driven.read("app").backends["app"].live == len(MEMBERS) and self.agent.asked > 0
        except LoadBalancerError:
            return False

    def admin(self, name: str) -> str:
        return self.driven.read("app").backends["app"].members[name].admin


@pytest.fixture(scope="module", name="house")
def _house(tmp_path_factory):
    with WithAgent(tmp_path_factory.mktemp("agent")) as house:
        yield house


def test_a_server_with_an_agent_is_warned_of_and_others_are_not(house):
    reported = apply([house.driven], Request("app", ("s1",), "drained", timeout=30))
    assert reported.warnings == ("app/s1 has an agent check on lb, which can override the state that is set here",) and house.admin("s1") == MAINT
    assert apply([house.driven], Request("app", ("s1",), "ready", timeout=30)).warnings == reported.warnings
    assert apply([house.driven], Request("app", ("s2",), "drained", timeout=30)).warnings == ()
    apply([house.driven], Request("app", ("s2",), "ready", timeout=30))


def test_an_agent_that_brings_its_server_back_is_noticed_and_nobody_is_reported_that_it_is_out(house):
    """"ready" from the agent ends a drain within two tenths of a second, whatever the socket was told."""
    apply([house.driven], Request("app", ("s2",), "drained", timeout=30))
    user = threading.Thread(target=urllib.request.urlopen, args=(f"http://{house.front}/slow?ms=6000",), daemon=True)
    user.start()
    until(lambda: house.driven.read("app").backends["app"].members["s1"].sessions == 1)
    house.agent.words = "ready up"
    with pytest.raises(TrafficError, match=r"lb has app/s1 in ready although it was set to drain: its agent check sets this state .*disable agent app/s1.*, "
                                           "it was reloaded, or another program changes it"):
        apply([house.driven], Request("app", ("s1",), "drained", timeout=30))
    assert house.admin("s1") == READY
    user.join(60)
    house.agent.words = "up"
    apply([house.driven], Request("app", ("s2",), "ready", timeout=30))


@pytest.mark.parametrize(("words", "state"), [("ready 50%", "ready"), ("drain", "drain")])
def test_an_agent_that_is_asked_later_than_a_second_is_waited_for(house, words, state):
    """By default it is asked every 2 s."""
    def say() -> None:
        until(lambda: house.admin("s1") == MAINT)
        time.sleep(1.5)
        house.agent.words = words

    speaker = threading.Thread(target=say, daemon=True)
    speaker.start()
    with pytest.raises(TrafficError, match=f"lb has app/s1 in {state} although it was set to maint: its agent check sets this state"):
        apply([house.driven], Request("app", ("s1",), "drained", timeout=30))
    speaker.join(60)
    house.agent.words = "up 100%"
    apply([house.driven], Request("app", ("s1",), "ready", timeout=30))


def test_an_agent_that_speaks_of_health_and_weight_leaves_maintenance_alone(house):
    """What HAProxy tells of an answer does not show whether `ready` was in it, so it is waited until the agent has been asked again."""
    apply([house.driven], Request("app", ("s1",), "drained", timeout=30))
    for words in ("up", "50%", "up 100% #ready", "maxconn:30", "down", "stopped", "maint", "up 100%"):
        house.agent.words = words
        asked = house.agent.asked + 3
        until(lambda asked=asked: house.agent.asked >= asked)
        assert house.admin("s1") == MAINT
    apply([house.driven], Request("app", ("s1",), "ready", timeout=30))


def test_an_agent_that_is_stopped_is_no_risk(house):
    house.driven.ask("disable agent app/s1")
    house.agent.words = "ready"
    took = []
    # Of several, because one may take its time on a busy machine.
    for _try in range(3):
        apply([house.driven], Request("app", ("s1",), "ready", timeout=30))
        reported = apply([house.driven], Request("app", ("s1",), "drained", timeout=30))
        assert reported.warnings == () and house.admin("s1") == MAINT
        took.append(reported.finished - reported.started)
    # 3.5 s and more where the agent is asked.
    assert min(took) < 3.4
    house.driven.ask("enable agent app/s1")
    until(lambda: house.admin("s1") == READY)
    house.agent.words = "up"
