# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A remote task outlives its controller.

When the controller dies while a member's release is being switched, the task on the member goes on.
Then the resumed run waits for it, and nobody is upgraded twice.
"""

from __future__ import annotations

import re

import pytest
from faults.deaths import killed_at
from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing

ON = ("embedded",)
pytestmark = pytest.mark.thorough
STARTED = re.compile(r"release (\S+) started")


def starts(fleet) -> dict[str, list[str]]:
    return {member: STARTED.findall(fleet.read(member, "log/supervisor.log") or "") for member in sorted(fleet.everybody)}


def test_the_resumed_run_waits_for_the_orphan(fleet):
    killed_at(fleet, "start:2:Make the release current", upgrade_release="2.0.0")
    resumed = fleet.run("upgrade", upgrade_release="2.0.0")
    assert resumed.code == 0, resumed.output[-3000:]
    assert starts(fleet) == {member: ["1.0.0", "2.0.0"] for member in sorted(fleet.everybody)}
    i4_no_request_failed(fleet)
    i7_all_of_it_or_nothing(fleet, "2.0.0")
