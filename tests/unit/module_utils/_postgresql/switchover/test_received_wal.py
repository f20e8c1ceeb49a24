# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of a received log: which segment is the newest, whose it is, and who writes to it."""

from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.received_wal import ReceivedLog, ReceivedLogError, directory_given

CLUSTER = 7711212902143947855
HEAD = struct.pack("=HHIQI4xQI", 0xD118, 2, 1, 0x5000000, 0, CLUSTER, 16 << 20)
NEWEST = "000000010000000000000005"
RECORDS = "rmgr: Heap len (rec/tot): 59/59, tx: 9, lsn: 0/05000028, prev 0/0, desc: INSERT\nrmgr: XLOG len: 4, lsn: 0/{end}, prev 0/05000028, desc: X\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pg_waldump").write_text('#!/bin/sh\ncat "$1.shown" 2>/dev/null\nexit 1\n')
    (tmp_path / "bin" / "pg_waldump").chmod(0o755)
    received = tmp_path / "received"
    received.mkdir()
    for name in ("000000010000000000000004", f"{NEWEST}.partial", "00000002.history"):
        (received / name).write_bytes(HEAD)
    return received


def log(folder) -> ReceivedLog:
    return ReceivedLog(str(folder), str(folder.parent / "bin"))


def test_the_last_segment_is_shown_and_put_back(folder):
    found = log(folder)
    found.require_usable(str(CLUSTER))
    before = sorted(os.listdir(folder))
    for _again in range(2):
        found.expose()
        assert (folder / NEWEST).exists() and not (folder / f"{NEWEST}.partial").exists()
    for _again in range(2):
        found.hide()
        assert sorted(os.listdir(folder)) == before
    # Whoever did not find it partial does not make it so.
    found.expose()
    late = log(folder)
    late.require_usable(str(CLUSTER))
    late.hide()
    assert (folder / NEWEST).exists()


@pytest.mark.parametrize(("newest", "older", "end"), [("05000060", "04000060", "0/05000060"), (None, "04FFFFD0", "0/04FFFFD0")])
def test_its_end_is_the_last_record_of_the_newest_segment_that_has_one(folder, newest, older, end):
    found = log(folder)
    found.expose()
    for name, last in ((NEWEST, newest), ("000000010000000000000004", older)):
        if last:
            (folder / f"{name}.shown").write_text(RECORDS.format(end=last))
    assert found.last_record() == end


def test_a_log_without_an_end_is_an_error(folder):
    with pytest.raises(ReceivedLogError, match="finds no record in the last segments"):
        log(folder).last_record()


def test_what_is_not_this_servers_log_is_refused(folder, tmp_path):
    with pytest.raises(ReceivedLogError, match=f"has the log of system identifier {CLUSTER}, and the server's is 7"):
        log(folder).require_usable("7")
    # A segment that was just begun has no head yet: the one before has.
    (folder / f"{NEWEST}.partial").write_bytes(bytes(64))
    log(folder).require_usable(str(CLUSTER))
    (folder / "000000010000000000000006.gz").touch()
    with pytest.raises(ReceivedLogError, match=r"compressed, such as 000000010000000000000006.gz"):
        log(folder).require_usable(str(CLUSTER))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReceivedLogError, match="has no segment of a log"):
        log(tmp_path / "empty").require_usable(str(CLUSTER))
    with pytest.raises(ReceivedLogError, match="is no folder that this account can read and write"):
        log(tmp_path / "nowhere").require_usable(str(CLUSTER))
    with pytest.raises(ReceivedLogError, match=r"there is no program .*pg_waldump"):
        ReceivedLog(str(folder), str(folder)).require_usable(str(CLUSTER))


def test_a_receiver_that_does_not_end_is_named(folder):
    # In whatever encoding it says so.
    found = ReceivedLog(str(folder), str(folder.parent / "bin"), ["sh", "-c", "echo not today; printf '\\374'; exit 3"])
    with pytest.raises(ReceivedLogError, match="stop_command of pg_receivewal ended with 3: not today"):
        found.end_receiver(1.0)


@pytest.mark.parametrize(("words", "directory"), [
    (["pg_receivewal", "-D", "/log", "--synchronous"], "/log"),
    (["pg_receivewal", "--directory=/log"], "/log"),
    (["pg_receivewal", "--directory", "/log"], "/log"),
    (["pg_receivewal", "-D/log"], "/log"),
    (["pg_receivewal", "-D"], None),
    (["pg_receivewal", "--slot", "x"], None),
])
def test_the_folder_is_read_from_its_command_line(words, directory):
    assert directory_given(words) == directory
