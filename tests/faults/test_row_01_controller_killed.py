# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller is killed.

When the controller of an upgrade dies by SIGKILL while a member is out of traffic,
then the same command continues, and ends as if nothing had happened.
(tests/sweep/kill_sweep.py does this at every event.)
"""

from __future__ import annotations

from faults.deaths import killed_at
from faults.invariants import i1_what_is_recorded_is_what_the_hosts_show, i3_never_under_the_floor, i4_no_request_failed, i7_all_of_it_or_nothing

ON = ("embedded",)


def test_the_same_command_continues(fleet):
    killed_at(fleet, "ok:2:Take the member out of traffic", upgrade_release="2.0.0")
    assert any(members != fleet.everybody for members in fleet.in_traffic().values()), "nobody was out"
    resumed = fleet.run("upgrade", upgrade_release="2.0.0")
    assert resumed.code == 0, resumed.output[-3000:]
    assert "was taken over" in resumed.words
    i1_what_is_recorded_is_what_the_hosts_show(fleet)
    i3_never_under_the_floor(fleet, 3)
    i4_no_request_failed(fleet)
    i7_all_of_it_or_nothing(fleet, "2.0.0")
