# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of databases: each step of each of them once, whatever kind it is of, and without making others wait."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable, Mapping, Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_ledger as ledger
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_ledger import LedgerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_locks import become_only_runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_attempts import MigrationError, Pace, Policy, settle, transaction
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_batch import apply_batches
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_command import apply_command
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_hazards import unbatched_changes
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_index import apply_index
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_step import BATCH, COMMAND, INDEX, TRANSACTION, Step
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, Login, PostgresqlError, connect
from ansible_collections.alwayson.upgrade.plugins.module_utils._sql_script import line_of, lock_wish


@dataclass
class Outcome:
    """What became of a database. `rows`: `{step, phase, release, kind, status, attempts, seconds}`, status applied, already, failed or pending; a batch
    step that was applied just now has its `batches` and `rows` besides.
    """

    rows: list[dict] = field(default_factory=list)
    error: str | None = None

    @property
    def applied(self) -> int:
        """How many steps were applied just now."""
        return sum(row["status"] == "applied" for row in self.rows)

    @property
    def is_changed(self) -> bool:
        """Whether the database is another than before: a step of more than one transaction has changed it also where it failed in the end."""
        return any(row["status"] == "applied" or row["status"] == "failed" and row["kind"] != TRANSACTION for row in self.rows)


def survey(
    login: Login, databases: Sequence[str], steps: Sequence[Step], earlier: Sequence[Sequence[Step]] = (), parallel: int = 1
) -> dict[str, list[Step]]:
    """The pending steps of each database, with nothing changed.

    :param earlier: the steps of each phase that must be applied everywhere before.
    :raises MigrationError: when a ledger contradicts the steps, an earlier step is missing, or a step would change a large table at once; every such
        database is named.
    """
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        running = {name: pool.submit(_survey_one, login, name, steps, earlier) for name in databases}
    found: dict[str, list[Step]] = {}
    problems = []
    for name, future in running.items():
        try:
            found[name] = future.result()
        except (LedgerError, MigrationError, PostgresqlError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise MigrationError(f"nothing was applied anywhere. {'. '.join(problems)}")
    return found


def _survey_one(login: Login, name: str, steps: Sequence[Step], earlier: Sequence[Sequence[Step]]) -> list[Step]:
    with connect(login, name) as database:
        rows = ledger.read(database)
        missing = [step for phase in earlier for step in ledger.pending(phase, rows)]
        if missing:
            raise MigrationError(f"not applied yet: {', '.join(step.title for step in missing)}; run the {missing[0].phase} phase before")
        pending = ledger.pending(steps, rows)
        problems = unbatched_changes(database, pending)
    if problems:
        raise MigrationError("; ".join(problems))
    return pending


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
        self.pace = Pace(policy, clock, sleep)
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
                become_only_runner(database, self.pace.policy.wait_seconds, self.pace.clock, self.pace.sleep)
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
        def create(_attempt: int, lock_timeout_ms: int) -> None:
            database.run(f"SET lock_timeout = '{lock_timeout_ms}ms'")
            ledger.create(database)

        if not ledger.is_current(database):
            self.pace.until_it_gets_its_locks(database, "the ledger of migrations", create)

    def _apply(self, database: Connection, step: Step) -> dict:
        """The row of a step that is applied; MigrationError or LedgerError when it is not."""
        started = self.pace.clock()
        kinds = {TRANSACTION: self._apply_transaction, BATCH: self._apply_batches, INDEX: self._apply_index, COMMAND: self._apply_command}
        settle(database)
        try:
            row = kinds[step.kind](database, step)
        except (MigrationError, PostgresqlError) as error:
            told = error if isinstance(error, MigrationError) else MigrationError(f"{step.title}: {_placed(error, step)}")
            # A lost session has no more to say; the next one finds the step begun.
            with contextlib.suppress(PostgresqlError):
                settle(database)
                database.run(f"SET lock_timeout = '{self.pace.policy.max_lock_timeout_ms}ms'")
                ledger.keep_error(database, step, str(told))
            raise told from error
        return {**row, "seconds": round(self.pace.clock() - started, 3)}

    def _apply_batches(self, database: Connection, step: Step) -> dict:
        done = apply_batches(database, step, self.pace)
        return {**_row(step, "already" if done.was_applied else "applied", 1), "batches": done.batches, "rows": done.rows}

    def _apply_index(self, database: Connection, step: Step) -> dict:
        return _row(step, "applied" if apply_index(database, step, self.pace) else "already", 1)

    def _apply_command(self, database: Connection, step: Step) -> dict:
        is_applied, attempts = apply_command(database, self.login, step, self.pace)
        return _row(step, "applied" if is_applied else "already", attempts)

    def _apply_transaction(self, database: Connection, step: Step) -> dict:
        def act(attempt: int, lock_timeout_ms: int) -> bool:
            return _attempt(database, step, attempt, lock_timeout_ms)

        is_applied, attempts = self.pace.until_it_gets_its_locks(database, step.title, act, lock_wish(step.sql))
        return _row(step, "applied" if is_applied else "already", attempts)


def _attempt(database: Connection, step: Step, attempt: int, lock_timeout_ms: int) -> bool:
    """One transaction. False when the step turns out to be applied already."""
    with transaction(database, lock_timeout_ms):
        if not ledger.claim(database, step, attempt):
            return False
        before = database.value("SELECT pg_current_xact_id()::text")
        database.run(step.sql)
        # The step may have taken on another role, which need not know the ledger.
        database.run("RESET SESSION AUTHORIZATION")
        if database.value("SELECT pg_current_xact_id()::text") != before or not ledger.finish(database, step):
            raise MigrationError(f"{step.title} ended its transaction by itself, or changed the ledger: inspect the database {database.database}")
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


def _placed(error: PostgresqlError, step: Step) -> str:
    """The server's message, with the line of the step where it points to one, and what to make of a lost session."""
    if error.sqlstate is None or error.sqlstate.startswith("57P"):
        return f"{error}; the ledger knows whether the step is applied: run this again"
    return f"{error} in line {line_of(step.sql, error.position)}" if error.position else str(error)


def _row(step: Step, status: str, attempts: int = 0) -> dict:
    return {
        "step": step.name, "phase": step.phase, "release": step.release, "kind": step.kind, "status": status, "attempts": attempts, "seconds": 0.0,
    }
