# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supported ansible-cores that this machine may have (see tests/cores.sh), by version: each one's ansible-playbook."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CORES = {core: REPOSITORY / "build" / "cores" / core / "bin" / "ansible-playbook" for core in ("2.19", "2.20", "2.21")}
# The oldest and the newest are asked every time, the one between by make thorough.
BETWEEN = "2.20"
OLDEST = "2.19"
EACH_CORE = [pytest.param(core, marks=pytest.mark.thorough) if core == BETWEEN else core for core in sorted(CORES)]
# For what no core has a part in.
NEWEST_CORE = [core if core == max(CORES) else pytest.param(core, marks=pytest.mark.thorough) for core in sorted(CORES)]
