# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What migrations need of a kind of database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import DatabaseError
from .batch import Batches
from .command import CommandStep
from .hazards import AUTO, OFF, Finding
from .ledger_row import Row
from .lock_retries import MigrationError, Pace
from .step import Step


StepOfKind = TypeVar("StepOfKind", bound=Step)


class Applied(NamedTuple):
    """What came of a step: whether this run has applied it, at which attempt, and of a batch step what it did."""

    is_now: bool
    attempts: int = 1
    batches: Batches | None = None


class Engine(Generic[StepOfKind]):
    """One kind of database, and the way to those that are migrated. A session is whatever `open` yields.

    `step`: the class of its steps. `ledger_table`: the ledger as messages name it. Every method may raise the database's DatabaseError.
    """

    step: type[Step]
    ledger_table: str

    def find_linter(self, wanted: str) -> str | None:
        """The program that checks steps; MigrationError when there is none that was asked for. An engine has none unless it says so."""
        if wanted not in (AUTO, OFF):
            raise MigrationError(f"linter: {wanted} does not check steps for this engine, which has no linter: leave linter out")
        return None

    def lint(self, step: Step, linter: str | None) -> Sequence[Finding]:
        """What the program that `find_linter` gave finds in a step; MigrationError when it cannot be run or understood."""
        return ()

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        """`names` when every one of them exists and takes writes; all that a server holds when there are none."""
        raise NotImplementedError

    def open(self, name: str) -> AbstractContextManager[Any]:
        """A session with a database, for the block."""
        raise NotImplementedError

    def become_only_runner(self, session: Any, pace: Pace) -> None:
        """Keep every other runner out of the database while the session lasts."""
        raise NotImplementedError

    def read_ledger(self, session: Any) -> list[Row]:
        """The ledger, in the order of time; empty when there is none."""
        raise NotImplementedError

    def create_ledger(self, session: Any, pace: Pace) -> None:
        """Make the ledger, unless it is there."""
        raise NotImplementedError

    def problems(self, session: Any, steps: Sequence[StepOfKind | CommandStep]) -> list[str]:
        """A sentence for each thing for which these steps must not be applied to this database."""
        raise NotImplementedError

    def apply(self, session: Any, step: StepOfKind | CommandStep, pace: Pace) -> Applied:
        """Bring a step about; MigrationError or LedgerError when it is not."""
        raise NotImplementedError

    def keep_error(self, session: Any, step: Step, error: str, pace: Pace) -> None:
        """Write into the ledger why a step that was begun is not applied."""
        raise NotImplementedError

    def describe(self, error: DatabaseError, step: Step) -> str:
        """The error of a step, with what helps to find its cause."""
        return str(error)
