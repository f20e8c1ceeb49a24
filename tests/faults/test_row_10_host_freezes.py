# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host freezes in the middle of its upgrade.

When a member's host stops answering without closing anything, then it is unreachable within a bounded time, and the roll stops.
"""

from __future__ import annotations

import time

from faults.invariants import i3_never_under_the_floor, i4_no_request_failed, i8_ends_in_error_and_says_what_next

ON = ("lab",)
# ServerAliveInterval and ServerAliveCountMax of the lab's inventory make it 14 s for the task at hand and as much for the next try.
BOUND_S = 120


def test_it_is_unreachable_within_a_bounded_time(fleet):
    running = fleet.begin("upgrade", upgrade_release="2.0.0", upgrade_method="rolling", upgrade_max_unavailable=1)
    victim = fleet.first_out()
    fleet.freeze(victim)
    frozen = time.monotonic()
    run = running.end()
    took = time.monotonic() - frozen
    i8_ends_in_error_and_says_what_next(run, victim, "stays out of traffic")
    assert took < BOUND_S
    left = fleet.everybody - {victim}
    assert {fleet.release_of(member) for member in left} == {"1.0.0"}
    i3_never_under_the_floor(fleet, 5)
    i4_no_request_failed(fleet)
