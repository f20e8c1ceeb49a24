# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else holds the package manager's lock.

When another package manager is at work on a member, then it is waited for a bounded time, and its process is named.
"""

from __future__ import annotations

from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("lab",)


def test_the_holder_is_named(fleet):
    fleet.old_packages()
    with fleet.package_lock_held("app5"):
        run = fleet.run("patch", patching_lock_timeout=2)
    i8_ends_in_error_and_says_what_next(run, "the package updates of app5 cannot be read", "holds /var/lib/dpkg/lock-frontend", "hold-the-lock")
    i7_all_of_it_or_nothing(fleet, "1.0.0")
    i4_no_request_failed(fleet)
