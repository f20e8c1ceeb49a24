# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A load balancer does not answer.

When one of two load balancers is frozen, then no member leaves traffic, because nobody could prove it on all of them.
"""

from __future__ import annotations

import pytest
from faults.invariants import i8_ends_in_error_and_says_what_next

ON = ("embedded", "lab")


@pytest.mark.thorough
def test_nothing_is_changed(fleet):
    before = fleet.in_traffic()["lb1"]
    fleet.freeze("lb2")
    try:
        run = fleet.run("upgrade", upgrade_release="2.0.0", upgrade_drain_timeout=10)
        i8_ends_in_error_and_says_what_next(run, "lb2")
    finally:
        fleet.thaw("lb2")
    assert set(fleet.releases().values()) == {"1.0.0"}
    assert fleet.in_traffic() == {"lb1": before, "lb2": before}
