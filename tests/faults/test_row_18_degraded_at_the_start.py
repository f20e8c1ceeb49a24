# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool is short of servers already.

When members are dead before an upgrade begins, so that nobody else may leave traffic, then it is refused and the dead ones are named.
"""

from __future__ import annotations

import pytest
from faults.fleets import wait_until
from faults.invariants import i3_never_under_the_floor, i8_ends_in_error_and_says_what_next

ON = ("embedded", "lab")


@pytest.mark.thorough
def test_it_is_refused(fleet):
    for member in ("app5", "app6"):
        fleet.kill(member)
    left = fleet.everybody - {"app5", "app6"}
    wait_until(lambda: fleet.in_traffic() == {"lb1": left, "lb2": left}, "the load balancers noticed")
    run = fleet.run("upgrade", upgrade_release="2.0.0", upgrade_method="rolling", upgrade_min_live=5)
    i8_ends_in_error_and_says_what_next(run, "app5" if fleet.name == "lab" else "only 4 of 6 members are live", "app")
    assert {fleet.release_of(member) for member in left} == {"1.0.0"}
    assert fleet.in_traffic() == {"lb1": left, "lb2": left}
    i3_never_under_the_floor(fleet, 4)
    assert fleet.users_saw().scheduled > 0
