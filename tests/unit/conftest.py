# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make `ansible_collections.alwayson.upgrade` importable from a plain clone, without installing the collection."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest
from foreground import hear_signals

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTIONS = REPOSITORY / "build" / "collections"


def link_collection() -> None:
    """Create build/collections/ansible_collections/alwayson/upgrade as a link to this clone."""
    link = COLLECTIONS / "ansible_collections" / "alwayson" / "upgrade"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(REPOSITORY, link.parent), target_is_directory=True)


hear_signals()
link_collection()
sys.path.insert(0, str(COLLECTIONS))
# How long an example takes says nothing on a machine that does other work besides.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No test waits for a load balancer that does not answer, unless it says for how long."""
    from ansible_collections.alwayson.upgrade.plugins.module_utils._host import patience

    monkeypatch.setattr(patience, "SECONDS", 0.0)
