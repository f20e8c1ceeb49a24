# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For whom a commit waits, and whether it does so every time."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.synchronous_names import always_waits_for, waits_for


@pytest.mark.parametrize(("setting", "number", "names"), [
    ("", 0, []),
    ("db2", 1, ["db2"]),
    ("db2, db3", 1, ["db2", "db3"]),
    ("FIRST 2 (db2, db3)", 2, ["db2", "db3"]),
    ("any 1 (DB2,db3)", 1, ["db2", "db3"]),
    ("2(db2, db3, db4)", 2, ["db2", "db3", "db4"]),
    (' FIRST 1 ( "db 2", "a""b" ) ', 1, ["db 2", 'a"b']),
    ("*", 1, ["*"]),
    ("first, any", 1, ["first", "any"]),
])
def test_the_setting_is_read_as_the_server_reads_it(setting, number, names):
    assert waits_for(setting) == (number, names)


@pytest.mark.parametrize(("setting", "always", "never"), [
    ("", "", "db2 db3"),
    ("db2", "db2 DB2", "db3"),
    ("db2, db3", "", "db2 db3"),
    ("FIRST 1 (db2, db3)", "", "db2 db3"),
    ("ANY 2 (db2, db3)", "db2 db3", "db4"),
    ("FIRST 2 (db2, db3)", "db2 db3", "db4"),
    ("ANY 2 (db2, db3, db4)", "", "db2 db3 db4"),
    ("*", "", "db2 *"),
    ("FIRST 2 (db2, *)", "", "db2"),
    ("FIRST 1 (db2, db2)", "db2", "db3"),
])
def test_one_of_several_that_are_enough_is_not_always_waited_for(setting, always, never):
    assert always.split() + never.split()
    assert all(always_waits_for(setting, name) for name in always.split())
    assert not any(always_waits_for(setting, name) for name in never.split())
