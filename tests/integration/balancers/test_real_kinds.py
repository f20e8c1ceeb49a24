# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of load balancer on its real binary: a member goes out, is proven to be out, and comes back, under load and without a request lost."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import MAINT, READY, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import open_load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic_sequence import Request, TrafficError, bring_about, foresee
from fleet import members
from fleet.balancers import KINDS, member_name
from fleet.embedded import UNDRIVEN, EmbeddedFleet
from integration.haproxy.real_pool import Client, load

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
        return bring_about(open_load_balancers(self.specs), Request(BACKEND, members, state, timeout=40, **options))

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
        again = foresee(open_load_balancers(driven.specs), Request(BACKEND, (first,), "drained"))
        assert not again.changed
        back = driven.do("ready", first)
        assert back.changed and back.after == {"lb1": {first: READY}, "lb2": {first: READY}}
        returned = time.time()
        time.sleep(1)
    served = [at for client in clients for at, member, _release in client.answers if member == host.name]
    assert not [at for at in served if proven + 0.5 < at < back.started], "it was proven to be out"
    assert [at for at in served if at > returned], "and it takes traffic again"
    assert driven.live() == [everybody, everybody] and sum(len(client.answers) for client in clients) > 100


@pytest.mark.thorough
def test_half_of_them_change_with_the_other_half(driven):
    """What knows no other way changes one after the other; nobody may be without a live member in between."""
    half, rest = driven.names[:2], driven.names[2:]
    with driven.under_load():
        driven.do("drained", *half)
        flipped = bring_about(open_load_balancers(driven.specs), Request(BACKEND, tuple(half), "ready", out=tuple(rest), timeout=40))
        assert flipped.changed and driven.live()[0] <= set(half)
        driven.do("drained", *rest)
        assert driven.live() == [set(half), set(half)]
        driven.do("ready", *rest)
    assert driven.live() == [set(driven.names)] * 2


def test_what_is_not_there_and_what_cannot_be_is_refused_and_nothing_is_changed(driven):
    with pytest.raises(LoadBalancerError, match="has no member nobody in app: it has "):
        driven.do("drained", "nobody")
    with pytest.raises(LoadBalancerError, match="shop"):
        bring_about(open_load_balancers(driven.specs), Request("shop", (driven.names[0],), "drained"))
    with pytest.raises(TrafficError, match="on_timeout is cut, and lb1, lb2 cannot close the sessions of one member"):
        driven.do("drained", driven.names[0], on_timeout="cut")
    with pytest.raises(TrafficError, match="min_live"):
        driven.do("drained", driven.names[0], min_live=MEMBERS)
    assert driven.live() == [set(driven.names)] * 2
