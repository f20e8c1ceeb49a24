# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back fails, too.

When a release fails its smoke test on a member, and the release before is gone from that member,
then it is said so, that member stays out of traffic, and nobody else is touched.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.invariants import i3_never_under_the_floor, i4_no_request_failed, i8_ends_in_error_and_says_what_next

ON = ("embedded",)
HOOK = Path(__file__).parent / "hooks" / "lose_the_old_release.yml"


@pytest.mark.thorough
def test_that_member_stays_out_and_the_rest_is_untouched(fleet):
    run = fleet.run("upgrade", upgrade_release="2.0.1", upgrade_method="rolling", upgrade_max_unavailable=1, upgrade_before_roll=[str(HOOK)])
    i8_ends_in_error_and_says_what_next(run, "was left out of traffic", "alwayson.upgrade.status")
    report = run.report
    out = [name for name, member in report["members"].items() if member["outcome"] == "left_out"]
    assert len(out) == 1
    left = fleet.everybody - set(out)
    assert {member["outcome"] for name, member in report["members"].items() if name in left} == {"untouched"}
    assert {fleet.release_of(member) for member in left} == {"1.0.0"}
    assert fleet.in_traffic() == {"lb1": left, "lb2": left}
    i3_never_under_the_floor(fleet, 5)
    i4_no_request_failed(fleet)
