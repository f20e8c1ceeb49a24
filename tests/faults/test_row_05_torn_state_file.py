# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A torn state file.

When the file of the lock is cut short by a crash of its host, then a run refuses, and names the file and what to do.
Without the file it goes on from what the hosts show.
"""

from __future__ import annotations

import pytest
from faults.deaths import killed_at
from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded",)
pytestmark = pytest.mark.thorough


def test_it_is_refused_and_the_hosts_decide(fleet):
    killed_at(fleet, "ok:1:Take the member out of traffic", upgrade_release="2.0.0")
    lock = fleet.directory / "state" / "shop.lock"
    lock.write_bytes(lock.read_bytes()[:20])
    refused = fleet.run("upgrade", upgrade_release="2.0.0")
    i8_ends_in_error_and_says_what_next(refused, str(lock), "torn")
    assert set(fleet.releases().values()) == {"1.0.0"}
    lock.unlink()
    # Nobody can tell any more that a run was interrupted: what it left out is brought back first, by the one who knows.
    again = fleet.run("upgrade", upgrade_release="2.0.0")
    if again.code:
        i8_ends_in_error_and_says_what_next(again, "disagree")
    else:
        i7_all_of_it_or_nothing(fleet, "2.0.0")
    i4_no_request_failed(fleet)
