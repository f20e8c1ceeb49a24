# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of load balancer on its real binary: a member goes out, is proven to be out, and comes back, under load and without a request lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import open_load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply, dry_run
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, READY, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx.processes import workers_of
from fleet import members
from fleet.balancers import KINDS, binary, member_name
from fleet.embedded import UNDRIVEN, EmbeddedFleet
from integration.haproxy.real_pool import Client, load, total, until

REPOSITORY = Path(__file__).resolve().parents[3]
BACKEND, MEMBERS = "app", 4
# At a reload, which is every change, Caddy closes connections on which a client may be sending in that moment; see docs/load_balancers.md.
CLOSED = "Remote end closed connection without response"


class Driven:
    """A fleet of four behind two load balancers of one kind, and what the modules open from its inventory."""

    def __init__(self, fleet: EmbeddedFleet, kind: str) -> None:
        self.fleet, self.kind = fleet, kind
        hosts = yaml.safe_load(fleet.inventory.read_text(encoding="utf-8"))["all"]["children"]["load_balancers"]["hosts"]
        self.specs = [{"name": name, "kind": facts["traffic_kind"], "endpoint": facts["traffic_endpoint"], "settings": facts.get("traffic_settings", {})}
                      for name, facts in hosts.items()]
        self.names = [member_name(kind, member) for member in fleet.layout.members]

    def do(self, state: str, *members: str, **options):
        return apply(open_load_balancers(self.specs), Request(BACKEND, members, state, timeout=40, **options))

    def live(self) -> list[set[str]]:
        views = [balancer.read(BACKEND).backends[BACKEND].members for balancer in open_load_balancers(self.specs)]
        return [{name for name, member in view.items() if member.live} for view in views]

    @contextlib.contextmanager
    def under_load(self):
        """Four clients, two of them slow, none of which loses a request; with Caddy none but on a connection that it closes."""
        clients = self.clients()
        with load(*clients, forgiven=len(clients) * 8 if self.kind == "caddy" else 0):
            yield clients
        assert all(CLOSED in failure or "reset by peer" in failure for client in clients for failure in client.failures)

    def clients(self) -> list[Client]:
        fronts = [balancer.front for balancer in self.fleet.layout.load_balancers]
        return [Client(front, path=path, sticky=False) for front in fronts for path in ("/version", "/slow?ms=400")]


@pytest.fixture(scope="module", name="driven", params=[*KINDS, UNDRIVEN])
def _driven(request):
    with EmbeddedFleet(REPOSITORY / "build" / "integration" / f"kind-{request.param}", members=MEMBERS, kind=request.param) as fleet:
        yield Driven(fleet, request.param)


def test_a_member_goes_out_and_comes_back_and_no_request_is_lost(driven):
    first, everybody = driven.names[0], set(driven.names)
    assert driven.live() == [everybody, everybody]
    with driven.under_load() as clients:
        out = driven.do("drained", first, min_live=MEMBERS - 1)
        proven = time.time()
        assert out.changed and out.after == {"lb1": {first: MAINT}, "lb2": {first: MAINT}} and out.live == {"lb1": MEMBERS - 1, "lb2": MEMBERS - 1}
        assert {proof[first]["sessions"] for proof in out.proof.values()} == {0}
        # Like a release that is switched: whoever still sent there would notice.
        host = driven.fleet.layout.members[0]
        driven.fleet.kill_member(host.name)
        time.sleep(1)
        driven.fleet.boot_member(host.name)
        members.wait_healthy(host, driven.fleet.record.processes[host.name])
        again = dry_run(open_load_balancers(driven.specs), Request(BACKEND, (first,), "drained"))
        assert not again.changed
        back = driven.do("ready", first)
        assert back.changed and back.after == {"lb1": {first: READY}, "lb2": {first: READY}}
        returned = time.time()
        # It takes traffic again.
        until(lambda: [at for at in asked_of(host.name, clients) if at > returned] and total(clients) > 100)
    assert not [at for at in asked_of(host.name, clients) if proven < at < back.started], "it was proven to be out"
    assert driven.live() == [everybody, everybody]


def asked_of(host: str, clients: list[Client]) -> list[float]:
    """When those requests were sent that a member answered."""
    return [at for client in clients for at, member, _release in list(client.answers) if member == host]


def served_by(driven: Driven, host: str, requests: int = 50) -> int:
    """How many of so many requests, or a few more, a member answers."""
    clients = driven.clients()
    with load(*clients):
        until(lambda: total(clients) >= requests)
    return len(asked_of(host, clients))


@pytest.mark.parametrize("driven", ["nginx"], indirect=True)
def test_what_nginx_has_not_read_proves_nothing(driven):
    """A file that was changed by hand, with a time of long ago, and a worker that dies: the next one has what the master has read."""
    first, host = driven.names[0], driven.fleet.layout.members[0].name
    masters = [int(Path(spec["settings"]["pid_file"]).read_text(encoding="ascii")) for spec in driven.specs]
    killed = {worker.pid for master in masters for worker in workers_of(master)}
    for spec in driven.specs:
        file = Path(spec["endpoint"][len("file:"):])
        file.write_text(file.read_text(encoding="utf-8").replace(f"server {first} ", f"server {first} down "), encoding="utf-8")
        os.utime(file, (1.0, 1.0))
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    # Each master has begun another one.
    until(lambda: all({worker.pid for worker in workers_of(master)} - killed for master in masters))
    views = [balancer.read(BACKEND).backends[BACKEND] for balancer in open_load_balancers(driven.specs)]
    assert all(view.members[first].admin == MAINT and view.members[first].sessions for view in views) and served_by(driven, host)
    assert not driven.do("drained", first).changed and not served_by(driven, host)
    driven.do("ready", first)
    assert served_by(driven, host) and driven.live() == [set(driven.names)] * 2


@pytest.mark.parametrize("driven", ["traefik", "envoy"], indirect=True)
def test_a_member_comes_back_as_it_was(driven):
    """With another run: each call opens the load balancers again. And of the file nothing else changes, however it is written."""
    name = driven.names[1]
    with changed(driven, lambda pool, server: server.update({"weight": 3} if driven.kind == "traefik" else {"health_status": "DEGRADED"}),
                 lambda view: view.members[name].weight == 3 or view.members[name].backup) as files:
        particular = [file.read_bytes() for file in files]
        driven.do("draining", name)
        for before, file in zip(particular, files):
            assert sum(old != new for old, new in zip(before.splitlines(), file.read_bytes().splitlines(), strict=True)) == 1
        driven.do("ready", name)
        assert [file.read_bytes() for file in files] == particular
        assert {len(live) for live in driven.live()} == {MEMBERS if driven.kind == "traefik" else MEMBERS - 1}


@pytest.mark.parametrize("driven", ["traefik"], indirect=True)
def test_a_strategy_without_weights_is_refused(driven):
    with changed(driven, lambda pool, server: pool.update(strategy="p2c"), lambda view: view.refusals), \
            pytest.raises(TrafficError, match=r"no drain of app can be proven. lb1: its strategy is p2c.* lb2: its strategy is p2c"):
        driven.do("drained", driven.names[0])


@pytest.mark.parametrize("driven", ["traefik"], indirect=True)
def test_other_services_that_send_to_a_member_are_noted(driven):
    server = {"http": {"url": f"http://{driven.names[0]}/"}, "tcp": {"address": driven.names[0]}}
    services = {kind: {"services": {name: {"loadBalancer": {"servers": [server[kind]]}}}} for kind, name in (("http", "solo"), ("tcp", "raw"))}
    files = [driven.fleet.layout.directory / "balancers" / spec["name"] / "dynamic" / "others.yml" for spec in driven.specs]

    def notes():
        return [note.partition(" to some of its addresses")[0] for note in dry_run(
            open_load_balancers(driven.specs), Request(BACKEND, (driven.names[0],), "drained")).warnings]
    assert notes() == []
    try:
        for file in files:
            file.write_text(json.dumps(services), encoding="utf-8")
        assert wait_for(lambda: notes() == [f"{spec['name']}: raw@file (TCP), solo@file send" for spec in driven.specs], 60, 0.2), notes()
    finally:
        for file in files:
            file.unlink()
    assert wait_for(lambda: notes() == [], 60, 0.2)


@pytest.mark.parametrize("driven", ["caddy"], indirect=True)
def test_a_second_process_on_the_same_port_is_refused(driven, tmp_path):
    """It has no administrative API: nobody can ask it, and every other connection of a user may be its."""
    configuration = json.loads((driven.fleet.layout.directory / "balancers" / "lb1" / "caddy.json").read_text(encoding="utf-8"))
    configuration["admin"] = {"disabled": True, "config": {"persist": False}}
    (tmp_path / "second.json").write_text(json.dumps(configuration), encoding="utf-8")

    def refusals():
        return [balancer.read(BACKEND).backends[BACKEND].refusals for balancer in open_load_balancers(driven.specs)]
    folders = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    argv = [binary("caddy"), "run", "--config", str(tmp_path / "second.json")]
    with subprocess.Popen(argv, env={**os.environ, **folders}, stderr=subprocess.DEVNULL) as second:
        try:
            assert wait_for(lambda: refusals()[0], 20, 0.2) and refusals()[1] == ()
            with pytest.raises(TrafficError, match=rf"lb1: another process \(caddy {second.pid}\) listens at .*, too, .* end it"):
                driven.do("drained", driven.names[0])
        finally:
            second.terminate()
    assert refusals() == [(), ()]


@contextlib.contextmanager
def changed(driven: Driven, change, is_seen):
    """Another pool, or another second server, in the files of Traefik or Envoy, until the end; yields the files when every load balancer shows it."""
    files = [driven.fleet.layout.directory / "balancers" / spec["name"] / ("dynamic/app.yml" if driven.kind == "traefik" else "endpoints.json")
             for spec in driven.specs]
    before = [file.read_text(encoding="utf-8") for file in files]

    def put(file: Path, text: str) -> None:
        new = file.with_name(f"{file.name}.new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, file)

    def views():
        return [balancer.read(BACKEND).backends[BACKEND] for balancer in open_load_balancers(driven.specs)]
    was = views()
    try:
        for file, text in zip(files, before):
            document = json.loads(text)
            pool = document["http"]["services"][BACKEND]["loadBalancer"] if "http" in document else document["resources"][0]["endpoints"][0]
            change(pool, pool["servers" if "http" in document else "lb_endpoints"][1])
            put(file, json.dumps(document, indent=3, separators=(" ,", " :")) + "\n\n")
        assert wait_for(lambda: all(map(is_seen, views())), 60, 0.2)
        yield files
    finally:
        for file, text in zip(files, before):
            put(file, text)
        assert wait_for(lambda: [(view.live, view.refusals) for view in views()] == [(view.live, view.refusals) for view in was], 60, 0.2)


@pytest.mark.thorough
def test_half_of_them_change_with_the_other_half(driven):
    """What knows no other way changes one after the other; nobody may be without a live member in between."""
    half, rest = driven.names[:2], driven.names[2:]
    with driven.under_load():
        driven.do("drained", *half)
        flipped = apply(open_load_balancers(driven.specs), Request(BACKEND, tuple(half), "ready", out=tuple(rest), timeout=40))
        assert flipped.changed and driven.live()[0] <= set(half)
        driven.do("drained", *rest)
        assert driven.live() == [set(half), set(half)]
        driven.do("ready", *rest)
    assert driven.live() == [set(driven.names)] * 2


def test_what_is_not_there_and_what_cannot_be_is_refused_and_nothing_is_changed(driven):
    with pytest.raises(LoadBalancerError, match="has no member nobody in app: it has "):
        driven.do("drained", "nobody")
    with pytest.raises(LoadBalancerError, match="shop"):
        apply(open_load_balancers(driven.specs), Request("shop", (driven.names[0],), "drained"))
    with pytest.raises(TrafficError, match="on_timeout is cut, and lb1, lb2 cannot close the sessions of one member"):
        driven.do("drained", driven.names[0], on_timeout="cut")
    with pytest.raises(TrafficError, match="min_live"):
        driven.do("drained", driven.names[0], min_live=MEMBERS)
    assert driven.live() == [set(driven.names)] * 2


@pytest.mark.parametrize("driven", ["caddy"], indirect=True)
def test_what_caddy_tells_as_unhealthy_is_no_capacity(driven):
    """Not right after a change either, when Caddy has everybody healthy for ten seconds."""
    first, second = driven.names[:2]
    dead = driven.fleet.layout.members[1]
    driven.fleet.kill_member(dead.name)
    try:
        driven.do("draining", first)
        driven.do("ready", first)
        with pytest.raises(TrafficError, match="live"):
            apply(open_load_balancers(driven.specs), Request(BACKEND, (first,), "drained", min_live=MEMBERS - 1, timeout=0.5))
        assert driven.live() == [set(driven.names) - {second}] * 2
    finally:
        driven.fleet.boot_member(dead.name)
