# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C.

When an operator presses Ctrl-C in the middle of a roll, then those that are out come back first, nobody else leaves,
and the run says how to go on. The same command goes on.
"""

from __future__ import annotations

import signal

import pytest
from faults.fleets import wait_until
from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded",)


@pytest.mark.thorough
def test_it_stops_at_a_safe_point(fleet):
    running = fleet.begin("upgrade", upgrade_release="2.0.0", upgrade_method="rolling")
    wait_until(lambda: any(members != fleet.everybody for members in fleet.in_traffic().values()), "a member left traffic")
    running.send(signal.SIGINT)
    run = running.end()
    i8_ends_in_error_and_says_what_next(run, "Ctrl-C", "alwayson.upgrade.status")
    assert fleet.in_traffic() == {"lb1": fleet.everybody, "lb2": fleet.everybody}
    assert set(fleet.releases().values()) == {"1.0.0", "2.0.0"}
    assert fleet.run("upgrade", upgrade_release="2.0.0", upgrade_method="rolling").code == 0
    i4_no_request_failed(fleet)
    i7_all_of_it_or_nothing(fleet, "2.0.0")
