# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal is edited.

When a byte of the journal was changed after a run, then the next run says that its chain is broken, and keeps the broken one.
"""

from __future__ import annotations

import pytest
from faults.invariants import i7_all_of_it_or_nothing

ON = ("embedded",)
pytestmark = pytest.mark.thorough
SCREEN = {"ANSIBLE_STDOUT_CALLBACK": "alwayson.upgrade.rollout"}


def test_the_broken_chain_is_found(fleet):
    assert fleet.run("upgrade", SCREEN, upgrade_release="2.0.0").code == 0
    journal = fleet.report_directory / "journal.jsonl"
    assert journal.stat().st_mode & 0o777 == 0o600
    text = journal.read_text(encoding="utf-8")
    assert "2.0.0" in text
    journal.write_text(text.replace("2.0.0", "3.0.0", 1), encoding="utf-8")
    run = fleet.run("upgrade", SCREEN, upgrade_release="2.0.0")
    assert run.code == 0 and "journal" in run.words and list(fleet.report_directory.glob("journal.broken-*.jsonl"))
    i7_all_of_it_or_nothing(fleet, "2.0.0")
