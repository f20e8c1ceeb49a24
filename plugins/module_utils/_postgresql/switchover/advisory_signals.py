# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals between the processes on several hosts that take part in a switchover, on the server that takes over.

A signal is an advisory lock of a session, so it ends with its process, however that ends. A standby has such locks, too, and keeps them when it is promoted.
Source: PostgreSQL's documentation of advisory locks and of hot standby.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ..session import Connection

# Signals of the coordinator: it is there; all poolers are to hold their clients now. The texts are those of earlier versions.
COORDINATOR, HOLD = "coordinator", "hold"
# Signals of each agent about its pooler, whose name follows.
READY, HELD, LED = "ready", "held", "led"
LOOK_SECONDS = 0.005

SIGNALS = """
SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def signal(session: Connection, what: str) -> bool:
    """Set a signal until the session ends; False when another session has set it already."""
    return bool(session.value("SELECT pg_try_advisory_lock(%s)", (_key(what),)))


def clear(session: Connection, what: str) -> None:
    """Clear a signal of this session."""
    session.rows("SELECT pg_advisory_unlock(%s)", (_key(what),))


def signals(session: Connection, names: Iterable[str]) -> set[str]:
    """Those of the signals that any session has set now."""
    keys = {key for (key,) in session.rows(SIGNALS)}
    return {name for name in names if _key(name) in keys}


def of(what: str, pooler: str) -> str:
    """The signal of a pooler's agent."""
    return f"{what} {pooler}"


def _key(what: str) -> int:
    return int.from_bytes(hashlib.sha256(f"alwayson.upgrade switchover {what}".encode()).digest()[:8], "big", signed=True)
