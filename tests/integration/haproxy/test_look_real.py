# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan makes of two real HAProxy: a health check that fails for a moment, one that fails for good, and servers that are no members."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import open_load_balancers
from ansible_collections.alwayson.upgrade.plugins.modules.traffic_info import look, look_again
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.observation import merge_views
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.haproxy.answering import Answering
from integration.haproxy.real_pool import CELLAR, until
from integration.haproxy.real_processes import RealProcesses

MEMBERS, BALANCERS = ("s1", "s2", "s3"), ("lb1", "lb2")
VARIABLES = {"upgrade_release": "2.0.0", "upgrade_artifact": "x", "upgrade_artifact_sha256": "y", "upgrade_members": "app", "upgrade_method": "rolling"}
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
resolvers nobody
  nameserver none {nameserver}
frontend users
  bind {front}
  default_backend app
backend app
  option httpchk GET /{name}
  default-server check inter 200ms fall 2 rise 2
{servers}
  server-template spare 1-3 nohost.invalid:80 resolvers nobody init-addr none
  server placeholder 0.0.0.0:0 disabled
  server parked {parked} disabled
"""


class Looked(RealProcesses):
    """Two HAProxy, which ask each member for a page of their own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.fronts = {name: ports.endpoint("127.0.0.78") for name in BALANCERS}
        self.endpoints = {name: ports.endpoint(f"127.0.0.{85 + number}") for number, name in enumerate(MEMBERS)}
        self.nameserver = ports.endpoint("127.0.0.77")
        self.balancers = open_load_balancers([{"name": name, "endpoint": f"unix:{folder}/{name}.sock"} for name in BALANCERS])

    def start(self) -> None:
        for name in BALANCERS:
            servers = "\n".join(f"  server {member} {endpoint}" for member, endpoint in self.endpoints.items())
            configuration = self.folder / f"{name}.cfg"
            configuration.write_text(CONFIGURATION.format(folder=self.folder, name=name, front=self.fronts[name], servers=servers,
                                                          nameserver=self.nameserver, parked=self.endpoints["s1"]), encoding="utf-8")
            self.spawn(name, [*find_binary(configuration, CELLAR), "-db", "-f", str(configuration)])
        until(lambda: self.plan(0)["refusals"] == [])

    def health(self, balancer: str, member: str) -> str:
        return look(self.balancers, "app")[balancer]["backends"]["app"]["members"][member]["health"]

    def plan(self, recheck: float) -> dict:
        """As the playbooks make it: the look, and what is decided on it."""
        seen = look_again(partial(look, self.balancers, None), ["app"], recheck)
        members = {name: {"name": name, "address": str(endpoint), "domain": None, "release": "1.0.0", "previous": None, "available": {}, "lost": None}
                   for name, endpoint in self.endpoints.items()}
        service = describe(VARIABLES, list(VARIABLES), {"app": list(MEMBERS), "load_balancers": list(BALANCERS)})
        return make_plan(service, {**merge_views([{"load_balancers": seen}], "app"), "members": members, "databases": {}, "migrations": []})


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    # The paths of sockets are short.
    fleet = Looked(tmp_path_factory.mktemp("lb"))
    with Answering(fleet.endpoints) as answers:
        fleet.answers = answers
        with fleet:
            yield fleet


def test_servers_that_get_no_traffic_are_no_members(looked):
    plan = looked.plan(0)
    assert plan["refusals"] == []
    parked, *unproven = plan["notes"]
    assert [sentence.partition(":")[0] for sentence in unproven] == ["lb1, lb2"] * 2 and [parked] == [
        "app/parked is in maintenance on lb1, lb2 and not in group 'app': it gets no traffic, and is not upgraded"]
    seen = look(looked.balancers, "app")["lb1"]["backends"]["app"]["members"]
    assert {name: member["address"] for name, member in seen.items() if name.startswith(("spare", "place"))} == {
        "spare1": "", "spare2": "", "spare3": "", "placeholder": "0.0.0.0:0"}


def test_a_check_that_fails_for_three_seconds_is_no_reason_to_refuse(looked):
    looked.answers.statuses["/lb2"] = 503
    until(lambda: looked.health("lb2", "s2") == "down")
    reported = " ".join(looked.plan(0)["refusals"])
    assert "app/s2 takes traffic on lb1 but not on lb2" in reported
    again = threading.Timer(3, looked.answers.statuses.clear)
    again.start()
    assert looked.plan(60)["refusals"] == []
    again.join()


def test_one_that_fails_for_good_is_named_with_its_status_and_what_to_do(looked):
    looked.answers.statuses["/lb2"] = 503
    until(lambda: looked.health("lb2", "s2") == "down")
    reported = looked.plan(1)["refusals"]
    looked.answers.statuses.clear()
    sentence = (f"app/s2 takes traffic on lb1 but not on lb2: lb2 reached {looked.endpoints['s2']}, and its health check was answered with status 503 (L7STS); "
                "ask the member for that page, and see its application's log")
    assert sentence in reported
    until(lambda: looked.plan(0)["refusals"] == [])
