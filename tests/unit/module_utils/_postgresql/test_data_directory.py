# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory from outside: whose it is, its port, whether its server runs; and what keeps it from being promoted."""

from __future__ import annotations

import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.data_directory import DataDirectory, DataDirectoryError, read_control
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin.demote import NO_PROMOTION, without_promotion

SAID = """\
pg_control version number:            1800
Database system identifier:           7711212902143947855
Database cluster state:               {state}
pg_control last modified:             Mon Nov 23 04:01:08 2026
Latest checkpoint's TimeLineID:       {checkpoint}
Latest checkpoint's PrevTimeLineID:   1
Min recovery ending loc's timeline:   {recovery}
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "pg_controldata"
    program.write_text("#!/bin/sh\necho nothing\n")
    program.chmod(0o755)
    data = tmp_path / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    return DataDirectory(str(data), str(program.parent))


@pytest.mark.parametrize(("checkpoint", "recovery", "timeline"), [(1, 0, 1), (1, 2, 2), (3, 0, 3)])
def test_a_server_that_was_just_promoted_is_on_its_new_timeline(checkpoint, recovery, timeline):
    found = read_control(SAID.format(state="in production", checkpoint=checkpoint, recovery=recovery))
    assert (found.system_identifier, found.state, found.timeline) == ("7711212902143947855", "in production", timeline)


def test_what_is_no_data_directory_is_named(directory, tmp_path):
    with pytest.raises(DataDirectoryError, match=r"does not tell whose .* is: nothing"):
        directory.control()
    with pytest.raises(DataDirectoryError, match="is no data directory of PostgreSQL"):
        DataDirectory(str(tmp_path / "bin"), str(tmp_path / "bin"))
    with pytest.raises(DataDirectoryError, match=r"there is no program .*pg_controldata: give .* bin_dir"):
        DataDirectory(directory.path, directory.path)


@pytest.mark.parametrize(("lock", "options", "port"), [
    ("", "", None),
    ("12\n/data\n1\n5433\n", '/bin/postgres "-p" "6000"', 5433),
    ("", '/bin/postgres "-D" "/data/5" "-p" "6000"', 6000),
    ("", '/bin/postgres "-p6001"', 6001),
    ("", '/bin/postgres "--port=6002"', 6002),
    ("", '/bin/postgres "-c" "port=6003"', 6003),
    ("", '/bin/postgres "-D" "/data"', None),
])
def test_its_port_is_what_it_was_started_with(directory, lock, options, port):
    for name, text in (("postmaster.pid", lock), ("postmaster.opts", options)):
        with open(directory.file(name), "w", encoding="utf-8") as file:
            file.write(text)
    assert directory.port() == port


def test_a_lock_file_that_was_left_names_nobody_at_work_here(directory):
    assert directory.server() is None
    for pid, expected in ((2**22 + 1, None), (os.getpid(), None)):
        with open(directory.file("postmaster.pid"), "w", encoding="utf-8") as file:
            file.write(f"{pid}\n")
        assert directory.server() is expected
    before = os.getcwd()
    os.chdir(directory.path)
    try:
        assert directory.server() == os.getpid()
    finally:
        os.chdir(before)


@pytest.mark.parametrize("text", ["", "port = 5432\n", "port = 5432", "recovery_target_action = 'promote'\nrecovery_target_time = '2026-01-01'\n"])
def test_a_target_of_recovery_that_was_left_makes_no_primary(text):
    after = without_promotion(text)
    assert after.endswith(NO_PROMOTION) and after.count("recovery_target_action") == 1 and without_promotion(after) == after
    assert [line for line in text.splitlines() if "action" not in line] == after.splitlines()[:-1]
