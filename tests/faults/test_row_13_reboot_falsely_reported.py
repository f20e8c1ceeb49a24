# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reboot that was none.

When the command that is to reboot a host does nothing and says that all is well, then the host's patching fails, and it comes back into traffic as it was.
"""

from __future__ import annotations

from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("lab",)


def test_it_is_not_believed(fleet):
    fleet.old_packages()
    run = fleet.run("patch", upgrade_max_unavailable=1, upgrade_reboot_timeout=8, patching_reboot_command="/bin/true")
    i8_ends_in_error_and_says_what_next(run, "Reboot")
    assert sum(fleet.package(member, "lab-kernel") == "2.0" for member in fleet.everybody) == 1
    assert not any(fleet.holds_updates(member) for member in fleet.everybody)
    i7_all_of_it_or_nothing(fleet, "1.0.0")
    i4_no_request_failed(fleet)
