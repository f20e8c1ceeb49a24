# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host dies in the middle of its upgrade.

When a member's host dies while it is out of traffic, then the roll stops, the host stays out, and nobody else is touched.
"""

from __future__ import annotations

from faults.fleets import wait_until
from faults.invariants import i3_never_under_the_floor, i4_no_request_failed, i8_ends_in_error_and_says_what_next

ON = ("lab",)


def test_the_roll_stops(fleet):
    running = fleet.begin("upgrade", upgrade_release="2.0.0", upgrade_method="rolling", upgrade_max_unavailable=1)
    victim = fleet.first_out()
    fleet.kill(victim)
    i8_ends_in_error_and_says_what_next(running.end(), victim, "stays out of traffic", "alwayson.upgrade.status")
    left = fleet.everybody - {victim}
    assert {fleet.release_of(member) for member in left} == {"1.0.0"}
    wait_until(lambda: fleet.in_traffic() == {"lb1": left, "lb2": left}, "the others take the traffic")
    i3_never_under_the_floor(fleet, 5)
    i4_no_request_failed(fleet)
