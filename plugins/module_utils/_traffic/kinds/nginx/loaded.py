# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configuration nginx's workers have read: known after a reload by this collection, while the file is unchanged. Pure, but for its file.

A worker reads the configuration once. One that was there before the reload with which a member went out may have requests for it; each later one has read a
file in which it is down. That holds for workers that the reload of another program begins, and for those that replace dead ones, as long as the master
is the same process and the file was not written: its inode and the time of its last change are compared with those before, and with no other time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ...._host.small_files import READABLE, SmallFileError, read_json, replace

# A process id, and when the process began in the kernel's ticks.
Key = tuple[int, int]
MOST_BYTES = 4 * 1024 * 1024


class Origin(NamedTuple):
    """What the workers of a moment have read: the master's key, the file's identity, and the digest of its text."""

    master: Key
    file: tuple[int, ...]
    sha256: str


class Loaded(NamedTuple):
    """What a reload has left: the workers of which nothing is known, and those that were there when a member went out, by upstream and member."""

    origin: Origin
    unknown: frozenset[Key]
    out: Mapping[str, Mapping[str, frozenset[Key]]]

    def before(self, upstream: str, member: str) -> frozenset[Key]:
        """The workers that may send to a member that is down."""
        return self.unknown | self.out.get(upstream, {}).get(member, frozenset())


def after_reload(origin: Origin, alive: Iterable[Key], former: Loaded | None, down: Mapping[str, Iterable[str]],
                 was_down: Mapping[str, Iterable[str]]) -> Loaded:
    """What is known when a reload has begun new workers.

    :param alive: the workers that were there before it.
    :param former: what was known then, None when nothing was.
    :param down: the members that are down now, by upstream; `was_down` those that were so before.
    """
    there = frozenset(alive)
    if former is None:
        return Loaded(origin, there, {})
    out = {upstream: {member: (former.out.get(upstream, {}).get(member, frozenset()) if member in was_down.get(upstream, ()) else there) & there
                      for member in members} for upstream, members in down.items()}
    return Loaded(origin, former.unknown & there, out)


def digest(text: str) -> str:
    """What no other text has."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read(path: str) -> Loaded | None:
    """The record of the last reload by this collection; None when there is none, or it is invalid."""
    try:
        found = read_json(path, MOST_BYTES)
        origin = Origin(tuple(found["master"]), tuple(found["file"]), str(found["sha256"]))
        return Loaded(origin, _keys(found["unknown"]), {upstream: {member: _keys(keys) for member, keys in members.items()}
                                                        for upstream, members in found["out"].items()})
    except (OSError, SmallFileError, TypeError, ValueError, KeyError, AttributeError):
        return None


def write(path: str, loaded: Loaded) -> None:
    """Keep it."""
    out = {upstream: {member: sorted(keys) for member, keys in members.items()} for upstream, members in loaded.out.items()}
    content = {**loaded.origin._asdict(), "unknown": sorted(loaded.unknown), "out": out}
    replace(path, json.dumps(content).encode("ascii"), READABLE)


def _keys(found: Iterable[Iterable[int]]) -> frozenset[Key]:
    return frozenset((pid, began) for pid, began in found)
