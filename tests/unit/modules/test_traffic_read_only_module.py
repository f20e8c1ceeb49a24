# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments, and what counts as a change. The load balancers are in tests/integration/haproxy/test_read_only_real.py."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.route import RouteError
from ansible_collections.alwayson.upgrade.plugins.modules.traffic_read_only import is_change, moment, until_when

NOW = 1_800_000_000.9


def test_a_while_begins_now_and_open_is_never():
    assert until_when("read_only", 120, NOW) == 1_800_000_120
    assert until_when("open", 120, NOW) == until_when("open", 0, NOW) == 0
    with pytest.raises(RouteError, match="seconds is 0: it must be at least 1; state=open lets writes in"):
        until_when("read_only", 0, NOW)


@pytest.mark.parametrize(("before", "until", "changed"), [
    ([None, None], 1_800_000_120, True),
    ([1_800_000_100, 1_800_000_100], 1_800_000_120, True),
    ([None, 0], 0, False),
    ([1_799_999_999, None], 0, False),
    ([1_799_999_999, 1_800_000_100], 0, True),
])
def test_a_moment_that_has_passed_is_as_good_as_none(before, until, changed):
    assert is_change(before, until, NOW) is changed


@pytest.mark.parametrize(("value", "seconds"), [(None, None), ("0", 0), ("1800000100", 1_800_000_100), ("green", 0)])
def test_what_the_map_may_hold(value, seconds):
    assert moment(value) == seconds
