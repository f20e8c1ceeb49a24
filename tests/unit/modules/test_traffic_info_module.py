# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look is no verdict: what a health check keeps out for a moment is looked at again."""

from __future__ import annotations

from functools import partial

import pytest
from ansible_collections.alwayson.upgrade.plugins.modules.traffic_info import look, look_again
from fake_load_balancer import House


@pytest.fixture
def house():
    return House()


def seen_after(house, backends=None, seconds=10):
    seen = look_again(partial(look, house.balancers, "app"), backends, seconds, house.time.clock)
    return seen["lb2"]["backends"]["app"]["members"]["s1"]["health"], house.time.now - 100


def test_what_is_down_for_three_seconds_is_up_in_the_end(house):
    house.lb2.servers["s1"].healthy_at = house.time.now + 3
    assert seen_after(house) == ("up", 3)


def test_what_stays_down_is_reported_in_bounded_time(house):
    house.lb2.servers["s1"].alive = False
    assert seen_after(house) == ("down", 10)


def test_without_a_time_the_first_look_counts(house):
    house.lb2.servers["s1"].healthy_at = house.time.now + 3
    assert seen_after(house, seconds=0) == ("down", 0)


@pytest.mark.parametrize("facts", [{"admin": "drain", "alive": False}, {"admin": "maint", "alive": False}, {"weight": 0}, {}])
def test_what_gets_no_traffic_for_another_reason_is_not_waited_for(house, facts):
    house.set("s1", **facts)
    assert seen_after(house)[1] == 0


def test_another_backend_is_not_waited_for(house):
    house.lb2.servers["s1"].alive = False
    assert seen_after(house, backends=["api"]) == ("down", 0) and seen_after(house, backends=["api", "app"]) == ("down", 10)
