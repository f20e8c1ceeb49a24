# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, dry_run
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DRAIN, MAINT, READY, RECHECK, LoadBalancerError
from fake_load_balancer import BACKEND, CHECK_SECONDS, SIX, House, Server
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def house():
    return House()


def all_of(state):
    return [[state]] * 2


# -- back into traffic

def test_a_member_returns_through_a_recheck(house):
    """Trap 3: straight from maintenance to ready, users reach an application that may be dead."""
    house.set("s1", admin=MAINT)
    result = house.do("ready", "s1")
    assert [balancer.lines for balancer in house.balancers] == [[{"s1": RECHECK}, {"s1": READY}]] * 2
    assert house.time.now >= 100 + CHECK_SECONDS
    assert result.changed and result.live == {"lb1": 6, "lb2": 6}
    assert "note" not in result.proof["lb1"]["s1"] and result.proof["lb1"]["s1"]["check"] == "L7OK"


def test_nobody_is_ready_before_the_check_passed_everywhere(house):
    house.set("s1", admin=MAINT)
    house.lb2.servers["s1"].alive = False
    with pytest.raises(TrafficError, match=r"app/s1 does not pass its health check on lb2 \(down L4CON\) after 60 s.*was restored on lb1, lb2"):
        house.do("ready", "s1")
    assert READY not in [change for line in house.lines for change in line.values()]
    assert house.admin("s1") == all_of(MAINT)


def test_checked_stops_before_traffic(house):
    house.set("s1", admin=MAINT)
    result = house.do("checked", "s1", "s2")
    assert house.lines == [{"s1": RECHECK}] * 2 and result.live == {"lb1": 5, "lb2": 5}
    assert not house.do("checked", "s1", "s2").changed


def test_a_member_without_a_health_check_is_noted(house):
    house.set("s1", admin=MAINT, checked=False)
    result = house.do("ready", "s1")
    assert house.lb1.lines == [{"s1": DRAIN}, {"s1": READY}]
    assert "no health check of its own" in result.proof["lb1"]["s1"]["note"]


def test_a_member_in_drain_is_not_ready_before_it_is_healthy(house):
    house.set("s1", admin=DRAIN, alive=False)
    with pytest.raises(TrafficError, match=r"does not pass.*Nothing was changed"):
        house.do("ready", "s1")
    assert house.lines == []


@pytest.mark.parametrize("admin", [DRAIN, READY])
def test_a_member_that_left_maintenance_by_another_hand_is_checked_too(house, admin):
    """Its load balancer calls it up on the word of a check from before."""
    house.lb2.servers["s1"].confirmed_at = house.time.now + 3
    house.set("s1", admin=admin)
    house.do("ready", "s1")
    assert house.time.now >= 103 and house.admin("s1") == all_of(READY)


def test_a_member_that_is_ready_and_down_is_not_reported_as_ready(house):
    house.set("s1", alive=False)
    with pytest.raises(TrafficError, match="does not pass"):
        house.do("ready", "s1")


def test_a_member_without_weight_takes_no_traffic(house):
    house.set("s1", admin=DRAIN, weight=0)
    with pytest.raises(TrafficError, match=r"takes no traffic on lb1 .*weight 0"):
        house.do("ready", "s1")
    assert house.admin("s1") == all_of(DRAIN)


def test_a_backup_member_can_be_ready(house):
    house.set("s1", admin=DRAIN, backup=True)
    assert house.do("ready", "s1").changed


def test_an_agent_check_is_warned_of(house):
    house.lb2.servers["s1"].agent = True
    assert house.do("ready", "s1").warnings == ("app/s1 has an agent check on lb2, which can override the state that is set here",)


# -- the flip

def flip(house, **options):
    return house.do("ready", "s1", "s2", "s3", out=("s4", "s5", "s6"), **options)


def test_a_flip_is_one_line_on_each_load_balancer(house):
    for name in ("s1", "s2", "s3"):
        house.set(name, admin=MAINT)
    result = flip(house)
    expected = {**dict.fromkeys(("s1", "s2", "s3"), READY), **dict.fromkeys(("s4", "s5", "s6"), DRAIN)}
    assert [balancer.lines for balancer in house.balancers] == [[dict.fromkeys(("s1", "s2", "s3"), RECHECK), expected]] * 2
    assert result.live == {"lb1": 3, "lb2": 3}
    assert result.after["lb2"] == expected
    assert not flip(house).changed


def test_a_flip_leaves_in_maintenance_what_is_there(house):
    house.set("s1", admin=DRAIN)
    house.set("s5", admin=MAINT)
    flip(house)
    assert house.admin(*SIX) == [[READY, READY, READY, DRAIN, MAINT, DRAIN]] * 2


def test_a_flip_that_fails_on_lb2_is_undone_on_lb1(house):
    for name in ("s1", "s2", "s3"):
        house.set(name, admin=DRAIN)
    house.lb2.on_apply = lambda balancer: setattr(balancer, "unreachable", True)
    with pytest.raises(TrafficError, match=r"was restored on lb1. lb2 could NOT be put back .*s1=drain s2=drain s3=drain s4=ready s5=ready s6=ready"):
        flip(house)
    assert house.lb1.admin() == {**dict.fromkeys(("s1", "s2", "s3"), DRAIN), **dict.fromkeys(("s4", "s5", "s6"), READY)}
    assert len(house.lb1.lines) == 2, "undone by one line too"


def test_a_flip_with_a_dead_member_does_not_happen(house):
    for name in ("s1", "s2", "s3"):
        house.set(name, admin=MAINT)
    house.set("s2", alive=False)
    with pytest.raises(TrafficError, match="app/s2 does not pass"):
        flip(house)
    assert house.admin(*SIX) == [[MAINT] * 3 + [READY] * 3] * 2


# -- nothing to do, and check mode

@pytest.mark.parametrize(
    ("state", "admin"),
    [("drained", MAINT), ("draining", DRAIN), ("draining", MAINT), ("checked", DRAIN), ("checked", READY), ("ready", READY)],
)
def test_nothing_to_do_is_not_a_change(house, state, admin):
    house.set("s1", admin=admin)
    for _again in range(200):
        assert not house.do(state, "s1").changed
    assert house.lines == []


@pytest.mark.parametrize("state", ["drained", "draining", "checked", "ready"])
@pytest.mark.parametrize("admins", list(itertools.product([READY, DRAIN, MAINT], repeat=2)), ids="-".join)
def test_check_mode_foresees_what_happens(state, admins):
    """The same states and the same `changed` as the real run, from every combination of states, and nothing is touched."""
    house = House()
    for balancer, admin in zip(house.balancers, admins):
        balancer.servers["s1"].admin = admin
    out = ("s4",) if state == "ready" else ()
    foreseen = dry_run(house.balancers, Request(BACKEND, ("s1",), state, out), house.time.clock)
    assert house.lines == [] and house.time.now == 100
    result = house.do(state, "s1", out=out)
    assert (foreseen.changed, foreseen.before, foreseen.after) == (result.changed, result.before, result.after)


# -- whatever happens

@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["drained", "draining", "checked", "ready"]),
    st.lists(st.sampled_from([READY, DRAIN, MAINT]), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.sampled_from(["rollback", "cut"]),
    st.one_of(st.none(), st.integers(1, 12)),
    st.sampled_from([0.0, 5.0, 1000.0]),
)
def test_a_request_ends_in_its_state_everywhere_or_in_the_one_before(state, admins, alive, on_timeout, drift_at, busy):
    house = House()
    places = [(balancer, name) for balancer in house.balancers for name in ("s1", "s2")]
    for (balancer, name), admin, lives in zip(places, admins, alive):
        balancer.servers[name] = Server(admin=admin, alive=lives, busy_until=100 + busy)
    before = house.admin("s1", "s2")

    def lose_an_answer(balancer):
        if drift_at is not None and balancer.reads == drift_at:
            raise LoadBalancerError("the answer was lost")

    house.lb2.on_read = lose_an_answer
    try:
        result = house.do(state, "s1", "s2", on_timeout=on_timeout, timeout=10.0)
    except (TrafficError, LoadBalancerError):
        assert house.admin("s1", "s2") == before
    else:
        wanted = {"drained": {MAINT}, "draining": {DRAIN, MAINT}, "checked": {DRAIN, READY}, "ready": {READY}}[state]
        assert {admin for row in house.admin("s1", "s2") for admin in row} <= wanted
        assert result.changed == (house.admin("s1", "s2") != before) or on_timeout == "cut"
