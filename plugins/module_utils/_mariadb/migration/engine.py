# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of MariaDB databases."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from ..._database.errors import DatabaseError
from ..._database.migration.command import CommandStep, Surroundings, apply_command
from ..._database.migration.interface import Applied, Engine
from ..._database.migration.ledger_row import Row
from ..._database.migration.lock_retries import Pace
from ..._database.migration.step import BATCH, STATEMENT, TRANSACTION, Step
from ..server import MariadbServer
from ..session import Login, MariadbError, connect
from . import ledger, ledger_rows
from .apply import apply_batches, apply_statement, apply_transaction, problems
from .locks import TOOL_SECONDS, MariadbLocks, Session, become_only_runner, open_session, reset
from .step import MariadbStep

# The words of drivers for a lock timeout.
GAVE_WAY = ("Lock wait timeout exceeded",)


class MariadbEngine(Engine[MariadbStep]):
    """The databases of one server."""

    step = MariadbStep
    ledger_table = ledger_rows.TABLE

    def __init__(self, login: Login) -> None:
        self.login = login

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        with connect(self.login) as session:
            server = MariadbServer(self.login, session)
            if not server.identity()["primary"]:
                raise MariadbError("the server is a replica or read-only, and a migration needs one that takes writes: "
                                   "give the primary's address as login_host")
            return server.choose_databases(names)

    def open(self, name: str) -> AbstractContextManager[Session]:
        return open_session(self.login, name)

    def become_only_runner(self, session: Session, pace: Pace) -> None:
        reset(session.database)
        become_only_runner(session.database, pace)

    def read_ledger(self, session: Session) -> list[Row]:
        return ledger_rows.read(session.database)

    def create_ledger(self, session: Session, pace: Pace) -> None:
        def create(_attempt: int, lock_timeout_ms: int) -> None:
            with session.watch.limit(lock_timeout_ms):
                ledger.create(session.database)

        if not ledger_rows.exists(session.database):
            pace.until_it_gets_its_locks(MariadbLocks(session), "the ledger of migrations", create)

    def problems(self, session: Session, steps: Sequence[MariadbStep | CommandStep]) -> list[str]:
        return problems(session.database, steps)

    def apply(self, session: Session, step: MariadbStep | CommandStep, pace: Pace) -> Applied:
        kinds = {TRANSACTION: _apply_transaction, STATEMENT: _apply_statement, BATCH: _apply_batches}
        reset(session.database)
        return self._apply_command(session, step, pace) if isinstance(step, CommandStep) else kinds[step.kind](session, step, pace)

    def keep_error(self, session: Session, step: Step, error: str, pace: Pace) -> None:
        reset(session.database)
        ledger.keep_error(session.database, step, error)

    def describe(self, error: DatabaseError, step: Step) -> str:
        """The server's message, and what to make of a lost session."""
        return str(error) if isinstance(error, MariadbError) and error.number else f"{error}; the ledger knows whether the step is applied: run this again"

    def _apply_command(self, session: Session, step: CommandStep, pace: Pace) -> Applied:
        session.database.run(f"SET SESSION wait_timeout = {TOOL_SECONDS}")
        return Applied(*apply_command(session.database, ledger, step, pace, self._surroundings(session.database.database)))

    def _surroundings(self, database: str) -> Surroundings:
        """The database in the variables of MariaDB's programs, and two that are usual besides."""
        way = {"MYSQL_HOST": self.login.host or "127.0.0.1", "MYSQL_TCP_PORT": str(self.login.port)}
        if self.login.socket:
            way = {"MYSQL_UNIX_PORT": self.login.socket}
        return Surroundings({**self.login.environment(), **way, "MYSQL_USER": self.login.user, "MYSQL_DATABASE": database}, GAVE_WAY)


def _apply_transaction(session: Session, step: MariadbStep, pace: Pace) -> Applied:
    return Applied(*apply_transaction(session, step, pace))


def _apply_statement(session: Session, step: MariadbStep, pace: Pace) -> Applied:
    return Applied(*apply_statement(session, step, pace))


def _apply_batches(session: Session, step: MariadbStep, pace: Pace) -> Applied:
    done = apply_batches(session, step, pace)
    return Applied(not done.was_applied, 1, done)
