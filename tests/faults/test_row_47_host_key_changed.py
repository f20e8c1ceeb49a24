# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host has another key.

When a member's SSH host key is not the one that the authority vouches for, then nobody logs in there, and the upgrade is refused.
"""

from __future__ import annotations

from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("lab",)


def test_it_is_refused(fleet):
    with fleet.another_host_key("app2"):
        run = fleet.run("upgrade", upgrade_release="2.0.0")
    i8_ends_in_error_and_says_what_next(run, "app2 cannot be reached", "Host key verification failed")
    i7_all_of_it_or_nothing(fleet, "1.0.0")
    i4_no_request_failed(fleet)
