# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequences on real load balancers, under load."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.patience import Patience
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, dry_run
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import CUT, DRAIN, MAINT, READY, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from integration.by_ansible import REPOSITORY, SUBPROCESS_SECONDS, ansible
from integration.haproxy.real_pool import BACKEND, MEMBERS, Client, load, total, until


def both(*states):
    return [list(states)] * 2


def crowd(pool, **options):
    """Eight clients, half of them bound to a member by a cookie."""
    return [Client(pool.fronts[front], sticky=sticky, **options) for front in pool.fronts for sticky in (True, True, False, False)]


# -- no request is lost

def test_a_member_is_replaced_under_load_without_a_failed_request(pool):
    """Out, killed, started as another release, in. While it is out nobody is served by it, and nobody fails."""
    clients = crowd(pool)
    with load(*clients):
        until(lambda: served_by(pool, "s1", clients))
        out = pool.do("drained", "s1", min_live=3)
        pool.kill_member("s1")
        until(lambda: total(clients) > 200)
        pool.start_member("s1", "2.0.0")
        back = pool.do("ready", "s1")
        until(lambda: [at for at, _release in served_by(pool, "s1", clients) if at > back.finished] and total(clients) > 300)
    assert out.changed and out.live == {"lb1": 3, "lb2": 3} and back.live == {"lb1": 4, "lb2": 4}
    assert all(out.proof[name]["s1"]["sessions"] == out.proof[name]["s1"]["queued"] == 0 for name in ("lb1", "lb2"))
    served = served_by(pool, "s1", clients)
    assert [at for at, _release in served if out.finished < at < back.started] == []
    assert {release for at, release in served if at < out.finished} == {"1.0.0"}
    assert {release for at, release in served if at > back.started} == {"2.0.0"}


def test_a_configuration_with_which_bound_clients_reach_a_member_in_maintenance_is_seen(pool):
    views = [balancer.read() for balancer in pool.balancers]
    assert [view.backends[BACKEND].refusals for view in views] == [()] * 2
    assert ["write no option persist into backend other" in view.backends["other"].refusals[0] for view in views] == [True] * 2


def test_clients_that_keep_coming_do_not_stop_a_drain(pool):
    """Trap 1: overlapping requests with the member's cookie, so that a drain alone never sees it idle."""
    clients = [Client(pool.fronts[front], path="/slow?ms=300", pause=0, cookie="SRV=s1") for front in pool.fronts for _client in range(4)]
    with load(*clients):
        until(lambda: served_by(pool, "s1", clients))
        result = pool.do("drained", "s1", timeout=6)
        assert all(view["s1"].admin == MAINT and view["s1"].sessions == 0 for view in pool.members())
    assert result.finished - result.started >= 3, "bound clients get half of the time"
    assert [at for at, _release in served_by(pool, "s1", clients) if result.started + 1 < at < result.finished], "in drain they were served all the time"
    assert [at for at, _release in served_by(pool, "s1", clients) if at > result.finished] == []


def test_a_flip_shows_nobody_the_new_release_and_then_the_old(pool):
    pool.do("drained", "s1", "s2")
    for name in ("s1", "s2"):
        pool.kill_member(name)
        pool.start_member(name, "2.0.0")
    clients = crowd(pool, pause=0.01)
    with load(*clients):
        flip = pool.do("ready", "s1", "s2", out=("s3", "s4"))
        assert pool.admin(*MEMBERS) == both(READY, READY, DRAIN, DRAIN)
        pool.do("drained", "s3", "s4", timeout=20)
        until(lambda: all(client.answers[-1][2] == "2.0.0" for client in clients))
    assert flip.live == {"lb1": 2, "lb2": 2}
    releases = [[release for _at, _member, release in client.answers] for client in clients]
    assert all(seen[0] == "1.0.0" and seen == sorted(seen) for seen in releases)
    again = pool.do("ready", "s1", "s2", out=("s3", "s4"))
    assert not again.changed and pool.admin("s3", "s4") == both(MAINT, MAINT)
    for name in ("s1", "s2"):
        pool.kill_member(name)


def served_by(pool, name, clients):
    """When the member was asked, and which release answered, in order."""
    return sorted((at, release) for client in clients for at, member, release in list(client.answers) if member == pool.address(name))


# -- what is dead does not get traffic

@pytest.mark.parametrize(("release", "check"), [(None, "L4CON"), ("sick", "L7STS")], ids=["dead", "sick"])
def test_what_is_not_healthy_never_comes_back_and_nobody_notices_the_try(pool, release, check):
    """Trap 3: HAProxy takes what leaves maintenance for up. Even clients with its cookie must not reach it before a check passed.

    HAProxy lets others in between two commands of a line. There, a client may get one answer of a sick application; a dead one costs it a retry.
    """
    tries = ("ready", "checked")
    pool.do("drained", "s1")
    pool.kill_member("s1")
    if release:
        pool.start_member("s1", release)
    clients = [Client(pool.fronts[front], pause=0.005, sticky=False, cookie="SRV=s1") for front in pool.fronts]
    try:
        with load(*clients, forgiven=len(tries) * len(clients) if release else 0):
            for state in tries:
                with pytest.raises(TrafficError, match=rf"s1 does not pass its health check on lb1 \(down {check}\); .* on lb2 .*was restored on lb1, lb2"):
                    pool.do(state, "s1", timeout=3)
                assert pool.admin("s1") == both(MAINT)
            until(lambda: total(clients) > 50)
    finally:
        pool.kill_member("s1")


def test_a_member_without_a_check_is_noted(pool):
    result = pool.do("ready", "unchecked")
    assert result.changed and "no health check" in result.proof["lb1"]["unchecked"]["note"]
    assert pool.do("drained", "unchecked").changed


# -- sessions that do not end

def test_a_long_session_and_what_can_be_done(pool):
    client = Client(pool.fronts["lb1"], path="/slow?ms=15000", pause=60, cookie="SRV=s1")
    client.start()
    try:
        until(lambda: any(view["s1"].sessions for view in pool.members()))
        with pytest.raises(TrafficError, match=r"app/s1 is not drained on lb1 \(in drain, 1 sessions, 0 queued\).*The previous state was restored on lb1, lb2"):
            pool.do("drained", "s1", timeout=0.5)
        assert pool.admin("s1") == both(READY)
        with pytest.raises(TrafficError, match="The members keep this state"):
            pool.do("drained", "s1", timeout=0.5, on_timeout="fail")
        assert pool.admin("s1") == both(DRAIN)
        result = pool.do("drained", "s1", timeout=0.5, on_timeout="cut")
        assert (result.proof["lb1"]["s1"]["cut"], result.proof["lb2"]["s1"]["cut"]) == (1, 0)
        assert all(view["s1"].sessions == 0 and view["s1"].admin == MAINT for view in pool.members())
    finally:
        client.stop()
    assert client.answers == [] and len(client.failures) == 1, "the one that was cut"


def cut_off(pool, client):
    """End a request that would take too long for a test."""
    pool.balancers[0].apply(BACKEND, {"s1": CUT})
    client.stop()


# -- load balancers that fail, and rivals

@contextlib.contextmanager
def frozen(pool, when=lambda: True):
    """lb2 accepts connections and never answers, as soon as `when` is true. It is asked again for 2 s, instead of the 20 s by default."""
    patient = pool.balancers
    pool.balancers = [Haproxy(spec["name"], spec["endpoint"], answer_seconds=1.0, patience=Patience(2.0)) for spec in pool.specs]

    def freeze() -> None:
        until(when)
        pool.processes["lb2"].send_signal(signal.SIGSTOP)

    freezing = threading.Thread(target=freeze)
    freezing.start()
    try:
        yield
    finally:
        freezing.join()
        pool.processes["lb2"].send_signal(signal.SIGCONT)
        pool.balancers = patient


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


def test_a_load_balancer_that_freezes_on_the_way(pool):
    """Fault 15."""
    client = Client(pool.fronts["lb1"], path="/slow?ms=15000", pause=60, cookie="SRV=s1")
    client.start()
    until(lambda: any(view["s1"].sessions for view in pool.members()))
    try:
        with frozen(pool, lambda: pool.admin("s1") == both(DRAIN)), pytest.raises(TrafficError) as failure:
            pool.do("drained", "s1")
    finally:
        cut_off(pool, client)
    assert "lb2 (unix:" in str(failure.value) and "does not answer" in str(failure.value)
    assert "The previous state was restored on lb1. lb2 could NOT be put back" in str(failure.value)
    assert "run there: echo 'set server app/s1 state ready' | socat stdio unix-connect:" in str(failure.value)
    assert pool.members()[0]["s1"].admin == READY


def test_a_frozen_load_balancer_is_found_before_anything_is_changed(pool):
    with frozen(pool):
        until(lambda: is_stopped(pool.processes["lb2"].pid))
        with pytest.raises(LoadBalancerError, match=r"lb2 .* does not answer"):
            pool.do("drained", "s1")
    assert pool.admin("s1") == both(READY)


def test_two_runs_at_once_do_not_go_under_the_floor_together(pool):
    outcomes = {}

    def run(name):
        try:
            outcomes[name] = pool.do("drained", name, min_live=3, timeout=1.5)
        except TrafficError as error:
            outcomes[name] = error

    runs = [threading.Thread(target=run, args=(name,)) for name in ("s1", "s2")]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    lost = [name for name, outcome in outcomes.items() if isinstance(outcome, TrafficError)]
    assert 1 <= len(lost) <= 2, "at most one of them has room"
    assert all("fewer than min_live=3" in str(outcomes[name]) for name in lost)
    assert pool.admin(*lost) == both(*[READY] * len(lost))


# -- nothing to do

def test_a_thousand_calls_that_have_nothing_to_do_change_nothing(pool):
    pool.do("drained", "s4")
    clients = crowd(pool, pause=0.05)
    with load(*clients):
        results = [pool.do(state, name) for _again in range(250) for state, name in (("ready", "s1"), ("checked", "s2"), ("drained", "s4"), ("draining", "s4"))]
    assert len(results) == 1000 and not any(result.changed for result in results)
    assert pool.admin(*MEMBERS) == both(READY, READY, READY, MAINT)


@pytest.mark.parametrize(("state", "members", "backend", "reason"), [
    ("drained", ("s1", "s9"), BACKEND, "lb1 .* has no member s9 in app: it has s1, s2, s3, s4, unchecked"),
    ("drained", ("s1",), "nope", "lb1 .* has no backend 'nope': it has app, other"),
    ("drained", ("s1",), "users", "lb1 .* has no backend 'users'"),
    ("drained", ("s1",), "other", "lb1 .* has no member s1 in other: it has none"),
])
def test_what_is_not_there_is_named_and_nothing_is_changed(pool, state, members, backend, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        dry_run(pool.balancers, Request(backend, members, state))
    assert pool.admin(*MEMBERS) == both(*[READY] * 4)


# -- as modules

def test_traffic_info_by_ansible(pool):
    pool.balancers[1].apply(BACKEND, {"s2": DRAIN})
    status, result, _shown = ansible("traffic_info", load_balancers=pool.specs, backend=BACKEND)
    assert status == 0 and not result["changed"]
    assert not result["agree"] and result["live"] == {"app": 3}
    assert result["disagreements"] == ["app/s2 is ready on lb1 but drain on lb2: bring it into one state with alwayson.upgrade.traffic_member"]
    members = result["load_balancers"]["lb1"]["backends"]["app"]["members"]
    assert (members["s1"]["live"], members["s1"]["check"], members["s1"]["cookie"]) == (True, "L7OK", "s1")


def test_traffic_member_by_ansible(pool):
    wanted = {"backend": BACKEND, "member": "s3", "state": "drained", "min_live": 3}
    status, foreseen, shown = ansible("traffic_member", "--check", "--diff", load_balancers=pool.specs, **wanted)
    assert status == 0 and foreseen["changed"]
    assert [shown.count(f'{sign}        "s3": "{admin}"') for sign, admin in (("-", "ready"), ("+", "maint"))] == [2, 2], shown
    assert pool.admin("s3") == both(READY), "check mode touches nothing"
    status, result, _shown = ansible("traffic_member", load_balancers=pool.specs, **wanted)
    assert status == 0 and result["changed"] and result["live"] == {"lb1": 3, "lb2": 3}
    assert result["proof"]["lb2"]["s3"]["after"] == "maint" and result["started_at"] < result["finished_at"] <= time.time()
    assert pool.admin("s3") == both(MAINT)


def test_traffic_member_fails_by_ansible_with_one_clear_message(pool):
    status, result, _shown = ansible("traffic_member", load_balancers=pool.specs, backend=BACKEND, members=["s9"], state="drained")
    assert status != 0 and result["msg"].endswith("has no member s9 in app: it has s1, s2, s3, s4, unchecked")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_module_that_is_ended_in_a_drain_puts_back(pool, number):
    program = (
        "import json, sys; from ansible.module_utils.testing import patch_module_args\n"
        "from ansible_collections.alwayson.upgrade.plugins.modules.traffic_member import main\n"
        "with patch_module_args(json.loads(sys.argv[1])): main()"
    )
    arguments = {"load_balancers": pool.specs, "backend": BACKEND, "members": ["s1"], "state": "drained"}
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "build" / "collections")}
    client = Client(pool.fronts["lb1"], path="/slow?ms=15000", pause=60, cookie="SRV=s1")
    client.start()
    try:
        until(lambda: any(view["s1"].sessions for view in pool.members()))
        module = subprocess.Popen([sys.executable, "-c", program, json.dumps(arguments)], env=environment, stdout=subprocess.PIPE, text=True)
        until(lambda: pool.admin("s1") == both(DRAIN))
        module.send_signal(number)
        output, _errors = module.communicate(timeout=SUBPROCESS_SECONDS)
    finally:
        cut_off(pool, client)
    assert module.returncode != 0
    assert json.loads(output)["msg"] == f"ended by signal {int(number)}. The previous state was restored on lb1, lb2"
    assert pool.admin("s1") == both(READY)
