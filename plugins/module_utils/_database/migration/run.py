# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of databases: each step of each of them once, whatever kind it is of, and without making others wait."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable

from ..errors import DatabaseError
from .interface import Engine
from .ledger import LedgerError, pending as left_to_do
from .lock_retries import MigrationError, Pace, Policy
from .step import TRANSACTION, Step


@dataclass
class Outcome:
    """What became of a database. `rows`: `{step, phase, release, kind, status, attempts, seconds}`, status applied, already, failed or pending; a batch
    step that was applied just now has its `batches` and `rows` besides.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None

    @property
    def applied(self) -> int:
        """How many steps were applied just now."""
        return sum(row["status"] == "applied" for row in self.rows)

    @property
    def is_changed(self) -> bool:
        """Whether the database is another than before: a step of more than one transaction has changed it also where it failed in the end."""
        return any(row["status"] == "applied" or (row["status"] == "failed" and row["kind"] != TRANSACTION) for row in self.rows)


def survey(
    engine: Engine[Any], databases: Sequence[str], steps: Sequence[Step], earlier: Sequence[Sequence[Step]] = (), parallel: int = 1
) -> dict[str, list[Step]]:
    """The pending steps of each database, with nothing changed.

    :param earlier: the steps of each phase that must be applied everywhere before.
    :raises MigrationError: when a ledger contradicts the steps, an earlier step is missing, or the database has something against a step, such as a large
        table that it would change at once; every such database is named.
    """
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        running = {name: pool.submit(_survey_one, engine, name, steps, earlier) for name in databases}
    found: dict[str, list[Step]] = {}
    problems = []
    for name, future in running.items():
        if isinstance(error := future.exception(), (LedgerError, MigrationError, DatabaseError)):
            problems.append(f"{name}: {error}")
        else:
            found[name] = future.result()
    if problems:
        raise MigrationError(f"nothing was applied anywhere. {'. '.join(problems)}")
    return found


def _survey_one(engine: Engine[Any], name: str, steps: Sequence[Step], earlier: Sequence[Sequence[Step]]) -> list[Step]:
    with engine.open(name) as session:
        rows = engine.read_ledger(session)
        missing = [step for phase in earlier for step in left_to_do(phase, rows, engine.ledger_table)]
        if missing:
            raise MigrationError(f"not applied yet: {', '.join(step.title for step in missing)}; run the {missing[0].phase} phase before")
        pending = left_to_do(steps, rows, engine.ledger_table)
        problems = engine.problems(session, pending)
    if problems:
        raise MigrationError("; ".join(problems))
    return pending


class Migrator:
    """Applies steps to databases of one kind."""

    def __init__(
        self,
        engine: Engine[Any],
        steps: Sequence[Step],
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.engine = engine
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
            with self.engine.open(name) as session:
                self.engine.become_only_runner(session, self.pace)
                self.engine.create_ledger(session, self.pace)
                left = left_to_do(self.steps, self.engine.read_ledger(session), self.engine.ledger_table)
                for at, step in enumerate(self.steps):
                    outcome.rows[at] = self._apply(session, step) if step in left else _row(step, "already")
        except (MigrationError, LedgerError, DatabaseError) as error:
            self._stopped.set()
            outcome.error = str(error)
            if at is not None:
                outcome.rows[at]["status"] = "failed"
        return outcome

    def _migrate_unless_stopped(self, name: str, pending: Sequence[Step]) -> Outcome:
        if self._stopped.is_set() or not pending:
            return Outcome(planned(self.steps, pending))
        return self.migrate(name, pending)

    def _apply(self, session: Any, step: Step) -> dict[str, Any]:
        """The row of a step that is applied; MigrationError or LedgerError when it is not."""
        started = self.pace.clock()
        try:
            done = self.engine.apply(session, step, self.pace)
        except (MigrationError, DatabaseError) as error:
            described = error if isinstance(error, MigrationError) else MigrationError(f"{step.title}: {self.engine.describe(error, step)}")
            # A lost session has no more to say; the next one finds the step begun.
            with contextlib.suppress(DatabaseError):
                self.engine.keep_error(session, step, str(described), self.pace)
            raise described from error
        counts = {"batches": done.batches.batches, "rows": done.batches.rows} if done.batches else {}
        row = _row(step, "applied" if done.is_now else "already", done.attempts)
        return {**row, **counts, "seconds": round(self.pace.clock() - started, 3)}


def planned(steps: Sequence[Step], pending: Sequence[Step]) -> list[dict[str, Any]]:
    """The rows of a database to which nothing is applied yet, see `Outcome`."""
    return [_row(step, "pending" if step in pending else "already") for step in steps]


def report(outcomes: Mapping[str, Outcome]) -> str:
    """Which databases failed and why, and how it stands with every other; empty when none failed."""
    failed = [f"{name}: {outcome.error}" for name, outcome in outcomes.items() if outcome.error]
    if not failed:
        return ""
    others = [f"{name}: {_standing(outcome)}" for name, outcome in outcomes.items() if not outcome.error]
    standing = f"The other databases: {', '.join(others)}. " if others else ""
    return f"migration failed in {'; '.join(failed)}. {standing}Remove the cause and run this again: it continues from there"


def _standing(outcome: Outcome) -> str:
    if any(row["status"] == "pending" for row in outcome.rows):
        return "not begun"
    return f"complete ({outcome.applied} applied now)"


def _row(step: Step, status: str, attempts: int = 0) -> dict[str, Any]:
    return {
        "step": step.name, "phase": step.phase, "release": step.release, "kind": step.kind, "status": status, "attempts": attempts, "seconds": 0.0,
    }
