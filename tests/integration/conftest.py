# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests share: the import paths of the unit tests, and a pool of small members behind two real HAProxy."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "build" / "collections")]

from foreground import hear_signals
from integration.haproxy.real_pool import Pool

hear_signals()
NUMBERED = re.compile(r"test_\d+_")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Numbered tests build on each other: what a thorough one builds on runs with it. Before tests are chosen by their marks."""
    if not config.option.markexpr.startswith("thorough"):
        return
    needed = {}
    for item in reversed(items):
        if NUMBERED.match(item.name):
            needed[item.path] = needed.get(item.path) or item.get_closest_marker("thorough") is not None
            if needed[item.path]:
                item.add_marker(pytest.mark.thorough)


@pytest.fixture(scope="module")
def started_pool(tmp_path_factory):
    with Pool(tmp_path_factory.mktemp("pool")) as pool:
        yield pool


@pytest.fixture
def pool(started_pool):
    """The module's pool as it was at first."""
    started_pool.reset()
    return started_pool
