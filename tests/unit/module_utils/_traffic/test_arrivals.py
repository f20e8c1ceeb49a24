# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is given to members in maintenance: how long nothing has to come, what a rise means, and what a drain makes of it."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.arrivals import ArrivalsWatch
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import TrafficError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, PAUSED, READY, Backend, Member
from fake_load_balancer import House


def watched(*looks, seconds=1.0):
    """For how long it has to be watched still, at each look (second, arrivals, process); and the watch."""
    watch = ArrivalsWatch(["s1"])
    return [watch.look(now, {"lb1": Backend({"s1": Member("", MAINT, PAUSED, arrivals=arrivals, watch_seconds=seconds)})}, {"lb1": process})
            for now, arrivals, process in looks], watch


@pytest.mark.parametrize(("looks", "rests", "given"), [
    (((0, 7, 1), (0.4, 7, 1), (1, 7, 1)), [1, 0.6, 0], {}),
    (((0, 7, 1), (0.5, 9, 1), (1, 9, 1), (5.5, 9, 1)), [1, 5, 4.5, 0], {("lb1", "s1"): 2}),
    (((0, 7, 1), (0.5, 3, 1), (1, 3, 1)), [1, 0.5, 0], {}),
    (((0, 7, 1), (0.5, 9, 2), (1, 9, 2)), [1, 0.5, 0], {}),
    (((0, 7, 1), (0.5, 0, 2), (1, 2, 2)), [1, 0.5, 5], {("lb1", "s1"): 2}),
])
def test_a_counter_stands_still_for_a_second_and_longer_after_a_rise(looks, rests, given):
    """A counter that was reset, or is another process's, has not risen."""
    found, watch = watched(*looks)
    assert found == rests and watch.given() == given and watch.rising() == ([("lb1", "s1")] if given and rests[-1] else [])


def test_one_that_goes_on_rising_is_given_up():
    _rests, watch = watched(*((second, second, 1) for second in range(12)))
    assert watch.in_vain(11) and not watch.in_vain(10)


def test_arrivals_that_are_not_told_are_not_waited_for():
    assert watched((0, 0, 1), seconds=0.0)[0] == [0]


@pytest.fixture(name="house")
def _house():
    return House(watch_seconds=1.0)


def test_a_healthy_drain_takes_a_second_more_and_not_longer(house):
    house.set("s1", busy_until=house.time.now + 3)
    result = house.do("drained", "s1")
    assert 104 <= house.time.now < 104.7 and result.warnings == ()


def test_a_member_that_is_given_requests_in_maintenance_is_not_proven_and_put_back(house):
    house.lb2.servers["s1"].leaks_until = 1000.0
    with pytest.raises(TrafficError, match=r"app/s1 was given \d+ more sessions on lb2 after it was set to maintenance: find what .*restored on lb1, lb2"):
        house.do("drained", "s1")
    assert house.admin("s1") == [[READY]] * 2 and 110 <= house.time.now < 113


def test_what_was_under_way_is_waited_for_and_reported(house):
    """A request whose connection failed is tried again, also after maintenance was set."""
    house.lb2.servers["s1"].leaks_until = 101.5
    result = house.do("drained", "s1")
    assert house.admin("s1") == [[MAINT]] * 2 and 106.5 <= house.time.now < 108
    assert "more sessions on lb2 after it was set to maintenance, and no more after that" in result.warnings[0]


def test_a_short_time_ends_the_wait_and_a_cut_does_not_hide_what_comes(house):
    house.set("s1", busy_until=1000.0, leaks_until=1000.0)
    with pytest.raises(TrafficError, match=r"was given .* more sessions on lb1 after"):
        house.do("drained", "s1", timeout=2, on_timeout="cut")
    assert house.admin("s1") == [[READY]] * 2 and house.time.now < 106


def test_a_member_that_was_in_maintenance_before_is_watched_too(house):
    house.set("s1", admin=MAINT, leaks_until=1000.0)
    with pytest.raises(TrafficError, match=r"was given .* more sessions on lb1 after.*Nothing was changed"):
        house.do("drained", "s1", timeout=3)


def test_what_has_long_been_out_and_idle_is_proven_at_once(house):
    """A call that has nothing to do takes no time; one that changes something is watched whatever was before."""
    house.set("s1", admin=MAINT, idle_seconds=1.0)
    assert not house.do("drained", "s1").changed and house.time.now == 100
    house.lb2.servers["s1"].admin = READY
    assert house.do("drained", "s1").changed and house.time.now == pytest.approx(101)


def test_an_agent_that_changes_a_state_is_named(house):
    def says_ready(balancer):
        if house.time.now > 101.5:
            balancer.servers["s1"].admin = READY

    house.set("s1", agent=True, watch_seconds=3.5)
    house.lb1.on_read = says_ready
    with pytest.raises(TrafficError, match=r"lb1 has app/s1 in ready although it was set to maint: its agent check sets this state \(.*disable agent app/s1\)"):
        house.do("drained", "s1")
