# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes on several hosts that exchange a server behind poolers meet on that server: each says what it does, for as long as it lives.

What is said is an advisory lock of a session, so it ends with its process, however that ends. A standby has such locks too, and keeps them when it is promoted.
Source: PostgreSQL's documentation of advisory locks and of hot standby.
"""

from __future__ import annotations

import hashlib
from typing import Iterable

from ..session import Connection

# What the leader says: that it is there, and that everybody is to be held now.
LEADER, HOLD = "leader", "hold"
# What each companion says of its pooler, whose name follows.
READY, HELD, LED = "ready", "held", "led"
LOOK_SECONDS = 0.005

SAID = """
SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def say(session: Connection, what: str) -> bool:
    """Say it from now on; False when somebody else does so already."""
    return bool(session.value("SELECT pg_try_advisory_lock(%s)", (_key(what),)))


def unsay(session: Connection, what: str) -> None:
    """Say it no longer."""
    session.rows("SELECT pg_advisory_unlock(%s)", (_key(what),))


def said(session: Connection, words: Iterable[str]) -> set[str]:
    """Those of the words that anybody says now."""
    keys = {key for (key,) in session.rows(SAID)}
    return {word for word in words if _key(word) in keys}


def of(what: str, pooler: str) -> str:
    """What a companion says of its pooler."""
    return f"{what} {pooler}"


def _key(what: str) -> int:
    return int.from_bytes(hashlib.sha256(f"alwayson.upgrade switchover {what}".encode("utf-8")).digest()[:8], "big", signed=True)
