# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a migration gets its locks without making others wait: a few milliseconds at a time, again and again.

A statement that waits for a lock makes everybody wait who comes after it and wants one that conflicts.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Callable, TypeVar

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_locks import old_holders
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._sql_script import LockWish

DEADLOCK = "40P01"
# lock_not_available, deadlock_detected, serialization_failure: the same attempt may well succeed later.
WORTH_ANOTHER_ATTEMPT = ("55P03", DEADLOCK, "40001")
# While an old transaction is in the way, most attempts are spared. Some are made: not every lock of it is one that conflicts.
ATTEMPT_NEVERTHELESS = 4
ESCALATION = 1.5
# A dead client's session, and its locks, end within this time.
CLIENT_CHECK = "1s"
NOTHING = LockWish(frozenset(), frozenset())
Result = TypeVar("Result")


class MigrationError(Exception):
    """Databases cannot be migrated as wanted; the message names each of them, the step, and what to do."""


@dataclass(frozen=True)
class Policy:
    """How long a step may make others wait, how often it tries, and how fast batches follow one another."""

    lock_timeout_ms: int = 50
    max_lock_timeout_ms: int = 200
    attempts: int = 150
    retry_delay_ms: int = 500
    wait_seconds: float = 300
    batch_pause_ms: int = 50
    max_replica_lag_bytes: int = 64 * 1024 * 1024

    def timeout_ms(self, lost: int) -> int:
        """The lock_timeout after `lost` attempts that failed although only short transactions were in the way. Never more than the maximum."""
        return int(min(self.max_lock_timeout_ms, self.lock_timeout_ms * ESCALATION ** min(lost, 40)))


@dataclass(frozen=True)
class Pace:
    """A policy with the clock by which it is kept."""

    policy: Policy
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def until_it_gets_its_locks(
        self, database: Connection, title: str, act: Callable[[int, int], Result], wish: LockWish = NOTHING
    ) -> tuple[Result, int]:
        """What `act(attempt, lock_timeout_ms)` returned, and at which attempt. MigrationError names who was in the way of all of them."""
        lost, why, holders = 0, "", []
        for attempt in range(1, self.policy.attempts + 1):
            settle(database)
            holders = old_holders(database, wish)
            if not holders or attempt % ATTEMPT_NEVERTHELESS == 0 or attempt == self.policy.attempts:
                try:
                    # Where it is likely to be in vain, it costs others half as much.
                    share = 2 if holders and attempt < self.policy.attempts else 1
                    return act(attempt, max(1, self.policy.timeout_ms(lost) // share)), attempt
                except PostgresqlError as error:
                    if error.sqlstate not in WORTH_ANOTHER_ATTEMPT:
                        raise
                    why = str(error)
                    lost += not holders
            if attempt < self.policy.attempts:
                self.sleep(self.policy.retry_delay_ms / 1000)
        raise MigrationError(
            f"{title} did not get its locks in {self.policy.attempts} attempts, of at most {self.policy.timeout_ms(lost)} ms each: {why}; "
            f"{'; '.join(holders) or 'no long transaction was seen'}. Nothing of it is applied. End what is in the way, or allow more attempts"
        )


@contextlib.contextmanager
def transaction(database: Connection, lock_timeout_ms: int):
    """A transaction that waits for a lock for so long, committed at the end of the block, rolled back when that fails."""
    database.run("BEGIN")
    try:
        database.run(f"SET LOCAL lock_timeout = '{lock_timeout_ms}ms'")
        yield
        database.run("COMMIT")
    except BaseException:
        with contextlib.suppress(PostgresqlError):
            database.run("ROLLBACK")
        raise


def settle(database: Connection) -> None:
    """A session as it was opened, whatever a step did to it, with the client watched where the server can do that."""
    database.run("RESET SESSION AUTHORIZATION; RESET ALL")
    if database.server_version >= 140000:
        # Some systems cannot watch a connection; the server then refuses the setting.
        with contextlib.suppress(PostgresqlError):
            database.run(f"SET client_connection_check_interval = '{CLIENT_CHECK}'")
