# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of databases: each step once, in one transaction with its row in the ledger, and without making others wait.

A statement that waits for a lock makes everybody wait who comes after it. So a step waits for a few milliseconds only, again and again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable, Mapping, Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_ledger as ledger
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_ledger import LedgerError, Step
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_locks import become_only_runner, old_holders
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, Login, PostgresqlError, connect
from ansible_collections.alwayson.upgrade.plugins.module_utils._sql_script import line_of, lock_wish

# lock_not_available, deadlock_detected, serialization_failure: the same attempt may well succeed later.
WORTH_ANOTHER_ATTEMPT = ("55P03", "40P01", "40001")
# While an old transaction is in the way, most attempts are spared. Some are made: not every lock of it is one that conflicts.
ATTEMPT_NEVERTHELESS = 4
ESCALATION = 1.5
# A dead client's session, and its locks, end within this time.
CLIENT_CHECK = "1s"


class MigrationError(Exception):
    """Databases cannot be migrated as wanted; the message names each of them, the step, and what to do."""


@dataclass(frozen=True)
class Policy:
    """How long a step may make others wait, and how often it tries."""

    lock_timeout_ms: int = 50
    max_lock_timeout_ms: int = 200
    attempts: int = 150
    retry_delay_ms: int = 500
    wait_seconds: float = 300

    def timeout_ms(self, lost: int) -> int:
        """The lock_timeout after `lost` attempts that failed although only short transactions were in the way. Never more than the maximum."""
        return int(min(self.max_lock_timeout_ms, self.lock_timeout_ms * ESCALATION ** min(lost, 40)))


@dataclass
class Outcome:
    """What became of a database. `rows`: `{step, phase, release, status, attempts, seconds}`, status applied, already, failed or pending."""

    rows: list[dict] = field(default_factory=list)
    error: str | None = None

    @property
    def applied(self) -> int:
        """How many steps were applied just now."""
        return sum(row["status"] == "applied" for row in self.rows)


def survey(login: Login, databases: Sequence[str], steps: Sequence[Step], expand_steps: Sequence[Step]) -> dict[str, list[Step]]:
    """The pending steps of each database, with nothing changed.

    :param expand_steps: steps of the expand phase that must be applied everywhere before.
    :raises MigrationError: when a ledger contradicts the steps, or an expand step is missing; every such database is named.
    """
    found: dict[str, list[Step]] = {}
    problems = []
    for name in databases:
        try:
            with connect(login, name) as database:
                rows = ledger.read(database)
            missing = ledger.pending(expand_steps, rows)
            if missing:
                problems.append(f"{name}: not applied yet: {', '.join(step.title for step in missing)}; run the expand phase before")
            found[name] = ledger.pending(steps, rows)
        except (LedgerError, PostgresqlError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise MigrationError(f"nothing was applied anywhere. {'. '.join(problems)}")
    return found


class Migrator:
    """Applies steps to databases of one server."""

    def __init__(
        self,
        login: Login,
        steps: Sequence[Step],
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.login = login
        self.steps = steps
        self.policy = policy
        self.clock = clock
        self.sleep = sleep
        self._stopped = threading.Event()

    def migrate_all(self, pending: Mapping[str, Sequence[Step]], parallel: int) -> dict[str, Outcome]:
        """An outcome for each database, in their order. After a failure no further database is begun.

        :param pending: the pending steps of each database, as from `survey`.
        """
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            running = {name: pool.submit(self._migrate_unless_stopped, name, pending[name]) for name in pending}
            return {name: future.result() for name, future in running.items()}

    def migrate(self, name: str, pending: Sequence[Step]) -> Outcome:
        """Apply to one database what its ledger does not have yet; `pending` is what it did not have before."""
        outcome = Outcome(planned(self.steps, pending))
        at = None
        try:
            with connect(self.login, name) as database:
                become_only_runner(database, self.policy.wait_seconds, self.clock, self.sleep)
                self._create_ledger(database)
                left = ledger.pending(self.steps, ledger.read(database))
                for at, step in enumerate(self.steps):
                    outcome.rows[at] = self._apply(database, step) if step in left else _row(step, "already")
        except (MigrationError, LedgerError, PostgresqlError) as error:
            self._stopped.set()
            outcome.error = str(error)
            if at is not None:
                outcome.rows[at]["status"] = "failed"
        return outcome

    def _migrate_unless_stopped(self, name: str, pending: Sequence[Step]) -> Outcome:
        if self._stopped.is_set() or not pending:
            return Outcome(planned(self.steps, pending))
        return self.migrate(name, pending)

    def _create_ledger(self, database: Connection) -> None:
        if not ledger.exists(database):
            _settle(database)
            database.run(f"SET lock_timeout = '{self.policy.max_lock_timeout_ms}ms'")
            ledger.create(database)

    def _apply(self, database: Connection, step: Step) -> dict:
        """The row of a step that is applied; MigrationError or PostgresqlError when it is not."""
        started, wish = self.clock(), lock_wish(step.sql)
        lost, why = 0, ""
        for attempt in range(1, self.policy.attempts + 1):
            _settle(database)
            holders = old_holders(database, wish)
            if not holders or attempt % ATTEMPT_NEVERTHELESS == 0 or attempt == self.policy.attempts:
                try:
                    status = "applied" if self._attempt(database, step, attempt, self.policy.timeout_ms(lost)) else "already"
                    return _row(step, status, attempt, round(self.clock() - started, 3))
                except PostgresqlError as error:
                    if error.sqlstate not in WORTH_ANOTHER_ATTEMPT:
                        raise MigrationError(f"{step.title}: {_placed(error, step)}") from error
                    why = str(error)
                    lost += not holders
            if attempt < self.policy.attempts:
                self.sleep(self.policy.retry_delay_ms / 1000)
        raise MigrationError(
            f"{step.title} did not get its locks in {self.policy.attempts} attempts, of at most {self.policy.timeout_ms(lost)} ms each: {why}; "
            f"{'; '.join(holders) or 'no long transaction was seen'}. Nothing of it is applied. End what is in the way, or allow more attempts"
        )

    def _attempt(self, database: Connection, step: Step, attempt: int, timeout_ms: int) -> bool:
        """One transaction. False when the step turns out to be applied already."""
        database.run("BEGIN")
        try:
            database.run(f"SET LOCAL lock_timeout = '{timeout_ms}ms'")
            if not ledger.claim(database, step, attempt):
                database.run("ROLLBACK")
                return False
            transaction = database.value("SELECT pg_current_xact_id()::text")
            database.run(step.sql)
            # The step may have taken on another role, which need not know the ledger.
            database.run("RESET SESSION AUTHORIZATION")
            if database.value("SELECT pg_current_xact_id()::text") != transaction or not ledger.finish(database, step):
                raise MigrationError(f"{step.title} ended its transaction by itself, or changed the ledger: inspect the database {database.database}")
            database.run("COMMIT")
        except BaseException:
            with contextlib.suppress(PostgresqlError):
                database.run("ROLLBACK")
            raise
        return True


def planned(steps: Sequence[Step], pending: Sequence[Step]) -> list[dict]:
    """The rows of a database to which nothing is applied yet, see `Outcome`."""
    return [_row(step, "pending" if step in pending else "already") for step in steps]


def report(outcomes: Mapping[str, Outcome]) -> str:
    """Which databases failed and why, and how it stands with every other; empty when none failed."""
    failed = [f"{name}: {outcome.error}" for name, outcome in outcomes.items() if outcome.error]
    if not failed:
        return ""
    others = [f"{name}: {_standing(outcome)}" for name, outcome in outcomes.items() if not outcome.error]
    standing = f"The other databases: {', '.join(others)}. " if others else ""
    return f"migration failed in {'; '.join(failed)}. {standing}Remove the cause, then run this again: it goes on from there"


def _standing(outcome: Outcome) -> str:
    if any(row["status"] == "pending" for row in outcome.rows):
        return "not begun"
    return f"complete ({outcome.applied} applied now)"


def _settle(database: Connection) -> None:
    """A session as it was opened, whatever a step did to it, with the client watched where the server can do that."""
    database.run("RESET SESSION AUTHORIZATION; RESET ALL")
    if database.server_version >= 140000:
        # Some systems cannot watch a connection; the server then refuses the setting.
        with contextlib.suppress(PostgresqlError):
            database.run(f"SET client_connection_check_interval = '{CLIENT_CHECK}'")


def _placed(error: PostgresqlError, step: Step) -> str:
    """The server's message, with the line of the step where it points to one, and what to make of a lost session."""
    if error.sqlstate is None or error.sqlstate.startswith("57P"):
        return f"{error}; the ledger knows whether the step is applied: run this again"
    return f"{error} in line {line_of(step.sql, error.position)}" if error.position else str(error)


def _row(step: Step, status: str, attempts: int = 0, seconds: float = 0.0) -> dict:
    return {"step": step.name, "phase": step.phase, "release": step.release, "status": status, "attempts": attempts, "seconds": seconds}
