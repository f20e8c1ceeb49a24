# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before an old primary is stopped to follow the new one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin.survey import (
    FUNCTIONS, RECOVERY_TARGETS, Source, Target, follows, has_to_rewind, problem, problem_of_settings,
)

OLD = Target("the server in /data", "77", "15", timeline=1, has_hints=True, is_standby=False, receives=False)
NEW = Source("10.0.0.52, port 5432", "77", "15", timeline=2, role="upgrade")
REWOUND = replace(OLD, timeline=2, is_standby=True)


@pytest.mark.parametrize(("old", "new", "reason"), [
    # Run on the host of the new primary, on that of a server that took writes beside it, or with the old primary's address.
    (replace(OLD, timeline=2), NEW, "is the primary itself, or took writes beside it"),
    (replace(OLD, timeline=3), NEW, "the one that is to follow is the newer primary"),
    (replace(REWOUND, timeline=3), NEW, "the one that is to follow is the newer primary"),
    (OLD, replace(NEW, demoted=True), "was demoted"),
    # Run on the host of another standby.
    (replace(REWOUND, receives=True), NEW, "receives the log already, not as db1"),
    (replace(OLD, is_standby=True, receives=True), NEW, "receives the log already, not as db1"),
    # Another one has its name.
    (OLD, replace(NEW, streams=True), "another server streams from 10.0.0.52, port 5432 as db1"),
    (replace(OLD, version="14"), NEW, "of version 14, and .* of 15"),
    (replace(OLD, system_identifier="78"), NEW, "they are two clusters"),
    (replace(OLD, has_hints=False), NEW, "neither data_checksums nor wal_log_hints=on"),
    (OLD, replace(NEW, lacks=FUNCTIONS[2:]), r"GRANT EXECUTE ON FUNCTION pg_read_binary_file\(text\), pg_read_binary_file.* TO upgrade"),
])
def test_what_is_no_old_primary_of_this_one_is_refused(old, new, reason):
    with pytest.raises(AssertionError, match=reason):
        assert problem(old, new, "db1") is None
    assert not follows(old, new)


@pytest.mark.parametrize(("old", "rewinds"), [
    (OLD, True),
    # Fenced; rewound by a run that did not get to its end.
    (replace(OLD, is_standby=True), True),
    (REWOUND, False),
    (replace(REWOUND, has_hints=False), False),
])
def test_an_old_primary_is_rewound_until_it_is_on_the_timeline_of_the_new_one(old, rewinds):
    assert problem(old, NEW, "db1") is None
    assert has_to_rewind(old, NEW) is rewinds


def test_it_follows_when_the_primary_and_its_own_processes_say_so():
    assert follows(replace(REWOUND, receives=True), replace(NEW, streams=True))
    assert not follows(REWOUND, replace(NEW, streams=True))
    assert not follows(replace(REWOUND, receives=True), NEW)
    assert not follows(replace(REWOUND, receives=True, system_identifier="78"), replace(NEW, streams=True))


@pytest.mark.parametrize("name", ["", "d" * 64, "dä1", "db\n1"])
def test_a_name_that_the_primary_would_not_show_is_refused(name):
    assert "choose another one" in problem(OLD, NEW, name)


def test_settings_with_which_it_would_not_stream_are_refused_where_they_are_not_taken_away():
    good = {**RECOVERY_TARGETS, "primary_slot_name": ""}
    assert problem_of_settings(good, (), False) is None
    for name in RECOVERY_TARGETS:
        bad = {**good, name: "current"}
        assert problem_of_settings(bad, (), False).startswith(f"{name} is 'current' in its configuration")
        assert problem_of_settings(bad, {name}, False) is None
    slot = {**good, "primary_slot_name": "db1"}
    assert "SELECT pg_create_physical_replication_slot('db1')" in problem_of_settings(slot, (), False)
    assert problem_of_settings(slot, (), True) is problem_of_settings(slot, {"primary_slot_name"}, False) is None
