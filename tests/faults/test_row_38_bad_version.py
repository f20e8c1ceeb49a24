# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version that is none.

When the release to go to is "latest", has a space in it or is older than what runs, then the plan refuses it.
"""

from __future__ import annotations

import pytest

from faults.invariants import i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded",)


@pytest.mark.thorough
def test_it_is_refused_in_the_plan(fleet):
    for version, words in (("latest", "not a version"), ("2.0 0", "not a version"), ("0.9.0", "older than 1.0.0")):
        artifact = {"upgrade_artifact": str(fleet.artifact("2.0.0")), "upgrade_artifact_sha256": "0" * 64}
        i8_ends_in_error_and_says_what_next(fleet.run("plan", upgrade_release=version, **artifact), words, version)
    i7_all_of_it_or_nothing(fleet, "1.0.0")
