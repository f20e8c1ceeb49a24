# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of scratch databases, in which a backup is restored to prove it, and of which no run may leave one behind.

A name is `alwayson_proof_<original>_<made: 8 hex><random: 4 hex><check: 8 hex>`. The check is a digest of what stands before it, so that a
database which a user gave a similar name is never taken for one of these, and the mark is there from the very moment of creation on.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Callable

from .errors import DatabaseError

# A copy that is dropped again, and one that gets its final name when it is proven.
PROOF, RESTORE = "alwayson_proof_", "alwayson_restore_"
# PostgreSQL's names have 63 bytes: the longer prefix has 17, the mark 21.
ORIGINAL_LENGTH = 25
NAME = re.compile(r"(?P<marked>alwayson_(?:proof|restore)_[a-z0-9_]{0,27}_(?P<made>[0-9a-f]{8})[0-9a-f]{4})(?P<check>[0-9a-f]{8})")
# An unused scratch database that is older than this was left by a killed run; a younger one may belong to a run that is about to connect.
LEFT_BEHIND_SECONDS = 60


def new_name(original: str, made: int, random: str | None = None, prefix: str = PROOF) -> str:
    """A name for a scratch copy of `original`; `made` is the server's time in epoch seconds."""
    readable = re.sub(r"[^a-z0-9_]", "_", original.lower())[:ORIGINAL_LENGTH]
    marked = f"{prefix}{readable}_{made & 0xFFFFFFFF:08x}{random or os.urandom(2).hex()}"
    return marked + _check(marked)


def is_scratch(name: str) -> bool:
    """Whether this is the name of a scratch database that this module made."""
    return _made(name) is not None


def drop_each(run: Callable[[str], None], names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Drop databases: the names of what was dropped, and a sentence for each that stays.

    :param run: runs a statement.
    :param names: each name with what it is in a statement.
    """
    dropped, stay = [], []
    for name, quoted in names.items():
        statement = f"DROP DATABASE IF EXISTS {quoted}"
        try:
            run(statement)
            dropped.append(name)
        except DatabaseError as error:
            stay.append(f"the scratch database {name}, left by an earlier run, could not be dropped: {error}; drop it yourself: {statement}")
    return dropped, stay


def left_behind(names: list[str], now: int) -> list[str]:
    """Which of the unused databases are scratch databases, and old enough to belong to no run."""
    found = {name: _made(name) for name in names if name.startswith(PROOF)}
    return sorted(name for name, made in found.items() if made is not None and now - made >= LEFT_BEHIND_SECONDS)


def _made(name: str) -> int | None:
    match = NAME.fullmatch(name)
    if match is None or match["check"] != _check(match["marked"]):
        return None
    return int(match["made"], 16)


def _check(marked: str) -> str:
    return hashlib.sha256(marked.encode()).hexdigest()[:8]
