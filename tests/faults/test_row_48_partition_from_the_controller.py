# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A partition between the controller and one host only.

When the controller does not reach a member that serves its users as ever, then the upgrade is refused, and that member stays in traffic.
"""

from __future__ import annotations

from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("lab",)


def test_the_host_is_left_alone(fleet):
    with fleet.partitioned("app4"):
        run = fleet.run("upgrade", upgrade_release="2.0.0")
    i8_ends_in_error_and_says_what_next(run, "app4 cannot be reached")
    i7_all_of_it_or_nothing(fleet, "1.0.0")
    i4_no_request_failed(fleet)
