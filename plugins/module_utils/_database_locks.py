# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks around migrations: one runner at a time in a database, and a look at who would make a statement wait."""

from __future__ import annotations

import hashlib
import time
from typing import Callable

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._sql_script import LockWish

# One key for all runners; advisory locks are a database's own.
RUNNER_KEY = int.from_bytes(hashlib.sha256(b"alwayson.upgrade migration").digest()[:8], "big", signed=True)
POLL_SECONDS = 0.2
# A transaction that has lasted this long is likely to last longer than a short lock_timeout.
OLD_MS = 100

RUNNER = """
SELECT l.pid, coalesce(a.usename, '?'), coalesce(host(a.client_addr), 'local'),
       coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '?')
  FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = %s AND l.objid::bigint = %s
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# What other roles do is shown to members of pg_read_all_stats only. Without it nobody is found, and the lock_timeout alone keeps others from waiting.
OLD_HOLDERS = """
SELECT DISTINCT ON (a.pid) a.pid, a.usename, coalesce(nullif(a.application_name, ''), '?'), a.state,
       round(extract(epoch FROM clock_timestamp() - a.xact_start))::int, c.relname
  FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) JOIN pg_class AS c ON c.oid = l.relation
 WHERE l.locktype = 'relation' AND l.granted AND a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - %s * interval '1 millisecond'
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (c.relname = ANY(%s::text[]) OR (c.relname = ANY(%s::text[]) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')))
 ORDER BY a.pid, c.relname
"""


def become_only_runner(
    database: Connection, wait_seconds: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Take the session's lock on migrating its database, which ends with the session; PostgresqlError names the runner that keeps it too long."""
    give_up = clock() + wait_seconds
    # The form that waits in the server could meet an index that is being built concurrently, and both would wait for ever.
    while not database.value("SELECT pg_try_advisory_lock(%s)", (RUNNER_KEY,)):
        if clock() >= give_up:
            raise PostgresqlError(f"another runner migrates this database, still after {wait_seconds:g} s: {_runner(database)}; wait for it, run this again")
        sleep(POLL_SECONDS)


def old_holders(database: Connection, wish: LockWish) -> list[str]:
    """Who holds locks that are in the way of `wish`, in transactions older than OLD_MS: a description of each."""
    if not wish.everybody and not wish.writers:
        return []
    rows = database.rows(OLD_HOLDERS, (OLD_MS, list(wish.everybody), list(wish.writers)))
    return [f"process {pid} ({user}, {application}, {state} for {seconds} s) holds a lock on {table}" for pid, user, application, state, seconds, table in rows]


def _runner(database: Connection) -> str:
    key = RUNNER_KEY & 0xFFFFFFFFFFFFFFFF
    rows = database.rows(RUNNER, (key >> 32, key & 0xFFFFFFFF))
    return "; ".join(f"process {pid} of the server ({user} from {address}, since {since} UTC)" for pid, user, address, since in rows) or "it has just ended"
