# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage for small plays, on every supported ansible-core that this machine can run."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.cores import CORES, EACH_CORE, OLDEST
from integration.strategy.plays import Stage

# What these show is decided before the engine of a core has a part in it: the oldest core is asked by make thorough.
ON_THE_NEWEST = {"test_budget.py", "test_cleanup.py", "test_deadlines.py", "test_exactly_once.py", "test_live_capacity.py", "test_on_failure.py",
                 "test_operator.py", "test_order.py", "test_refusals.py", "test_rollout_callback.py", "test_without_the_strategy.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Before tests are chosen by their marks."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name in ON_THE_NEWEST and f"[{OLDEST}" in item.name:
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(params=EACH_CORE)
def play(request, tmp_path) -> Stage:
    """Runs plays on one core."""
    program = CORES[request.param]
    if not program.exists():
        pytest.skip(f"ansible-core {request.param}: no Python on this machine runs it (see tests/cores.sh)")
    return Stage(program, tmp_path)
