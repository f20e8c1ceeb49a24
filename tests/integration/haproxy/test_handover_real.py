# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load balancer's own binary is replaced under load: its master starts again as the new one, and nobody notices."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.patience import Patience
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.master import running
from fleet.haproxy import find_binary
from fleet.ports import Ports
from integration.by_ansible import ansible
from integration.haproxy.real_pool import CELLAR, Client, load, total, until
from integration.haproxy.real_processes import RealProcesses

MEMBERS = ("s1", "s2", "s3")
CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/runtime level admin expose-fd listeners
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


class Installed(RealProcesses):
    """An HAProxy that is installed at a place of its own, as a package would be."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports()
        self.front = ports.endpoint("127.0.0.98")
        self.endpoints = {name: ports.endpoint(f"127.0.0.{99 + number}") for number, name in enumerate(MEMBERS)}
        self.binary, self.configuration = folder / "haproxy", folder / "haproxy.cfg"
        self.spec = {"name": "lb", "endpoint": f"unix:{folder}/runtime"}
        self.driven = Haproxy("lb", f"unix:{folder}/runtime", state_file=str(folder / "state"))

    def start(self) -> None:
        for name, endpoint in self.endpoints.items():
            self.spawn_member(name, endpoint)
        servers = "\n".join(f"  server {name} {endpoint}" for name, endpoint in self.endpoints.items())
        (self.folder / "state").write_text("1\n", encoding="ascii")
        self.configuration.write_text(CONFIGURATION.format(folder=self.folder, front=self.front, servers=servers), encoding="utf-8")
        command = find_binary(self.configuration, CELLAR)
        if len(command) > 1:
            pytest.skip("this HAProxy is started through a loader, so its binary cannot be replaced alone")
        self.source = command[0]
        # A wheel has its libraries beside the binary.
        libraries = Path(self.source).resolve().parent / "lib"
        if libraries.is_dir():
            (self.folder / "lib").symlink_to(libraries)
        self.install()
        self.spawn("lb", [str(self.binary), "-W", "-f", str(self.configuration)])
        until(self.is_whole)

    def install(self) -> None:
        """Another file in the place of the one that runs, as a package manager does it."""
        shutil.copy(self.source, self.folder / "haproxy.new")
        os.rename(self.folder / "haproxy.new", self.binary)

    def is_whole(self) -> bool:
        try:
            return self.driven.read("app").backends["app"].live == len(MEMBERS)
        except LoadBalancerError:
            return False

    def hand_over(self, *flags: str, **options):
        return ansible("haproxy_handover", *flags, **self.spec, **options)


@pytest.fixture(scope="module", name="installed")
def _installed(tmp_path_factory):
    with Installed(tmp_path_factory.mktemp("ho")) as made:
        yield made


def test_what_runs_is_what_is_installed_so_nothing_is_changed(installed):
    status, result, _shown = installed.hand_over()
    assert status == 0 and not result["changed"] and result["worker"]["before"] == result["worker"]["after"] and result["old_workers"] == 0


def test_the_new_binary_takes_over_under_load_and_a_member_in_maintenance_stays_there(installed):
    installed.driven.apply("app", {"s3": MAINT})
    installed.install()
    status, foreseen, _shown = installed.hand_over("--check")
    assert status == 0 and foreseen["changed"] and foreseen["worker"]["before"] == foreseen["worker"]["after"]
    clients = [Client(installed.front, path=path, sticky=False) for path in ("/", "/", "/slow?ms=700")]
    with load(*clients):
        until(lambda: total(clients) > 50)
        status, result, shown = installed.hand_over(drain_wait=60)
        assert status == 0 and result["changed"], shown
        before = [len(client.answers) for client in clients]
        until(lambda: total(clients) > 100 and all(len(client.answers) > had + 1 for client, had in zip(clients, before)))
    assert result["worker"]["before"] != result["worker"]["after"] and result["old_workers"] == 0
    assert installed.driven.read("app").backends["app"].members["s3"].admin == MAINT
    status, again, _shown = installed.hand_over()
    assert status == 0 and not again["changed"]


def test_a_binary_that_does_not_accept_the_configuration_never_takes_over(installed):
    installed.install()
    before = installed.configuration.read_text(encoding="utf-8")
    installed.configuration.write_text(before + "backend broken\n  server nowhere\n", encoding="utf-8")
    status, result, _shown = installed.hand_over("--check")
    assert status != 0 and "does not accept its configuration" in result["msg"]
    status, result, _shown = installed.hand_over()
    assert status != 0 and "is not handed over" in result["msg"] and "does not accept its configuration" in result["msg"]
    assert installed.driven.read("app").backends["app"].live == len(MEMBERS) - 1
    installed.configuration.write_text(before, encoding="utf-8")


def test_a_worker_that_does_not_start_leaves_the_old_one_which_is_not_taken_for_the_new(installed):
    installed.install()
    before = installed.configuration.read_text(encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        installed.configuration.write_text(f"{before}frontend other\n  bind 127.0.0.1:{taken.getsockname()[1]}\n", encoding="utf-8")
        status, result, _shown = installed.hand_over(timeout=2)
        assert status != 0 and "still answers as process" in result["msg"]
        # The master runs what is installed now.
        assert not running(installed.driven).is_current
    installed.configuration.write_text(before, encoding="utf-8")
    status, result, shown = installed.hand_over()
    assert status == 0 and result["changed"] and running(installed.driven).is_current, shown


def test_states_that_it_forgets_are_named(installed):
    Path(installed.folder / "state").write_text("1\n", encoding="ascii")
    status, result, _shown = installed.hand_over(force=True)
    assert status != 0 and "app/s3 was maint and is ready" in result["msg"] and "server-state-file" in result["msg"]


def test_one_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LoadBalancerError, match=rf"lb9 .*{tmp_path}/none.* cannot be reached"):
        running(Haproxy("lb9", f"unix:{tmp_path}/none", patience=Patience(0.5)))
