# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a migration gets its locks without making others wait: a few milliseconds at a time, again and again.

While a statement waits for a lock, later statements that need a conflicting lock queue up behind it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, TypeVar

from ..errors import DatabaseError

# While an old transaction is in the way, most attempts are spared. Some are made: not every lock of it is one that conflicts.
ATTEMPT_NEVERTHELESS = 4
ESCALATION = 1.5
LOCK_WAY_OUT = "End these transactions, or allow more attempts"
CONFLICT_WAY_OUT = ("Other sessions change the same rows: change fewer at a time, or lock the rows when they are chosen, by FOR UPDATE SKIP LOCKED behind the "
                    "LIMIT of a batch step")
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


class Locks:
    """What a kind of database can report about the locks that a step needs."""

    def reset(self) -> None:
        """Put the session into the state in which each attempt begins."""

    def holders(self) -> list[str]:
        """The sessions with old transactions that hold locks, a description of each; empty where the server does not show them."""
        return []

    def is_worth_another_attempt(self, error: DatabaseError) -> bool:
        """Whether the same attempt may well succeed later."""
        raise NotImplementedError

    def is_conflict(self, error: DatabaseError) -> bool:
        """Whether a retry may succeed at once: another session changed the same rows, and has committed."""
        return False


@dataclass(frozen=True)
class Pace:
    """A policy with the clock by which it is kept."""

    policy: Policy
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def until_it_gets_its_locks(self, locks: Locks, title: str, act: Callable[[int, int], Result]) -> tuple[Result, int]:
        """What `act(attempt, lock_timeout_ms)` returned, and at which attempt. MigrationError names who was in the way of all of them."""
        lost, why, holders, is_conflict = 0, "", [], False
        for attempt in range(1, self.policy.attempts + 1):
            locks.reset()
            is_conflict = False
            holders = locks.holders()
            if not holders or attempt % ATTEMPT_NEVERTHELESS == 0 or attempt == self.policy.attempts:
                try:
                    # An attempt that is likely to fail costs others half as much.
                    share = 2 if holders and attempt < self.policy.attempts else 1
                    return act(attempt, max(1, self.policy.timeout_ms(lost) // share)), attempt
                except DatabaseError as error:
                    if not locks.is_worth_another_attempt(error):
                        raise
                    why, is_conflict = str(error), locks.is_conflict(error)
                    lost += not holders
            if attempt < self.policy.attempts:
                self.sleep((self.policy.batch_pause_ms if is_conflict else self.policy.retry_delay_ms) / 1000)
        raise MigrationError(
            f"{title} did not get its locks in {self.policy.attempts} attempts, of at most {self.policy.timeout_ms(lost)} ms each: {why}; "
            f"{'; '.join(holders) or 'no long transaction was seen'}. Nothing of it is applied. {CONFLICT_WAY_OUT if is_conflict else LOCK_WAY_OUT}"
        )
