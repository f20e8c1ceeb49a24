# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host never returns from its reboot.

When a member is patched and its host does not come back from the reboot, then it stays out of traffic and is named, and nobody else is touched.
"""

from __future__ import annotations

from faults.invariants import i3_never_under_the_floor, i4_no_request_failed, i8_ends_in_error_and_says_what_next

ON = ("lab",)
# A host that hangs while it shuts down: its services are gone, nobody is logged in, nobody gets in any more.
HANG = "systemd-run --quiet --on-active=1 sh -c 'systemctl stop shop ssh; pkill -u deploy sshd'"


def test_it_is_left_out_and_nobody_else_is_touched(fleet):
    fleet.old_packages()
    run = fleet.run("patch", upgrade_max_unavailable=1, upgrade_reboot_timeout=15, patching_reboot_command=HANG)
    i8_ends_in_error_and_says_what_next(run, "stays out of traffic", "alwayson.upgrade.status")
    gone = {member for member, release in fleet.releases().items() if release is None}
    assert len(gone) == 1 and min(gone) in run.words
    left = fleet.everybody - gone
    assert fleet.in_traffic() == {"lb1": left, "lb2": left}
    assert all(fleet.package(member, "lab-kernel") == "1.0" and not fleet.holds_updates(member) for member in left)
    i3_never_under_the_floor(fleet, 5)
    i4_no_request_failed(fleet)
