# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operators.

When an operator upgrades the fleet and a second one starts the same,
then the second is refused and told who is at work and since when,
and the first finishes as if nobody had come.
"""

from __future__ import annotations

import json

import pytest
from faults.fleets import wait_until
from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded",)


@pytest.mark.thorough
def test_the_second_is_refused(fleet):
    first = fleet.begin("upgrade", upgrade_release="2.0.0")
    wait_until(lambda: any(members != fleet.everybody for members in fleet.in_traffic().values()), "a member left traffic")
    lock = json.loads((fleet.directory / "state" / "shop.lock").read_text(encoding="utf-8"))
    second = fleet.run("upgrade", upgrade_release="2.0.0")
    i8_ends_in_error_and_says_what_next(second, lock["id"], lock["owner"], lock["host"], "since", "upgrade_take_over")
    assert first.end().code == 0
    i4_no_request_failed(fleet)
    i7_all_of_it_or_nothing(fleet, "2.0.0")
