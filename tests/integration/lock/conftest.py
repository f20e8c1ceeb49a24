# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from integration.cores import CORES, NEWEST_CORE
from operators import DEVELOPERS_OWN, Operators


@pytest.fixture(params=NEWEST_CORE, name="on_each_core")
def _on_each_core(request, tmp_path):
    """Operators on each supported ansible-core."""
    if not CORES[request.param].exists():
        pytest.skip(f"ansible-core {request.param}: no Python on this machine runs it (see tests/cores.sh)")
    return Operators(CORES[request.param], tmp_path)


@pytest.fixture(name="operators")
def _operators(tmp_path):
    """Operators on the ansible-core that these tests run on."""
    return Operators(DEVELOPERS_OWN, tmp_path)
