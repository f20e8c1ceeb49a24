# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the log that a restore adds to what the manifest of its backup holds. Pure: text in.

The manifest holds what each database was at one moment of the log, and a restore goes on to the log's end. A database in which no transaction ended between
the two is exactly what the manifest says; any other one has changed since, as its users did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from . import consistent_lsn

# The backup's own marks change no table.
MARK = re.compile(r'tx:\s*(\d+), .*desc: MESSAGE transactional, prefix "alwayson\.upgrade"')
ENDED = re.compile(r"desc: COMMIT(?:_PREPARED)? (?:\d+: )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC")
# A line of a timeline's history: the one before, and where that one ends.
SWITCH = re.compile(r"(?m)^\d+\t([0-9A-F]+/[0-9A-F]+)")


@dataclass(frozen=True)
class Tail:
    """`last`: when the last transaction in the log ended, in epoch seconds, None when none did; `later`: by database, how many ended after its moment."""

    last: float | None
    later: Mapping[str, int]


def tail_of(lines: Sequence[str], targets: Sequence[Any], oids: Mapping[str, int]) -> Tail:
    """Of what pg_waldump wrote in UTC, from the first of the moments on.

    :param targets: moments of the log, each with the databases that equal the manifest there.
    """
    marks = {int(match[1]) for match in map(MARK.search, lines) if match}
    found = [commit for commit in consistent_lsn.commits(lines) if commit.number not in marks]
    later = {name: sum(commit.position >= consistent_lsn.position_of(at) and commit.database in (None, oids.get(name)) for commit in found)
             for at, names in targets for name in names}
    ends = [_epoch(match[1]) for match in map(ENDED.search, lines) if match]
    return Tail(max(ends, default=None), later)


def end_of_history(text: str) -> str:
    """Where the log of the timeline before ends, by the history file of the one that the server is on now."""
    return SWITCH.findall(text)[-1]


def _epoch(text: str) -> float:
    form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
    return datetime.strptime(text, form).replace(tzinfo=timezone.utc).timestamp()
