# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of PostgreSQL databases: its change of the schema is part of the transaction in which the ledger gets the step's row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager

from ..._database.errors import DatabaseError
from ..._database.migration.batch import doubts
from ..._database.migration.choice import reads_what_it_changes
from ..._database.migration.command import CommandStep, Surroundings, apply_command
from ..._database.migration.hazards import LARGE_TABLE_ROWS, UNBATCHED, Finding, changed_tables, unbatched_change
from ..._database.migration.interface import Applied, Engine
from ..._database.migration.ledger_row import Row
from ..._database.migration.lock_retries import MigrationError, Pace
from ..._database.migration.sql import line_of
from ..._database.migration.step import BATCH, INDEX, TRANSACTION, Step
from .. import catalog
from ..session import Connection, Login, PostgresqlError, connect, identifier, own_session
from . import ledger, ledger_rows
from .batch import apply_batches, cursor_column
from .index import apply_index
from .linter import find_linter, lint
from .lock_wish import lock_wish
from .locks import READ_COMMITTED, REPEATABLE_READ, PostgresqlLocks, become_only_runner, require_only_runner, reset, transaction
from .step import PostgresqlStep

# The words of drivers for a lock timeout.
GAVE_WAY = ("lock timeout", "55P03", "LockNotAvailable")
VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
# An estimate: a table that was never analysed has reltuples -1, and may have counted changes.
ROWS_OF = """
SELECT greatest(c.reltuples, coalesce(s.n_live_tup, 0))::bigint
  FROM pg_class AS c LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid WHERE c.oid = to_regclass(%s)
"""


class PostgresqlEngine(Engine[Step]):
    """The databases of one server."""

    step = PostgresqlStep
    ledger_table = ledger_rows.TABLE

    def __init__(self, login: Login) -> None:
        self.login = login

    def find_linter(self, wanted: str) -> str | None:
        return find_linter(wanted)

    def lint(self, step: Step, linter: str | None) -> Sequence[Finding]:
        return lint(step, linter) if linter else ()

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        with connect(self.login) as server:
            catalog.require_primary(server, "a migration")
            return catalog.choose_databases(server, names)

    def open(self, name: str) -> AbstractContextManager[Connection]:
        return own_session(self.login, name)

    def become_only_runner(self, session: Connection, pace: Pace) -> None:
        become_only_runner(session, pace.policy.wait_seconds, pace.clock, pace.sleep)

    def read_ledger(self, session: Connection) -> list[Row]:
        return ledger_rows.read(session)

    def create_ledger(self, session: Connection, pace: Pace) -> None:
        def create(_attempt: int, lock_timeout_ms: int) -> None:
            session.run(f"SET lock_timeout = '{lock_timeout_ms}ms'")
            ledger.create(session)

        if not ledger.is_current(session):
            pace.until_it_gets_its_locks(PostgresqlLocks(session), "the ledger of migrations", create)

    def problems(self, session: Connection, steps: Sequence[Step]) -> list[str]:
        return [*_unbatched_changes(session, steps), *doubts(steps, cursor_column(session))]

    def apply(self, session: Connection, step: Step, pace: Pace) -> Applied:
        kinds = {TRANSACTION: _apply_transaction, BATCH: _apply_batches, INDEX: _apply_index}
        reset(session)
        require_only_runner(session)
        return self._apply_command(session, step, pace) if isinstance(step, CommandStep) else kinds[step.kind](session, step, pace)

    def keep_error(self, session: Connection, step: Step, error: str, pace: Pace) -> None:
        reset(session)
        session.run(f"SET lock_timeout = '{pace.policy.max_lock_timeout_ms}ms'")
        ledger.keep_error(session, step, error)

    def describe(self, error: DatabaseError, step: Step) -> str:
        """The server's message, with the line of the step where it points to one, and what to make of a lost session."""
        if not isinstance(error, PostgresqlError) or error.sqlstate is None or error.sqlstate.startswith("57P"):
            return f"{error}; the ledger knows whether the step is applied: run this again"
        return f"{error} in line {line_of(step.sql, error.position)}" if error.position else str(error)

    def _apply_command(self, database: Connection, step: CommandStep, pace: Pace) -> Applied:
        return Applied(*apply_command(database, ledger, step, pace, self._surroundings(database.database, pace)))

    def _surroundings(self, database: str, pace: Pace) -> Surroundings:
        """The database in libpq's variables."""
        given = self.login.keywords(database)
        options = f"{os.environ.get('PGOPTIONS', '')} -c lock_timeout={pace.policy.max_lock_timeout_ms}".strip()
        variables = {VARIABLES[key]: value for key, value in given.items() if key in VARIABLES}
        return Surroundings({**self.login.environment(), **variables, "PGOPTIONS": options}, GAVE_WAY)


def _unbatched_changes(database: Connection, steps: Sequence[Step]) -> list[str]:
    """A sentence for each UPDATE or DELETE that a transactional step makes in a large table of this database."""
    warnings = []
    for step in steps:
        if step.kind != TRANSACTION or UNBATCHED in step.directives.accepted:
            continue
        for table, at in changed_tables(step.sql, step.dialect):
            rows = database.value(ROWS_OF, (identifier(*table),)) or 0
            if rows >= LARGE_TABLE_ROWS:
                warnings.append(unbatched_change(step, at, f"about {rows:,} rows"))
    return warnings


def _apply_batches(database: Connection, step: Step, pace: Pace) -> Applied:
    done = apply_batches(database, step, pace)
    return Applied(not done.was_applied, 1, done)


def _apply_index(database: Connection, step: Step, pace: Pace) -> Applied:
    return Applied(apply_index(database, step, pace))


def _apply_transaction(database: Connection, step: Step, pace: Pace) -> Applied:
    def act(attempt: int, lock_timeout_ms: int) -> bool:
        return _attempt(database, step, attempt, lock_timeout_ms)

    return Applied(*pace.until_it_gets_its_locks(PostgresqlLocks(database, lock_wish(step.sql)), step.title, act))


def _attempt(database: Connection, step: Step, attempt: int, lock_timeout_ms: int) -> bool:
    """One transaction. False when the step turns out to be applied already."""
    with transaction(database, lock_timeout_ms, REPEATABLE_READ if reads_what_it_changes(step.sql, step.dialect) else READ_COMMITTED):
        if not ledger.claim(database, step, attempt):
            return False
        before = database.value("SELECT pg_current_xact_id()::text")
        database.run(step.sql)
        # The step may have taken on another role, which need not know the ledger.
        database.run("RESET SESSION AUTHORIZATION")
        if database.value("SELECT pg_current_xact_id()::text") != before or not ledger.finish(database, step):
            raise MigrationError(f"{step.title} ended its transaction by itself, or changed the ledger: inspect the database {database.database}")
    return True
