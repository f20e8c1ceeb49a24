# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of SQLite databases, which are files: the ledger's row, the script and its end are one transaction, and only one session at a time can have it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, Callable, TypeVar

from ..._database.errors import DatabaseError
from ..._database.migration.batch import ROWS_TO_SPARE, Batch, Column, doubts, recorded_batch, refuse_doubtful, until_nothing_is_left
from ..._database.migration.command import CommandStep, Surroundings, apply_command
from ..._database.migration.hazards import LARGE_TABLE_ROWS, UNBATCHED, changed_tables, unbatched_change, way_out
from ..._database.migration.index_statement import spelled, tolerant_index
from ..._database.migration.interface import Applied, Engine
from ..._database.migration.ledger_row import Row
from ..._database.migration.lock_retries import Locks, MigrationError, Pace
from ..._database.migration.step import BATCH, TRANSACTION, Step
from ..._host.flock import LockError, exclusive
from ..server import SqliteFiles
from ..session import Connection, SqliteError, connect, identifier
from . import ledger, ledger_rows
from .step import FOREIGN_KEYS, SqliteStep

# Beside the database: while an external tool is at work, no transaction keeps other runners out.
LOCK_SUFFIX = "-alwayson.lock"
GAVE_WAY = ("database is locked",)
ROW_NUMBERS = ("rowid", "oid", "_rowid_")
CLOCK = re.compile("DATE|TIME")
Result = TypeVar("Result")
# An INTEGER PRIMARY KEY is the number of the row, and has no index.
COLUMN = """
SELECT upper(c.type), c."notnull" OR c.pk = 1 AND upper(c.type) = 'INTEGER',
       c.pk = 1 AND (SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0) = 1 OR EXISTS (
         SELECT 1 FROM pragma_index_list(?1) AS i WHERE i."unique" AND NOT i.partial AND (SELECT group_concat(lower(name)) FROM pragma_index_info(i.name)) = ?2)
  FROM pragma_table_info(?1) AS c WHERE lower(c.name) = ?2
"""
INDEX = "SELECT sql FROM sqlite_master WHERE type = 'index' AND lower(name) = ?"
TABLE = "SELECT name FROM sqlite_master WHERE type = 'table' AND lower(name) = ?"


class SqliteLocks(Locks):
    """The one lock for all writers of a database. SQLite does not report its holder."""

    def is_worth_another_attempt(self, error: DatabaseError) -> bool:
        return isinstance(error, SqliteError) and error.is_busy


class SqliteEngine(Engine[SqliteStep]):
    """Databases by the absolute paths of their files."""

    step = SqliteStep
    ledger_table = ledger_rows.TABLE

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        # The same file under two names is one database.
        found: dict[str, str] = {}
        for name in SqliteFiles().choose_databases(names):
            if not (os.access(name, os.W_OK) and os.access(os.path.dirname(name), os.W_OK)):
                raise SqliteError(f"{name}, or its folder, may not be written to: run this as the account that owns the database")
            found.setdefault(os.path.realpath(name), name)
        return list(found.values())

    def open(self, name: str) -> contextlib.AbstractContextManager[Connection]:
        return connect(name)

    def become_only_runner(self, session: Connection, pace: Pace) -> None:
        """Nothing to do: who has the transaction is the only runner, and a batch goes on from what the ledger says in its transaction."""

    def read_ledger(self, session: Connection) -> list[Row]:
        return ledger_rows.read(session)

    def create_ledger(self, session: Connection, pace: Pace) -> None:
        if not ledger_rows.exists(session):
            _in_a_transaction(session, "the ledger of migrations", pace, lambda _attempt: ledger.create(session))

    def problems(self, session: Connection, steps: Sequence[SqliteStep | CommandStep]) -> list[str]:
        """A sentence for each UPDATE or DELETE that a step makes in a large table outside of batches, and each batch step that may not do what it says."""
        warnings = doubts(steps, _cursor_column(session))
        for step in steps:
            if not isinstance(step, CommandStep) and step.kind == TRANSACTION and UNBATCHED not in step.directives.accepted:
                warnings += [unbatched_change(step, at, f"{LARGE_TABLE_ROWS:,} rows or more") for table, at in _changed(session, step)
                             if session.value(f"SELECT count(*) FROM (SELECT 1 FROM {identifier(table)} LIMIT {LARGE_TABLE_ROWS})") == LARGE_TABLE_ROWS]
        return warnings

    def apply(self, session: Connection, step: SqliteStep | CommandStep, pace: Pace) -> Applied:
        kinds = {TRANSACTION: _apply_transaction, BATCH: _apply_batches}
        # Nothing of a step before: its temporary tables would hide those of the database.
        session.renew()
        return _apply_command(session, step, pace) if isinstance(step, CommandStep) else kinds[step.kind](session, step, pace)

    def keep_error(self, session: Connection, step: Step, error: str, pace: Pace) -> None:
        with _transaction(session, pace.policy.max_lock_timeout_ms):
            if ledger_rows.exists(session):
                ledger.keep_error(session, step, error)


@contextlib.contextmanager
def _transaction(database: Connection, lock_timeout_ms: int) -> Iterator[None]:
    """A transaction that waits for other writers for so long, committed at the end of the block, rolled back when that fails."""
    database.run(f"PRAGMA busy_timeout = {lock_timeout_ms}")
    database.run("BEGIN IMMEDIATE")
    try:
        yield
        database.run("COMMIT")
    except BaseException:
        with contextlib.suppress(SqliteError):
            database.run("ROLLBACK")
        raise


def _in_a_transaction(database: Connection, title: str, pace: Pace, act: Callable[[int], Result]) -> tuple[Result, int]:
    """What `act(attempt)` returned, in a transaction that is tried until it gets the lock; and at which attempt."""

    def attempt_it(attempt: int, lock_timeout_ms: int) -> Result:
        with _transaction(database, lock_timeout_ms):
            return act(attempt)

    return pace.until_it_gets_its_locks(SqliteLocks(), title, attempt_it)


def _mind_foreign_keys(database: Connection, step: SqliteStep) -> bool:
    """Have foreign keys kept while a step changes rows; whether they are to be looked at after it, for while a table is rebuilt they cannot be kept."""
    is_accepted = FOREIGN_KEYS in step.directives.accepted
    database.run(f"PRAGMA foreign_keys = {'OFF' if is_accepted or step.changes_schema else 'ON'}")
    return step.changes_schema and not is_accepted


def _apply_transaction(database: Connection, step: SqliteStep, pace: Pace) -> Applied:
    looks_after = _mind_foreign_keys(database, step)

    def act(attempt: int) -> bool:
        if not ledger.claim(database, step, attempt):
            return False
        for statement, line in step.parts():
            _refuse_another_index(database, step, statement)
            try:
                database.run(statement)
            except SqliteError as error:
                raise SqliteError(f"{error} in line {line}", error.is_busy) from error
        if not ledger.finish(database, step):
            raise MigrationError(f"{step.title} changed the ledger: inspect the database {database.database}")
        orphans = sorted({row[0] for row in database.rows("PRAGMA foreign_key_check")}) if looks_after else []
        if orphans:
            raise MigrationError(f"{step.title} leaves rows that refer to others which are not there, in {', '.join(orphans)}: look at "
                                 f"PRAGMA foreign_key_check. {way_out(FOREIGN_KEYS)}")
        return True

    return Applied(*_in_a_transaction(database, step.title, pace, act))


def _refuse_another_index(database: Connection, step: SqliteStep, statement: str) -> None:
    """MigrationError when IF NOT EXISTS would take another index for the one that the statement makes."""
    wanted = tolerant_index(statement, step.dialect)
    made = database.value(INDEX, (wanted.index[-1].lower(),)) if wanted else None
    if wanted and made and spelled(made, step.dialect) != spelled(statement, step.dialect):
        raise MigrationError(f"{step.title}: the index {wanted.index[-1]} is there and is another one: {made}. Drop it, then run this again")


def _apply_batches(database: Connection, step: SqliteStep, pace: Pace) -> Applied:
    refuse_doubtful(step, _cursor_column(database))
    _mind_foreign_keys(database, step)
    _in_a_transaction(database, step.title, pace, lambda _attempt: ledger.begin(database, step))
    found = {table for table, _at in _changed(database, step)}
    limit = 2 * sum(database.value(f"SELECT count(*) FROM {identifier(table)}") for table in found) + ROWS_TO_SPARE if found else None

    def batch(before: Batch | None) -> Batch | None:
        return _in_a_transaction(database, step.title, pace, lambda _attempt: _batch(database, step, before))[0]

    done = until_nothing_is_left(step, pace, limit, batch)
    return Applied(not done.was_applied, 1, done)


def _batch(database: Connection, step: SqliteStep, before: Batch | None) -> Batch | None:
    """See `recorded_batch`."""

    def count(statement: str) -> int:
        # All of it: a statement that returns rows goes on as they are fetched. The driver's own number is missing when one begins with a comment or WITH.
        database.rows(statement)
        return database.value("SELECT changes()")

    return recorded_batch(database, ledger, step, ledger.progress_of(database, step), before, count)


def _cursor_column(database: Connection) -> Callable[[tuple[Any, ...], str], Column | None]:
    """Looks for a column of a table, None when it is not there."""

    def find(table: tuple[Any, ...], column: str) -> Column | None:
        found = database.rows(COLUMN, (table[-1], column.lower()))
        if column.lower() in ROW_NUMBERS and not found:
            return Column(True, True, True)
        # Any type may stand there: a time is recognised by its type's name, a text by its value.
        return next((Column(not CLOCK.search(kind), bool(is_never_null), bool(is_unique), kind) for kind, is_never_null, is_unique in found), None)

    return find


def _apply_command(database: Connection, step: CommandStep, pace: Pace) -> Applied:
    try:
        path = database.database + LOCK_SUFFIX
        with exclusive(path, pace.policy.wait_seconds, pace.clock, pace.sleep) as handle:
            if ledger.is_applied(database, step):
                return Applied(False, 0)
            surroundings = Surroundings(os.environ, GAVE_WAY, (handle,))
            return Applied(*apply_command(database, ledger, step, pace, surroundings, lambda: _require_lock(path, handle)))
    except LockError as error:
        raise MigrationError(f"{step.title}: {error}") from error


def _require_lock(path: str, handle: int) -> None:
    """MigrationError unless the file with the lock is still the one at its path."""
    try:
        is_there = os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        is_there = False
    if not is_there:
        raise MigrationError(f"{path}, which keeps other runners out, was removed while the tool was at work: another one may have run it as well. "
                             "Look what the tool says, then run this again")


def _changed(database: Connection, step: SqliteStep) -> list[tuple[str, int]]:
    """Each table that a step updates or deletes from and that is there, and where it says so."""
    said = [(database.value(TABLE, (path[-1].lower(),)), at) for path, at in changed_tables(step.sql, step.dialect)]
    return [(table, at) for table, at in said if table]
