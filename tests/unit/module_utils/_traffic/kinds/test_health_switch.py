# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that take themselves out, each a server with a switch, behind a load balancer that nobody can ask."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DOWN, DRAIN, MAINT, READY, RECHECK, UP, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.health_switch import LameDuck
from fake_load_balancer import Time
from json_server import JsonServer, Reply
from probe_servers import closed_port


class Duck:
    """A member: alive or not, switched out or not, and `refuses` has the status with which it answers its switch."""

    def __init__(self, server, live="/version", health="/healthz", switch="/lame-duck"):
        self.server, self.is_alive, self.is_out, self.refuses = server, True, False, None
        server.routes.update({f"GET {live}": lambda asked: Reply(200 if self.is_alive else 502),
                              f"GET {health}": lambda asked: Reply(200 if self.is_alive and not self.is_out else 503),
                              f"PUT {switch}": self.switch, f"DELETE {switch}": self.switch})

    def switch(self, asked):
        if self.refuses:
            return Reply(self.refuses, "no")
        self.is_out = asked.method == "PUT"
        return Reply(204)


class House:
    """Two members of the pool `app`."""

    def __init__(self, one, two):
        self.time, self.ducks = Time(), {"s1": Duck(one), "s2": Duck(two)}

    def opened(self, headers=None, **settings):
        backends = {"app": {name: duck.server.url for name, duck in self.ducks.items()}}
        return LameDuck("lb1", "https://www.example.com", {"backends": backends, "notice_seconds": 3, "quiet_seconds": 4, **settings}, headers or {},
                        self.time.clock.steady, self.time.sleep)

    def seen(self, balancer, name="s1"):
        member = balancer.read("app").backends["app"].members[name]
        return member.admin, member.health, member.sessions


@pytest.fixture(name="house")
def _house():
    with JsonServer() as one, JsonServer() as two:
        yield House(one, two)


def test_what_the_members_say_of_themselves(house):
    view = house.opened().read()
    assert view.version == "" and list(view.backends) == ["app"] and list(view.backends["app"].members) == ["s1", "s2"] and view.backends["app"].live == 2
    member = view.backends["app"].members["s2"]
    assert (member.address, member.admin, member.health, member.sessions, member.note) == (house.ducks["s2"].server.address, READY, UP, 0, "")
    assert house.ducks["s2"].server.lines() == ["GET /version", "GET /healthz"]


def test_only_the_pool_that_is_asked_for_is_looked_at(house):
    urls = {name: duck.server.url for name, duck in house.ducks.items()}
    balancer = house.opened(backends={"app": {"s1": urls["s1"]}, "web": {"s1": urls["s2"], "s9": urls["s2"]}})
    assert [list(balancer.read(name).backends) for name in ("app", "web", None)] == [["app"], ["web"], ["app", "web"]]
    assert [list(balancer.read().backends[name].members) for name in ("app", "web")] == [["s1"], ["s1", "s9"]]
    balancer.apply("web", {"s1": DRAIN})
    assert [duck.is_out for duck in house.ducks.values()] == [False, True] and house.seen(balancer) == (READY, UP, 0)


@pytest.mark.parametrize(("change", "method", "admin"), [(DRAIN, "PUT", DRAIN), (RECHECK, "PUT", DRAIN), (MAINT, "PUT", MAINT), (READY, "DELETE", READY)])
def test_a_change_turns_the_switch_of_the_member(house, change, method, admin):
    balancer = house.opened({"Authorization": "Bearer x"})
    balancer.apply("app", {"s1": change})
    assert [(asked.line, asked.headers["authorization"], asked.body) for asked in house.ducks["s1"].server.changes] == [
        (f"{method} /lame-duck", "Bearer x", "")]
    assert house.ducks["s2"].server.requests == [] and house.seen(balancer)[0] == admin


def test_the_paths_can_be_others(house):
    house.ducks["s1"] = Duck(house.ducks["s1"].server, "/alive", "/ready", "/switch?x=1")
    balancer = house.opened(live_path="/alive", health_path="/ready", switch_path="/switch?x=1")
    balancer.apply("app", {"s1": MAINT})
    balancer.read("app")
    assert house.ducks["s1"].server.lines() == ["PUT /switch?x=1", "GET /ready", "GET /alive", "GET /ready"]


def test_it_is_waited_for_the_load_balancer_to_notice_and_for_requests_to_end(house):
    balancer, seen = house.opened(), []
    balancer.apply("app", {"s1": DRAIN})
    for pause in (0, 6.9, 0.2):
        house.time.sleep(pause)
        seen.append(house.seen(balancer))
    assert seen == [(DRAIN, UP, 1), (DRAIN, UP, 1), (DRAIN, UP, 0)]
    balancer.apply("app", {"s1": MAINT})
    assert house.seen(balancer) == (MAINT, UP, 0)
    member = balancer.read("app").backends["app"].members["s1"]
    assert member.note == "the load balancer is not read: 7 s are waited for it to notice and for requests to end"


def test_a_member_that_comes_in_serves_when_the_load_balancer_has_noticed(house):
    balancer, seen = house.opened(), []
    balancer.apply("app", {"s1": DRAIN})
    house.time.sleep(60)
    balancer.apply("app", {"s1": READY})
    for pause in (0, 2.9, 0.2):
        house.time.sleep(pause)
        seen.append(house.seen(balancer))
    assert seen == [(READY, DOWN, 0), (READY, DOWN, 0), (READY, UP, 0)] and house.seen(balancer, "s2") == (READY, UP, 0)


def test_a_member_that_goes_out_again_at_once_is_healthy_and_waited_for_anew(house):
    balancer = house.opened()
    balancer.apply("app", {"s1": DRAIN})
    house.time.sleep(60)
    balancer.apply("app", {"s1": READY})
    balancer.apply("app", {"s1": DRAIN})
    assert house.seen(balancer) == (DRAIN, UP, 1)


def test_a_member_that_another_run_took_out_is_in_maintenance_and_may_have_just_left(house):
    house.ducks["s1"].is_out = True
    balancer, seen = house.opened(), []
    for pause in (0, 6.9, 0.2):
        house.time.sleep(pause)
        seen.append(house.seen(balancer))
    assert seen == [(MAINT, UP, 1), (MAINT, UP, 1), (MAINT, UP, 0)]


def test_one_that_dies_without_having_been_sent_away_has_traffic_and_is_no_capacity(house):
    balancer = house.opened()
    house.ducks["s1"].is_alive = False
    assert house.seen(balancer) == (READY, DOWN, 0) and balancer.read("app").backends["app"].live == 1


def test_one_that_was_sent_away_and_is_stopped_stays_out(house):
    balancer = house.opened()
    balancer.apply("app", {"s1": MAINT})
    house.ducks["s1"].is_alive = False
    assert house.seen(balancer) == (MAINT, DOWN, 1)
    house.time.sleep(7.1)
    assert house.seen(balancer) == (MAINT, DOWN, 0)
    house.ducks["s1"].is_alive = True
    assert house.seen(balancer) == (MAINT, UP, 0)


def test_nobody_at_the_address_of_a_member_is_one_that_is_dead(house):
    port = closed_port()
    balancer = house.opened(backends={"app": {"s1": f"http://127.0.0.1:{port}", "s2": house.ducks["s2"].server.url}})
    assert house.seen(balancer) == (READY, DOWN, 0) and house.seen(balancer, "s2") == (READY, UP, 0)
    with pytest.raises(LoadBalancerError, match=rf"app/s1 \(http://127.0.0.1:{port}\) cannot be asked \(PUT /lame-duck\): connection refused"):
        balancer.apply("app", {"s1": MAINT})


def test_a_switch_that_does_not_turn_is_an_error_and_the_member_is_in(house):
    balancer = house.opened()
    house.ducks["s1"].refuses = 403
    with pytest.raises(LoadBalancerError, match=r"app/s1 \(http://127.0.0.1:\d+\) answers PUT /lame-duck with 403: no"):
        balancer.apply("app", {"s1": MAINT, "s2": MAINT})
    assert house.seen(balancer) == (READY, UP, 0) and house.ducks["s2"].server.changes == []


@pytest.mark.parametrize("ask", [lambda balancer: balancer.read("ap"), lambda balancer: balancer.apply("ap", {"s1": MAINT})])
def test_an_unknown_pool_is_an_error_that_names_those_there_are(house, ask):
    with pytest.raises(LoadBalancerError) as error:
        ask(house.opened())
    assert str(error.value) == "lb1 (https://www.example.com) has no pool 'ap': its setting backends has app"


def test_the_command_turns_the_switches(house):
    reported = house.opened().command("app", {"s1": READY, "s2": MAINT})
    one, two = (duck.server.url for duck in house.ducks.values())
    assert reported == f"curl -X DELETE {one}/lame-duck && curl -X PUT {two}/lame-duck"


@pytest.mark.parametrize(("settings", "reason"), [
    ({}, "lb1 lacks the setting backends: kind=none cannot do without"),
    ({"backends": {}, "quiet": 1}, "lb1 has unknown settings quiet for kind=none: it has backends, health_path, live_path, notice_seconds, quiet_seconds, "),
    ({"backends": {"app": {"s1": "10.0.0.1:80"}}}, r"app/s1 \(10.0.0.1:80\) is no endpoint: "),
    ({"backends": ["s1"]}, r"lb1 has the setting backends=\['s1'\], which is no dict"),
])
def test_a_setting_that_is_wrong_is_refused(settings, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        LameDuck("lb1", "https://www.example.com", settings, {})


def test_a_member_that_is_not_there_is_named(house):
    with pytest.raises(LoadBalancerError, match="has no member s9 in app: it has "):
        house.opened().apply("app", {"s9": MAINT})


@pytest.mark.parametrize("by_a_switch", [False, True])
def test_one_whose_health_check_fails_already_is_switched_out_so_that_it_stays_so(house, by_a_switch):
    """By its own switch, or because its database is away for a moment: nobody tells."""
    duck = house.ducks["s1"]
    duck.is_out = by_a_switch
    if not by_a_switch:
        duck.server.routes["GET /healthz"] = Reply(503)
    out = apply([house.opened()], Request("app", ("s1",), "drained"), house.time.clock)
    assert [asked.line for asked in duck.server.changes] == ["PUT /lame-duck"] and duck.is_out
    assert not out.changed and out.proof["lb1"]["s1"]["sessions"] == 0 and house.time.now >= 107
    assert house.ducks["s2"].server.changes == []
    apply([house.opened()], Request("app", ("s2",), "drained"), house.time.clock)
    assert len(duck.server.changes) == 1


@pytest.mark.parametrize(("lag", "is_taken"), [(0.3, True), (5.0, True), (1000.0, False)])
def test_a_switch_that_shows_later_is_waited_for(house, lag, is_taken):
    """What answers the health check may look at the switch every so often."""
    duck, turned = house.ducks["s1"], []
    duck.server.routes.update({f"{method} /lame-duck": lambda asked, is_out=is_out: turned.append((house.time.now + lag, is_out)) or Reply(204)
                               for method, is_out in (("PUT", True), ("DELETE", False))})
    duck.server.routes["GET /healthz"] = lambda asked: Reply(503 if [is_out for at, is_out in turned if at <= house.time.now][-1:] == [True] else 200)
    if is_taken:
        for state in ("drained", "ready"):
            apply([house.opened()], Request("app", ("s1",), state), house.time.clock)
        assert duck.server.changes[0].method == "PUT" and duck.server.changes[-1].method == "DELETE"
    else:
        with pytest.raises(TrafficError, match="in ready although it was set to drain"):
            apply([house.opened()], Request("app", ("s1",), "drained"), house.time.clock)


def test_a_drain_that_fails_names_the_switch_that_stays_put(house):
    house.ducks["s1"].is_out = True
    with pytest.raises(TrafficError) as error:
        apply([house.opened()], Request("app", ("s1",), "drained", timeout=2), house.time.clock)
    url = house.ducks["s1"].server.url
    assert str(error.value).endswith("The health check of app/s1 failed before it was to be taken out, and its switch stays set. If it was not set before: "
                                     f"curl -X DELETE {url}/lame-duck")


def test_what_cannot_be_proven_is_said(house):
    assert house.opened().read("app").backends["app"].unproven == (
        ("the load balancer is not read: 7 s (notice_seconds and quiet_seconds) are waited for it to notice that a member is out, and for "
         "requests to end"),)
