# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequence of a cutover on load balancers that are nothing but rules."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import READY, UP, Backend, LoadBalancerError, Member
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.route import Request, Rerouting, RouteError, Side
from fake_load_balancer import Time

GREEN = Request("active", "green", min_live=2)


class FakeTable:
    """A map with its file. `fails` names the calls that fail, each as often as it stands there; `lies` answers another route than was set; `stuck` goes green
    and never back."""

    path = "/etc/haproxy/active.map"

    def __init__(self, name, calls, process="blue", file="blue"):
        self.name, self.calls = name, calls
        self.process, self.file = process, file
        self.fails, self.lies, self.stuck, self.reloads = [], False, False, 0

    def route(self, key):
        return "red" if self.lies and self.process == "green" else self.process

    def kept(self, key):
        return self.file

    def set_route(self, key, value):
        self._call("set", value)
        self.reloads, is_lost = max(0, self.reloads - 1), self.reloads > 0
        if not is_lost:
            self.process = "green" if self.stuck else value

    def keep(self, key, value):
        self._call("keep", value)
        self.file = value

    def command(self, key, value):
        return f"set {key} {value} on {self.name}"

    def _call(self, verb, value):
        self.calls.append((self.name, verb, value))
        if verb in self.fails:
            self.fails.remove(verb)
            raise LoadBalancerError(f"{self.name} cannot {verb}")


class House:
    """Two load balancers with the pools blue and green of three members each."""

    def __init__(self):
        self.time, self.calls = Time(), []
        self.tables = [FakeTable(name, self.calls) for name in ("lb1", "lb2")]
        self.live = {"lb1": 3, "lb2": 3}
        self.live_at = {}
        self.busy_until = {"blue": 0.0, "green": 0.0}
        self.pools = ["blue", "green"]

    @property
    def sides(self):
        return [Side(table, lambda backend, name=table.name: self.pool(name, backend)) for table in self.tables]

    def pool(self, name, backend):
        if backend not in self.pools:
            raise LoadBalancerError(f"{name} has no backend {backend!r}: it has {', '.join(self.pools)}")
        live = 3 if self.time.now >= self.live_at.get(name, float("inf")) else self.live[name]
        sessions = 2 if self.time.now < self.busy_until[backend] else 0
        return Backend({f"{backend}{number}": Member("", READY, UP if number < live else "down", sessions=sessions if number == 0 else 0)
                        for number in range(3)})

    def do(self, request=GREEN):
        return Rerouting(self.sides, request, self.time.clock).apply()

    @property
    def routes(self):
        return [(table.process, table.file) for table in self.tables]


@pytest.fixture(name="house")
def _house():
    return House()


def test_the_files_come_first_and_the_processes_right_after_one_another(house):
    result = house.do()
    assert house.calls == [("lb1", "keep", "green"), ("lb2", "keep", "green"), ("lb1", "set", "green"), ("lb2", "set", "green")]
    assert result.changed and result.before == {"lb1": "blue", "lb2": "blue"} and result.after == {"lb1": "green", "lb2": "green"}
    assert result.proof["lb2"] == {"before": "blue", "after": "green", "map": FakeTable.path, "live": 3, "sessions_before": 0}


def test_a_route_that_is_there_is_left_alone(house):
    house.do()
    house.calls.clear()
    again = house.do()
    assert (again.changed, house.calls) == (False, [])


@pytest.mark.parametrize(("process", "file"), [("green", "blue"), ("blue", "green")])
def test_a_process_and_a_file_that_differ_are_brought_together(house, process, file):
    """As a crash between the two leaves them."""
    house.tables[0].process, house.tables[0].file = process, file
    assert house.do().changed and house.routes == [("green", "green")] * 2


def test_a_check_tells_and_changes_nothing(house):
    foreseen = Rerouting(house.sides, GREEN, house.time.clock).dry_run()
    assert foreseen.changed and foreseen.after == {"lb1": "green", "lb2": "green"} and house.calls == []


@pytest.mark.parametrize(("live", "minimum", "accepted"), [(2, 2, True), (1, 2, False), (0, 1, False)])
def test_a_pool_needs_enough_live_members_on_every_load_balancer(house, live, minimum, accepted):
    house.live["lb2"] = live
    request = Request("active", "green", min_live=minimum)
    if accepted:
        assert house.do(request).proof["lb2"]["live"] == live
    else:
        with pytest.raises(RouteError, match=f"green has {live} live members on lb2, and {minimum} are required. Nothing was changed"):
            house.do(request)
        assert house.calls == []


def test_an_unknown_pool_is_named_before_anything_is_changed(house):
    with pytest.raises(LoadBalancerError, match="lb1 has no backend 'gren': it has blue, green"):
        house.do(Request("active", "gren"))
    assert house.calls == []


@pytest.mark.parametrize("balancer", [0, 1])
@pytest.mark.parametrize("verb", ["keep", "set"])
def test_whatever_fails_the_route_before_is_back_everywhere(house, balancer, verb):
    house.tables[balancer].fails = [verb]
    with pytest.raises(RouteError, match=f"lb{balancer + 1} cannot {verb}. The previous route was restored on lb1"):
        house.do()
    assert house.routes == [("blue", "blue")] * 2


def test_what_cannot_be_put_back_is_named_with_its_command(house):
    house.tables[0].stuck, house.tables[1].fails = True, ["set"]
    with pytest.raises(RouteError, match=r"lb1 could NOT be put back \(it sends active to green\); run there: set active blue on lb1"):
        house.do()


@pytest.mark.parametrize("reloads", [1, 2])
def test_what_a_reload_has_lost_is_set_again_there(house, reloads):
    """The process that took over had read the map's file before it was written."""
    house.tables[1].reloads = reloads
    assert house.do().changed and house.routes == [("green", "green")] * 2
    assert [name for name, verb, _value in house.calls if verb == "set"] == ["lb1", "lb2"] + ["lb2"] * reloads


def test_a_pool_that_is_short_for_a_moment_is_looked_at_again(house):
    house.live["lb2"], house.live_at["lb2"] = 1, house.time.now + 3
    assert house.do().changed and house.time.now == 103


def test_a_pool_that_stays_short_is_refused_in_bounded_time(house):
    house.live["lb2"], began = 1, house.time.now
    with pytest.raises(RouteError, match="green has 1 live members on lb2, and 2 are required"):
        house.do()
    assert house.time.now - began == 10 and house.calls == []


def test_a_load_balancer_that_sends_the_traffic_elsewhere_after_all_is_found(house):
    house.tables[1].lies = True
    with pytest.raises(RouteError, match=r"lb2 sends active to red although it was set to green: it was reloaded, or another program changes it. "
                                         "The previous route"):
        house.do()
    assert house.routes == [("blue", "blue")] * 2


def test_an_interrupted_cutover_is_undone(house):
    def interrupted(key, value):
        raise KeyboardInterrupt
    house.tables[1].set_route = interrupted
    with pytest.raises(KeyboardInterrupt):
        house.do()
    assert house.routes == [("blue", "blue")] * 2


@pytest.mark.parametrize(("drain_wait", "left"), [(5.0, 0), (0.5, 2), (0.0, 2)])
def test_the_pool_before_is_watched_for_as_long_as_was_asked(house, drain_wait, left):
    house.busy_until["blue"] = house.time.now + 2
    began = house.time.now
    result = house.do(Request("active", "green", drain_wait=drain_wait))
    assert [proof["sessions_before"] for proof in result.proof.values()] == [left, left]
    assert house.time.now - began == pytest.approx(min(drain_wait, 2), abs=0.5)


def test_a_load_balancer_that_is_gone_after_the_cutover_does_not_take_it_back(house):
    def pool(name, backend):
        if backend == "blue" and house.tables[0].process == "green":
            raise LoadBalancerError(f"{name} does not answer")
        return House.pool(house, name, backend)
    house.pool = pool
    with pytest.raises(RouteError, match=r"lb1 does not answer. The route has moved to green everywhere, and stays"):
        house.do(Request("active", "green", drain_wait=5))
    assert house.routes == [("green", "green")] * 2


@pytest.mark.parametrize("before", [None, "gone"])
def test_a_route_from_nowhere_that_can_be_watched(house, before):
    for table in house.tables:
        table.process = table.file = before
    assert house.do(Request("active", "green", drain_wait=5)).proof["lb1"]["sessions_before"] == 0
