# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host answers the old release at the end.

When somebody puts one member back to the old release after the roll, then the run is not "done":
it asks every member, through the users' path, and names that one.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.invariants import i8_ends_in_error_and_says_what_next

ON = ("embedded",)
HOOK = Path(__file__).parent / "hooks" / "revert_app3.yml"


@pytest.mark.thorough
def test_the_run_is_not_done(fleet):
    run = fleet.run("upgrade", upgrade_release="2.0.0", upgrade_before_open=[str(HOOK)])
    i8_ends_in_error_and_says_what_next(run, "app3", "1.0.0")
    assert run.report["ok"] is False
    assert fleet.release_of("app3") == "1.0.0"
    assert fleet.users_saw().scheduled > 0
