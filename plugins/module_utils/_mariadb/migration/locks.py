# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks around migrations in MariaDB: one runner at a time in a database, a look at who would make a statement wait, and no wait of more than milliseconds.

While a statement waits for a table, later ones queue up behind it. The server's own limits are whole seconds, so a second session watches the first,
and ends the statement that waits for longer. Rows are not waited for at all, and at last for a second: the server shows too late which session waits for one.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple

from ..._database.errors import DatabaseError
from ..._database.migration.lock_retries import Locks, MigrationError, Pace
from ..session import DEADLOCK, LOCK_WAIT_TIMEOUT, Connection, Login, MariadbError, connect, identifier

# Record has changed since last read, query execution was interrupted.
CHANGED, INTERRUPTED = 1020, 1317
RUNNER_POLL_SECONDS = 0.2
WATCH_POLL_SECONDS = 0.01
# The server ends a session that says nothing for so long: that of a controller whose host is gone. A tool may take its time.
IDLE_SECONDS, TOOL_SECONDS = 300, 86400
# What a script means must not depend on the server it runs on. A second bounds the wait for a table when the watching process has ended.
SETTINGS = f"""
SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', lock_wait_timeout = 1,
            max_statement_time = 0, foreign_key_checks = 1, unique_checks = 1, wait_timeout = {IDLE_SECONDS},
            idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0;
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
"""
# What a script has kept is not for the next one.
VARIABLES = "SELECT VARIABLE_NAME FROM information_schema.USER_VARIABLES"
IS_WAITING = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE ID = %s AND STATE LIKE %s"
WAITING_STATE = "Waiting for %lock"
# The server reports the age of transactions in whole seconds, and not which tables they use. Their times are in the system's time zone.
OLD_TRANSACTIONS = """
SELECT p.ID, p.USER, p.COMMAND, TIMESTAMPDIFF(SECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS age
  FROM information_schema.INNODB_TRX AS t JOIN information_schema.PROCESSLIST AS p ON p.ID = t.trx_mysql_thread_id
 WHERE p.ID <> CONNECTION_ID() AND (p.DB = DATABASE() OR p.DB IS NULL)
HAVING age >= 1 ORDER BY p.ID
"""
RUNNER = "SELECT ID, USER, HOST FROM information_schema.PROCESSLIST WHERE ID = IS_USED_LOCK(%s)"


class Watch:
    """A session, opened when it is needed, that looks at another one, and ends what waits there for too long."""

    def __init__(self, open_own: Callable[[], Connection], watched: Connection) -> None:
        self._open_own = open_own
        self._own: Connection | None = None
        self._watched = watched
        self.has_ended_one = False

    @contextlib.contextmanager
    def limit(self, milliseconds: int) -> Iterator[None]:
        """What the watched session runs in the block is ended when it waits for a table for so long."""
        self.has_ended_one = False
        if self._own is None:
            self._own = self._open_own()
            self._own.run(f"SET SESSION wait_timeout = {TOOL_SECONDS}")
        over = threading.Event()
        thread = threading.Thread(target=self._look, args=(self._own, milliseconds / 1000, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            if self.has_ended_one:
                # When it came too late it would end the next statement instead.
                with contextlib.suppress(MariadbError):
                    self._watched.run("DO 0")

    def _look(self, own: Connection, seconds: float, over: threading.Event) -> None:
        since = None
        try:
            while not over.wait(WATCH_POLL_SECONDS):
                is_waiting = own.value(IS_WAITING, (self._watched.id, WAITING_STATE))
                since = (since or time.monotonic()) if is_waiting else None
                if since and time.monotonic() - since >= seconds and not over.is_set():
                    own.run(f"KILL QUERY {self._watched.id}")
                    self.has_ended_one = True
                    return
        except MariadbError:
            # This time the server's own limit has to do; the next time there is another session.
            self._own = None


class Session(NamedTuple):
    """A session with a database, and the one that watches it."""

    database: Connection
    watch: Watch


@contextlib.contextmanager
def open_session(login: Login, name: str) -> Iterator[Session]:
    """A session and its watch, for the block. MariadbError when the server knows the session by another number: the watch would end another one."""
    with connect(login, name) as database, contextlib.ExitStack() as own:
        number = database.value("SELECT CONNECTION_ID()")
        if number != database.id:
            raise MariadbError(f"{login} is a proxy in front of database {name}: it says that this is connection {database.id}, the server that it is "
                               f"{number}. Give the address and the port of the MariaDB server itself as login_host and login_port")
        yield Session(database, Watch(lambda: own.enter_context(connect(login)), database))


class MariadbLocks(Locks):
    """What a step waits for in a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def reset(self) -> None:
        reset(self._session.database)

    def holders(self) -> list[str]:
        try:
            rows = self._session.database.rows(OLD_TRANSACTIONS)
        except MariadbError:
            # Without the privilege PROCESS no other session is visible.
            return []
        return [f"connection {number} ({user}, {command}) has a transaction open for {age} s" for number, user, command, age in rows]

    def is_worth_another_attempt(self, error: DatabaseError) -> bool:
        number = error.number if isinstance(error, MariadbError) else None
        return number in (LOCK_WAIT_TIMEOUT, DEADLOCK, CHANGED) or (number == INTERRUPTED and self._session.watch.has_ended_one)


@contextlib.contextmanager
def transaction(session: Session, lock_timeout_ms: int, waits_for_rows: bool, locks_what_it_reads: bool = False) -> Iterator[None]:
    """A transaction that waits for a table for so long, and for a row for a second or not at all.

    A sub-select of a statement that changes rows locks what it finds in REPEATABLE READ only; so no other session changes that before the statement does.
    It is committed at the end of the block, and rolled back when that fails.
    """
    isolation = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; " if locks_what_it_reads else ""
    session.database.run(f"SET SESSION innodb_lock_wait_timeout = {int(waits_for_rows)}; {isolation}START TRANSACTION")
    try:
        with session.watch.limit(lock_timeout_ms):
            yield
        session.database.run("COMMIT")
    except BaseException:
        with contextlib.suppress(MariadbError):
            session.database.run("ROLLBACK")
        raise


def reset(database: Connection) -> None:
    """A session as every step is to find it."""
    database.run(SETTINGS)
    for (name,) in database.rows(VARIABLES):
        database.run(f"SET @{identifier(name)} = NULL")


def become_only_runner(database: Connection, pace: Pace) -> None:
    """Take the session's lock on migrating its database, which ends with the session; MariadbError names the runner that keeps it too long."""
    name = _lock_name(database)
    give_up = pace.clock() + pace.policy.wait_seconds
    while not database.value("SELECT GET_LOCK(%s, 0)", (name,)):
        if pace.clock() >= give_up:
            found = [f"connection {number} of the server ({user} from {host})" for number, user, host in database.rows(RUNNER, (name,))]
            raise MariadbError(f"another runner still migrates this database after {pace.policy.wait_seconds:g} s: {'; '.join(found) or 'it is not shown'}; "
                               "wait for it, run this again")
        pace.sleep(RUNNER_POLL_SECONDS)


def require_only_runner(database: Connection) -> None:
    """MigrationError unless the session still has the lock on migrating its database."""
    if not database.value("SELECT IS_USED_LOCK(%s) <=> CONNECTION_ID()", (_lock_name(database),)):
        raise MigrationError(f"the lock that keeps other runners out of database {database.database} is not held any more: a step has released it "
                             "(RELEASE_LOCK, RELEASE_ALL_LOCKS). Nothing more is recorded: find the step that did it, then run this again")


def _lock_name(database: Connection) -> str:
    """Names of locks are the server's, and short."""
    return f"alwayson.migration.{hashlib.sha256(database.database.encode()).hexdigest()[:32]}"
