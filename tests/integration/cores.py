# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supported ansible-cores that this machine may have (see tests/cores.sh), by version: each one's ansible-playbook; and what they may warn of.

The whole path runs on the newest core (integration/upgrade/test_whole_path.py, half-pool) and on the oldest (test_blue_green.py, blue-green).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CORES = {core: REPOSITORY / "build" / "cores" / core / "bin" / "ansible-playbook" for core in ("2.19", "2.20", "2.21")}
# The oldest and the newest are asked every time, the one between by make thorough.
OLDEST, BETWEEN, NEWEST = sorted(CORES)
EACH_CORE = [pytest.param(core, marks=pytest.mark.thorough) if core == BETWEEN else core for core in sorted(CORES)]
# For what no core has a part in.
NEWEST_CORE = [core if core == NEWEST else pytest.param(core, marks=pytest.mark.thorough) for core in sorted(CORES)]

# A warning, and why it is expected. Every other warning fails the test of the whole path.
EXPECTED_WARNINGS = {
    "Use of strategy plugins not included in ansible.builtin are deprecated": "announced without an end; docs/without_the_strategy.md is the way without ours",
    "Deprecation warnings can be disabled by setting `deprecation_warnings=False`": "core says so with every first deprecation",
    "the roll stops: ": "of the strategy itself, in runs that have to fail",
    " was taken over, for this reason: its controller, ": "in runs that continue one which was killed",
}
WARNING = re.compile(r"^\[(?:DEPRECATION )?WARNING\].*", re.MULTILINE)
# So that a core says all that it has to say.
LOUD = {"ANSIBLE_DEPRECATION_WARNINGS": "true", "ANSIBLE_LOCALHOST_WARNING": "true", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "true",
        "ANSIBLE_DEVEL_WARNING": "true", "ANSIBLE_SYSTEM_WARNINGS": "true"}


def installed(core: str) -> Path:
    """The program of a core; the test is skipped where this machine does not have it."""
    program = CORES[core]
    if not program.exists():
        pytest.skip(f"ansible-core {core}: no Python on this machine runs it (see tests/cores.sh)")
    return program


def unexpected_warnings(output: str) -> list[str]:
    """The warnings in what a playbook printed that EXPECTED_WARNINGS does not list."""
    return [warning for warning in WARNING.findall(output) if not any(text in warning for text in EXPECTED_WARNINGS)]
