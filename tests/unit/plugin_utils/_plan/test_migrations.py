# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a phase as its steps."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.migrations import migration_steps


def test_each_file_is_a_step_of_its_name():
    assert migration_steps(["/srv/2.0.0/expand/001_add.v2.sql", "/srv/2.0.0/expand/002_fill.sql"], ["SELECT 1;\n", ""]) == [
        {"name": "001_add.v2", "sql": "SELECT 1;\n"}, {"name": "002_fill", "sql": ""}]
    assert migration_steps([], []) == []


def test_a_file_that_was_not_read_is_refused():
    with pytest.raises(ValueError, match="2 files but 1 texts"):
        migration_steps(["/a.sql", "/b.sql"], [""])
