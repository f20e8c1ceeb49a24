# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab for tests: as it is, or started for them and taken down after the last one."""

from __future__ import annotations

import pytest

from lab.lab import Lab
from lab.leftovers import leftovers
from lab.podman import missing


@pytest.fixture(scope="session")
def lab():
    """The lab. Skipped, with the reason, where this machine cannot have one."""
    if why := missing():
        pytest.skip(why)
    lab = Lab()
    if lab.is_up():
        yield lab
        return
    lab.up()
    try:
        yield lab
    finally:
        lab.down()
        assert leftovers(lab) == []
