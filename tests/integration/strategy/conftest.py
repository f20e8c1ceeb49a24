# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage for small plays, on every supported ansible-core that this machine can run."""

from __future__ import annotations

import pytest
from integration.cores import CORES, EACH_CORE
from integration.strategy.plays import Stage


@pytest.fixture(params=EACH_CORE)
def play(request, tmp_path) -> Stage:
    """Runs plays on one core."""
    program = CORES[request.param]
    if not program.exists():
        pytest.skip(f"ansible-core {request.param}: no Python on this machine runs it (see tests/cores.sh)")
    return Stage(program, tmp_path)
