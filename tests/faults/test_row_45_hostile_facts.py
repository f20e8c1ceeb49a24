# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile facts.

When a host answers what looks like a template, in its facts and in the application's own words, then it is inert text.
"""

from __future__ import annotations

import json

import pytest
from faults.invariants import i7_all_of_it_or_nothing

ON = ("embedded",)
pytestmark = pytest.mark.thorough


def test_they_are_inert(fleet):
    trap = fleet.directory / "sprung"
    template = f"{{{{ lookup('ansible.builtin.pipe', 'touch {trap}') }}}}"
    for member in fleet.everybody:
        root = fleet.root(member)
        (root / ".last_upgrade.json").write_text(json.dumps({"release": template, "seconds": template}), encoding="utf-8")
        marker = json.loads((root / "current" / ".release.json").read_text(encoding="utf-8"))
        (root / "current" / ".release.json").write_text(json.dumps({**marker, "note": template, "staged": template}), encoding="utf-8")
        (root / "releases" / template.replace("/", "_")).mkdir()
    fleet.run("plan", upgrade_release="2.0.0")
    fleet.run("status")
    run = fleet.run("upgrade", upgrade_release="2.0.0")
    assert not trap.exists()
    assert run.code == 0, run.output[-3000:]
    i7_all_of_it_or_nothing(fleet, "2.0.0")
