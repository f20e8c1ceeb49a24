# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""These tests need a PgBouncer. CI has to have one; elsewhere they say what is missing."""

from __future__ import annotations

import os

import pytest
from fleet.pooler import PoolerError, find_binary
from integration.switchover.pair import CELLAR


@pytest.fixture(scope="session", autouse=True)
def _pgbouncer():
    try:
        find_binary(CELLAR)
    except PoolerError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
