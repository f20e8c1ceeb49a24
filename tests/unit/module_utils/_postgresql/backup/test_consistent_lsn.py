# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.consistent_lsn import (
    Commit, Snapshot, commits, consistent_lsns, end_of_segment, interval, position_of, text_of,
)
from hypothesis import given
from hypothesis import strategies as st

WRITTEN = """\
rmgr: Heap        len (rec/tot):     54/   150, tx:        741, lsn: 0/03000060, prev 0/03000028, desc: INSERT off: 1, blkref #0: rel 1663/16384/16390 blk 0
rmgr: Heap        len (rec/tot):     54/   150, tx:        743, lsn: 0/03000100, prev 0/03000060, desc: INSERT off: 1, blkref #0: rel 1663/16385/16390 blk 0
rmgr: XLOG        len (rec/tot):     54/   150, tx:          0, lsn: 0/03000180, prev 0/03000100, desc: FPI , blkref #0: rel 1663/16386/1259 blk 0 FPW
rmgr: Transaction len (rec/tot):     34/    34, tx:        741, lsn: 0/03000200, prev 0/03000180, desc: COMMIT 2027-01-01 00:00:00.000000 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        742, lsn: 0/03000300, prev 0/03000200, desc: COMMIT 2027-01-01 00:00:00.1 UTC; subxacts: 743 744
rmgr: Transaction len (rec/tot):     34/    34, tx:        745, lsn: 0/03000400, prev 0/03000300, desc: ABORT 2027-01-01 00:00:00.200000 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:          0, lsn: 0/03000500, prev 0/03000400, desc: COMMIT_PREPARED 746: 2027-01-01 00:00:00.2 UTC
"""


def test_commits_are_read_with_their_databases():
    assert commits(WRITTEN.splitlines()) == [Commit(741, 0x3000200, 16384), Commit(742, 0x3000300, 16385), Commit(746, 0x3000500, None)]


def test_a_snapshot_sees_what_had_ended():
    snapshot = Snapshot.of("740:745:741,743")
    assert [number for number in range(739, 747) if snapshot.sees(number)] == [739, 740, 742, 744]
    assert Snapshot.of(f"{2**32 - 2}:{2**32 + 5}:").sees(2**32 - 1), "ids went round"
    assert Snapshot.of(f"{2**32 - 2}:{2**32 + 5}:").sees(4) and not Snapshot.of(f"{2**32 - 2}:{2**32 + 5}:").sees(5)


def test_only_commits_in_the_same_database_matter():
    log = [Commit(1, 10, 7), Commit(2, 20, 8), Commit(3, 30, 7), Commit(4, 40, None)]
    snapshot = Snapshot.of("2:4:2")
    assert interval(snapshot, 7, log) == (30, 40)
    assert interval(snapshot, 8, log) == (0, 20)
    assert interval(Snapshot.of("2:5:2"), 8, log) is None, "the fourth is seen, the second is not"
    assert interval(Snapshot.of("9:9:"), 7, log) is None, "the log does not say where it ends"


@given(st.dictionaries(st.text(max_size=3), st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=12))
def test_every_interval_is_met_once(intervals):
    found = consistent_lsns(intervals)
    assert sorted(name for names in found.values() for name in names) == sorted(intervals)
    assert all(intervals[name][0] < at <= intervals[name][1] for at, names in found.items() for name in names)
    assert list(found) == sorted(found)


def test_positions():
    assert text_of(position_of("1A/3000200")) == "1A/03000200"
    assert end_of_segment("0000000200000001000000FF", 1 << 24) == (2, 2 << 32)
