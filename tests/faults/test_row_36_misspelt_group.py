# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An empty or misspelt group.

When the group of the members is misspelt, then the run ends in error with the name that was probably meant; never "ok, 0 hosts".
"""

from __future__ import annotations

import pytest

from faults.invariants import i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded",)


@pytest.mark.thorough
def test_it_is_an_error(fleet):
    run = fleet.run("upgrade", upgrade_release="2.0.0", upgrade_members="apps")
    i8_ends_in_error_and_says_what_next(run, "upgrade_members is 'apps', and the inventory has no such group", "did you mean 'app'?")
    i7_all_of_it_or_nothing(fleet, "1.0.0")
