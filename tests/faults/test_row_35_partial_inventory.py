# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory names only a part of the pool.

When a host is missing in the inventory that the load balancers send traffic to, then the upgrade is refused and names it.
"""

from __future__ import annotations

import pytest

from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded", "lab")


@pytest.mark.thorough
def test_it_is_refused(fleet):
    with fleet.inventory_without("app6"):
        run = fleet.run("upgrade", upgrade_release="2.0.0")
    i8_ends_in_error_and_says_what_next(run, "sends traffic to app/app6, which is no host of group", "add it to the inventory")
    i7_all_of_it_or_nothing(fleet, "1.0.0")
    i4_no_request_failed(fleet)
