# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stale lock.

When a lock is left by a run on a machine that nobody can ask, then it is never taken silently:
the next run is refused, and goes on only with the lock's id and a reason, which stay in the lock's history.
"""

from __future__ import annotations

import json

import pytest
from faults.deaths import killed_at
from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded",)
pytestmark = pytest.mark.thorough


def test_it_is_taken_only_by_its_id_with_a_reason(fleet):
    killed_at(fleet, "ok:1:Take the member out of traffic", upgrade_release="2.0.0")
    path = fleet.directory / "state" / "shop.lock"
    lock = json.loads(path.read_text(encoding="utf-8"))
    # As if the run had been started elsewhere: another machine, of which this one cannot tell who is alive there.
    elsewhere = {**lock, "host": "elsewhere", "controller": {**lock["controller"], "machine": "f" * 32, "boot": "0" * 36}}
    path.write_text(json.dumps(elsewhere), encoding="utf-8")
    refused = fleet.run("upgrade", upgrade_release="2.0.0")
    i8_ends_in_error_and_says_what_next(refused, lock["id"], "elsewhere", "upgrade_take_over", "upgrade_reason")
    unexplained = fleet.run("upgrade", upgrade_release="2.0.0", upgrade_take_over=lock["id"])
    i8_ends_in_error_and_says_what_next(unexplained, "upgrade_reason")
    taken = fleet.run("upgrade", upgrade_release="2.0.0", upgrade_take_over=lock["id"], upgrade_reason="its machine burnt down")
    assert taken.code == 0, taken.output[-3000:]
    history = "".join(file.read_text(encoding="utf-8") for file in (fleet.directory / "state").glob("shop*") if file.is_file())
    assert "its machine burnt down" in history
    i4_no_request_failed(fleet)
    i7_all_of_it_or_nothing(fleet, "2.0.0")
