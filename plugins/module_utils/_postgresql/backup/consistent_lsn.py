# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments of the write-ahead log at which a restored server holds exactly what a snapshot of the running one sees. Pure: text in, positions out.

A restore up to position L holds every transaction whose commit record begins before L. A snapshot sees transactions by their ids. The two agree on a database
when L lies behind the last commit that the snapshot sees, and not behind the first one that it does not see. Commits in other databases do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

IDS = 1 << 32
RECORD = re.compile(r"tx:\s*(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), .*?desc: (\S+)(.*)")
DATABASE = re.compile(r"\brel \d+/(\d+)/\d+")
SUBTRANSACTIONS = re.compile(r"subxacts:((?: \d+)+)")
FIRST_SEGMENT_DIGITS = 8


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot sees: ids below `after` that are not in `running`. Ids have 32 bits here, as they have in the log."""

    after: int
    running: frozenset[int]

    @classmethod
    def of(cls, text: str) -> Snapshot:
        """Of `pg_current_snapshot()` as text: xmin:xmax:xip,xip."""
        _first, after, running = text.split(":")
        return cls(int(after) % IDS, frozenset(int(number) % IDS for number in running.split(",") if number))

    def sees(self, number: int) -> bool:
        """Whether a committed transaction of that id is seen. Ids go round in a circle."""
        return (number - self.after) % IDS >= IDS // 2 and number not in self.running


@dataclass(frozen=True)
class Commit:
    """A transaction's commit record at `position`; `database` is the oid of the database that it changed, None when that is unknown."""

    number: int
    position: int
    database: int | None


def commits(lines: Iterable[str]) -> list[Commit]:
    """The commits in what pg_waldump wrote, in the log's order."""
    databases: dict[int, int] = {}
    found = []
    for line in lines:
        match = RECORD.search(line)
        if match is None:
            continue
        number, rest = int(match[1]), match[4]
        for oid in map(int, DATABASE.findall(line)):
            # 0 stands for what all databases share.
            if oid and number:
                databases[number] = oid
        if match[3] in ("COMMIT", "COMMIT_PREPARED"):
            prepared = re.match(r"\s*(\d+):", rest) if match[3] == "COMMIT_PREPARED" else None
            number = int(prepared[1]) if prepared else number
            below = SUBTRANSACTIONS.search(rest)
            ids = [number, *(map(int, below[1].split()) if below else ())]
            found.append(Commit(number, position_of(match[2]), next((databases[each] for each in ids if each in databases), None)))
    return found


def interval(snapshot: Snapshot, database: int, log: Iterable[Commit]) -> tuple[int, int] | None:
    """Between which positions a restore equals the snapshot in that database: above the first, up to the second. None when nowhere, or with no end."""
    mine = [commit for commit in log if commit.database in (None, database)]
    seen = [commit.position for commit in mine if snapshot.sees(commit.number)]
    unseen = [commit.position for commit in mine if not snapshot.sees(commit.number)]
    if not unseen or (seen and max(seen) >= min(unseen)):
        return None
    return max(seen, default=0), min(unseen)


def consistent_lsns(intervals: Mapping[str, tuple[int, int]]) -> dict[int, list[str]]:
    """As few positions as meet all intervals, in ascending order, each with the names of those that it serves."""
    found: dict[int, list[str]] = {}
    last = -1
    for name, (lowest, highest) in sorted(intervals.items(), key=lambda item: item[1][1]):
        if not lowest < last <= highest:
            last = highest
        found.setdefault(last, []).append(name)
    return found


def position_of(text: str) -> int:
    """A position in the log, which PostgreSQL writes as two hexadecimal halves."""
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def text_of(position: int) -> str:
    """The same as text."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:08X}"


def end_of_segment(name: str, size: int) -> tuple[int, int]:
    """The timeline of a file of the log, and the position right behind it. `size` is that of every such file, in bytes."""
    timeline, high, low = (int(name[place:place + FIRST_SEGMENT_DIGITS], 16) for place in (0, 8, 16))
    return timeline, (high << 32) + (low + 1) * size


def segment_start(position: str, size: int) -> int:
    """Where the file of the log begins that holds a position. `size` is that of every such file, in bytes."""
    return position_of(position) // size * size
