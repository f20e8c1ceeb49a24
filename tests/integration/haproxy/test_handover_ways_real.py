# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hand-over of real HAProxy that were started in other ways than Debian's unit starts one, and what it refuses to lose."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.handover import forgotten_tables, hand_over
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.route import sides_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.master import running
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.runtime import Master
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.route import Request, Rerouting
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.haproxy.real_pool import CELLAR, until
from integration.haproxy.real_processes import RealProcesses

CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/s level admin expose-fd listeners
  server-state-file {folder}/state
  description "in the\\n\\nrack"
  {more}
defaults
  mode http
  load-server-state-from-file global
  timeout connect 2s
  timeout client 9s
  timeout server 9s
frontend users
  bind "unix@${{SOCKET}}"
  acl bad src -f {folder}/bad.acl
  http-request deny if bad
  use_backend %[str(active),map("{folder}/a b;c.map",blue)]
backend blue
  server b1 127.0.0.1:9
backend green
  server g1 127.0.0.1:9
peers p
  peer one {peer}
backend shared
  stick-table type string size 10 store gpc0 peers p
backend plain
  stick-table type string size 10
backend empty
  stick-table type string size 10
"""
WAYS = {
    "a folder, a name and an environment of its own": (["-W", "-L", "one", "-f", "h.cfg"], ""),
    "-C": (["-W", "-L", "one", "-C", "{folder}", "-f", "h.cfg"], ""),
    "the keyword": (["-L", "one", "-f", "h.cfg"], "master-worker"),
    "--": (["-W", "-L", "one", "--", "h.cfg"], ""),
    "quiet": (["-W", "-q", "-L", "one", "-f", "h.cfg"], ""),
}


class Started(RealProcesses):
    """One that is started in a folder of its own, by a name that is on its own PATH alone."""

    def __init__(self, folder: Path, argv: list[str], more: str = "") -> None:
        super().__init__(folder)
        self.argv, self.more = [word.format(folder=folder) for word in argv], more
        self.configuration, self.map = folder / "h.cfg", folder / "a b;c.map"
        self.balancer = Haproxy("lb", f"unix:{folder}/s")

    def start(self) -> None:
        self.map.write_bytes(b"# who serves\r\nactive\tblue \r\n")
        (self.folder / "bad.acl").write_text("10.0.0.1\n", encoding="ascii")
        self.configuration.write_text(CONFIGURATION.format(folder=self.folder, more=self.more, peer=Ports().endpoint("127.0.0.78")), encoding="utf-8")
        os.environ["SOCKET"] = f"{self.folder}/front"
        try:
            command = find_binary(self.configuration, CELLAR)
        finally:
            del os.environ["SOCKET"]
        if len(command) > 1:
            pytest.skip("this HAProxy is started through a loader")
        path = self.folder / "bin"
        path.mkdir()
        (path / "haproxy").symlink_to(command[0])
        environment = {"PATH": f"{path}:/usr/bin:/bin", "SOCKET": f"{self.folder}/front"}
        with open(self.folder / "lb.log", "ab") as log:
            self.processes["lb"] = subprocess.Popen(["haproxy", *self.argv], executable=command[0], cwd=self.folder, env=environment,
                                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self.answers)

    def answers(self) -> bool:
        try:
            return "Pid" in self.balancer.ask_once("show info")
        except LoadBalancerError:
            assert self.processes["lb"].poll() is None, (self.folder / "lb.log").read_text(encoding="utf-8")
            return False

    def route(self, is_kept: bool):
        return sides_of([self.balancer], self.map.name, is_kept)


@pytest.mark.parametrize("way", WAYS)
def test_however_it_was_started(tmp_path_factory, way):
    with Started(tmp_path_factory.mktemp("hw"), *WAYS[way]) as one:
        first = running(one.balancer)
        second = hand_over(one.balancer, first, 60)
        # The command line of the second one has what a reload adds.
        third = hand_over(one.balancer, second, 60)
        assert len({first.worker, second.worker, third.worker}) == 3 and first.master == third.master and first.is_current and third.is_current


def test_what_is_wrong_is_reported(tmp_path_factory):
    with Started(tmp_path_factory.mktemp("hw"), ["-W", "-q", "-L", "one", "-f", "h.cfg"]) as one:
        one.configuration.write_text(one.configuration.read_text(encoding="utf-8") + "  no-such-keyword here\n", encoding="utf-8")
        before = running(one.balancer)
        with pytest.raises(LoadBalancerError, match=r"does not accept its configuration: .*no-such-keyword.*Nothing was changed; ask it again by") as refused:
            hand_over(one.balancer, before, 5)
        assert "WARNING" not in str(refused.value) and running(one.balancer).worker == before.worker


def test_a_route_that_the_process_alone_has_is_not_lost(tmp_path_factory):
    with Started(tmp_path_factory.mktemp("hw"), ["-W", "-L", "one", "-f", "h.cfg"]) as one:
        Rerouting(one.route(False), Request("active", "green", None)).apply()
        before = running(one.balancer)
        with pytest.raises(LoadBalancerError, match=r"is not handed over, .*c\.map: active is green and would be blue\. Nothing was changed"):
            hand_over(one.balancer, before, 5)
        assert running(one.balancer).worker == before.worker
        Rerouting(one.route(True), Request("active", "green", None)).apply()
        assert one.map.read_bytes() == b"# who serves\r\nactive\tgreen \r\n"
        after = hand_over(one.balancer, before, 60)
        assert one.route(False)[0].table.route("active") == "green"
        one.balancer.carry_out([f"add acl {one.folder}/bad.acl 10.0.0.2"])
        with pytest.raises(LoadBalancerError, match=r"bad\.acl: 10\.0\.0\.2 is present and would be absent"):
            hand_over(one.balancer, after, 5)
        lost: list[str] = []
        hand_over(one.balancer, after, 60, loses=lost.append)
        assert len(lost) == 1 and lost[0].endswith("bad.acl: 10.0.0.2 is present and would be absent")


def test_entries_of_stick_tables_that_nobody_hands_on_are_reported(tmp_path_factory):
    with Started(tmp_path_factory.mktemp("hw"), ["-W", "-L", "one", "-f", "h.cfg"]) as one:
        one.balancer.carry_out(["set table shared key anna data.gpc0 1", "set table plain key anna"])
        [reported] = forgotten_tables(one.balancer)
        assert "begins with an empty stick table plain, which has 1 entries" in reported
        hand_over(one.balancer, running(one.balancer), 60)
        assert forgotten_tables(one.balancer) == []


def test_words_reach_a_worker_through_its_master(tmp_path_factory):
    """As those workers are told that a reload has left."""
    with Started(tmp_path_factory.mktemp("hw"), ["-W", "-S", "{folder}/m", "-L", "one", "-f", "h.cfg"]) as one:
        master, worker = Master("its master", f"unix:{one.folder}/m"), running(one.balancer).worker
        path = one.balancer.word(str(one.map))
        assert " active blue\n" in master.ask(f"@!{worker} show map {path}")
        master.patience.call(lambda: master.tell_once(f"@!{worker} set map {path} active green"))
        assert one.route(False)[0].table.route("active") == "green"
