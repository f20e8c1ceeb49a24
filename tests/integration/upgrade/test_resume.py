# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller is killed, and the same command continues from another directory: at a rolling upgrade and before a flip back.

The fault table has a half-pool upgrade (rows 1 and 2); tests/sweep/kill_sweep.py does this at every event.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep.kill_sweep import Sweep

pytestmark = pytest.mark.thorough
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def sweep():
    with Sweep(REPOSITORY / "build" / "integration" / "test_resume", "half_pool") as sweep:
        yield sweep


# In this order: each rollback goes back from where the upgrade before it went. "start" leaves a task alive that its controller will never hear of.
@pytest.mark.parametrize(("playbook", "method", "event"), [
    ("upgrade", "rolling", "ok:3:Take the member out of traffic"),
    ("rollback", "half_pool", "start:1:Move the traffic"),
])
def test_the_same_command_continues_after_its_controller_was_killed(sweep, playbook, method, event):
    sweep.method = method
    result = sweep.killed_and_resumed(playbook, event)
    assert result["killed"], f"no event {event}"
    assert result["problems"] == []
    assert "was taken over" in (sweep.directory / f"{playbook}.log").read_text(encoding="utf-8")
