# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks around migrations in PostgreSQL: one runner at a time in a database, a look at who would make a statement wait, and never a wait without an end."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from typing import Callable

from ..._database.errors import DatabaseError
from ..._database.migration.lock_retries import Locks, MigrationError
from ..environment import UNLIMITED, setting_statement
from ..session import Connection, PostgresqlError
from .lock_wish import LockWish

# One key for all runners; advisory locks are a database's own.
RUNNER_KEY = int.from_bytes(hashlib.sha256(b"alwayson.upgrade migration").digest()[:8], "big", signed=True)
POLL_SECONDS = 0.2
# A transaction that has lasted this long is likely to last longer than a short lock_timeout.
OLD_MS = 100
DEADLOCK, CONFLICT = "40P01", "40001"
READ_COMMITTED, REPEATABLE_READ = "READ COMMITTED", "REPEATABLE READ"
# lock_not_available, deadlock_detected, serialization_failure: the same attempt may well succeed later.
WORTH_ANOTHER_ATTEMPT = ("55P03", DEADLOCK, CONFLICT)
# A dead client's session, and its locks, end within this time.
CLIENT_CHECK = "1s"
# A step leaves nothing to the next one, but for the lock of the session: DISCARD ALL would release it.
AS_OPENED = """
RESET SESSION AUTHORIZATION; RESET ALL; CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD PLANS; DISCARD SEQUENCES; DISCARD TEMP;
"""
# The session holds the lock until it ends. So no timeout of the server, the database or the role may end it, and keepalives show a firewall that it lives.
ENVIRONMENT = setting_statement({**UNLIMITED, "tcp_keepalives_idle": "60"})
NOTHING = LockWish(frozenset(), frozenset())

HOLDS = """
SELECT count(*) > 0 FROM pg_catalog.pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = pg_backend_pid() AND classid::bigint = %s AND objid::bigint = %s
"""
RUNNER = """
SELECT l.pid, coalesce(a.usename, '?'), coalesce(host(a.client_addr), 'local'),
       coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '?')
  FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = %s AND l.objid::bigint = %s
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Sessions of other roles are visible to members of pg_read_all_stats only. Without it no holder is found, and only lock_timeout limits the wait of others.
OLD_HOLDERS = """
SELECT DISTINCT ON (a.pid) a.pid, a.usename, coalesce(nullif(a.application_name, ''), '?'), a.state,
       round(extract(epoch FROM clock_timestamp() - a.xact_start))::int, c.relname
  FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) JOIN pg_class AS c ON c.oid = l.relation
 WHERE l.locktype = 'relation' AND l.granted AND a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - %s * interval '1 millisecond'
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (c.relname = ANY(%s::name[]) OR (c.relname = ANY(%s::name[]) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')))
 ORDER BY a.pid, c.relname
"""


class PostgresqlLocks(Locks):
    """The locks of `wish`."""

    def __init__(self, database: Connection, wish: LockWish = NOTHING) -> None:
        self._database = database
        self._wish = wish

    def reset(self) -> None:
        reset(self._database)

    def holders(self) -> list[str]:
        return old_holders(self._database, self._wish)

    def is_worth_another_attempt(self, error: DatabaseError) -> bool:
        return isinstance(error, PostgresqlError) and error.sqlstate in WORTH_ANOTHER_ATTEMPT

    def is_conflict(self, error: DatabaseError) -> bool:
        return isinstance(error, PostgresqlError) and error.sqlstate == CONFLICT


@contextlib.contextmanager
def transaction(database: Connection, lock_timeout_ms: int, isolation: str = READ_COMMITTED) -> Iterator[None]:
    """A transaction that waits for a lock for so long, committed at the end of the block, rolled back when that fails."""
    database.run(f"BEGIN ISOLATION LEVEL {isolation}")
    try:
        database.run(f"SET LOCAL lock_timeout = '{lock_timeout_ms}ms'")
        yield
        database.run("COMMIT")
    except BaseException:
        with contextlib.suppress(PostgresqlError):
            database.run("ROLLBACK")
        raise


def reset(database: Connection) -> None:
    """A session with the settings that it was opened with, without timeouts, and with the client watched where the server supports that."""
    database.run(AS_OPENED + ENVIRONMENT)
    if database.server_version >= 140000:
        # Some systems cannot watch a connection; the server then refuses the setting.
        with contextlib.suppress(PostgresqlError):
            database.run(f"SET client_connection_check_interval = '{CLIENT_CHECK}'")


def become_only_runner(
    database: Connection, wait_seconds: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Take the session's lock on migrating its database, which ends with the session; PostgresqlError names the runner that keeps it too long."""
    give_up = clock() + wait_seconds
    reset(database)
    # The form that waits in the server could meet an index that is being built concurrently, and both would wait for ever.
    while not database.value("SELECT pg_try_advisory_lock(%s)", (RUNNER_KEY,)):
        if clock() >= give_up:
            raise PostgresqlError(f"another runner still migrates this database after {wait_seconds:g} s: {_runner(database)}; wait for it, run this again")
        sleep(POLL_SECONDS)


def require_only_runner(database: Connection) -> None:
    """MigrationError unless the session still has the lock on migrating its database."""
    if not database.value(HOLDS, _key()):
        raise MigrationError(f"the lock that keeps other runners out of database {database.database} is not held any more: a step has released it "
                             "(pg_advisory_unlock_all, DISCARD ALL), or a pooler has changed the session. Nothing more is recorded: look which step did it, "
                             "then run this again")


def old_holders(database: Connection, wish: LockWish) -> list[str]:
    """Who holds locks that are in the way of `wish`, in transactions older than OLD_MS: a description of each."""
    if not wish.everybody and not wish.writers:
        return []
    rows = database.rows(OLD_HOLDERS, (OLD_MS, list(wish.everybody), list(wish.writers)))
    return [f"process {pid} ({user}, {application}, {state} for {seconds} s) holds a lock on {table}" for pid, user, application, state, seconds, table in rows]


def _runner(database: Connection) -> str:
    rows = database.rows(RUNNER, _key())
    return "; ".join(f"process {pid} of the server ({user} from {address}, since {since} UTC)" for pid, user, address, since in rows) or "it has just ended"


def _key() -> tuple[int, int]:
    """The runners' key as pg_locks shows it: the two halves of 64 bits."""
    key = RUNNER_KEY & 0xFFFFFFFFFFFFFFFF
    return key >> 32, key & 0xFFFFFFFF
