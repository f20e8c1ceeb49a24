# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps in a MariaDB database, each brought about exactly once.

Rows are changed in one transaction with the ledger. A change of the schema commits by itself: it is begun in the ledger with a fingerprint of its objects, and
after a crash that fingerprint shows whether it was made. MariaDB makes one as a whole or not at all, and the runner's lock keeps every other runner out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple

from ..._database.migration.batch import ROWS_TO_SPARE, Batch, Batches, Column, doubts, recorded_batch, refuse_doubtful, until_nothing_is_left
from ..._database.migration.choice import reads_what_it_changes
from ..._database.migration.command import CommandStep
from ..._database.migration.hazards import LARGE_TABLE_ROWS, UNBATCHED, changed_tables, unbatched_change
from ..._database.migration.index_statement import tolerant_index
from ..._database.migration.lock_retries import MigrationError, Pace
from ..._database.migration.step import BATCH, TRANSACTION
from ..session import Connection, MariadbError, identifier
from . import ledger, ledger_rows
from .fingerprint import fingerprint
from .locks import MariadbLocks, Session, transaction
from .step import BLOCKING_WAY_OUT, LOCK_CLAUSE, MariadbStep

# Alter operation not supported, and with a reason.
NOT_WITHOUT_A_LOCK = (1845, 1846)
NUMBERS = ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year")
COLUMN = """
SELECT c.DATA_TYPE, c.IS_NULLABLE = 'NO', EXISTS (
         SELECT 1 FROM information_schema.STATISTICS AS s WHERE s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME AND s.NON_UNIQUE = 0
          GROUP BY s.INDEX_NAME HAVING count(*) = 1 AND max(s.COLUMN_NAME) = c.COLUMN_NAME AND max(s.SUB_PART) IS NULL)
  FROM information_schema.COLUMNS AS c WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = %s AND c.COLUMN_NAME = %s
"""
INDEX = "SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s AND INDEX_NAME = %s"
CLONE = "alwayson_migration_clone"
# The number of rows is the server's estimate.
TABLES = """
SELECT t.TABLE_NAME, t.ENGINE, coalesce(t.TABLE_ROWS, 0), e.TRANSACTIONS
  FROM information_schema.TABLES AS t JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE
 WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' AND LOWER(t.TABLE_NAME) IN ({0}) ORDER BY t.TABLE_NAME
"""


class Table(NamedTuple):
    """A table in the catalog; the number of rows is an estimate."""

    name: str
    engine: str
    rows: int
    transactions: str


def problems(database: Connection, steps: Sequence[MariadbStep | CommandStep]) -> list[str]:
    """A sentence for each table that a step cannot change exactly once, or that is too large to be changed at once, and each batch step that may not do what
    it says.
    """
    warnings = doubts(steps, _cursor_column(database))
    for step in steps:
        if isinstance(step, CommandStep) or step.kind not in (TRANSACTION, BATCH):
            continue
        warnings += [f"{step.title}: the table {table.name} has the engine {table.engine}, without transactions, so that a killed run could not be finished "
                     "exactly once: convert it to InnoDB first" for table in _tables(database, step.names()) if table.transactions != "YES"]
        if step.kind == TRANSACTION and UNBATCHED not in step.directives.accepted:
            warnings += [unbatched_change(step, at, f"about {table.rows:,} rows") for table, at in _changed(database, step) if table.rows >= LARGE_TABLE_ROWS]
    return warnings


def apply_transaction(session: Session, step: MariadbStep, pace: Pace) -> tuple[bool, int]:
    """Change rows, in one transaction with the ledger's row; whether this run has, and at which attempt."""

    def act(attempt: int, lock_timeout_ms: int) -> bool:
        with transaction(session, lock_timeout_ms, _is_at_last(lock_timeout_ms, pace), reads_what_it_changes(step.sql, step.dialect)):
            if not ledger.claim(session.database, step, attempt):
                return False
            session.database.run(step.sql)
            # What is called may have ended it.
            if not session.database.value("SELECT @@in_transaction") or not ledger.finish(session.database, step):
                raise MigrationError(f"{step.title} ended its transaction by itself, or changed the ledger: inspect the database {session.database.database}")
        return True

    return pace.until_it_gets_its_locks(MariadbLocks(session), step.title, act)


def apply_statement(session: Session, step: MariadbStep, pace: Pace) -> tuple[bool, int]:
    """Change the schema, unless a run before has; whether it is applied now, and at which attempt."""
    database, locks = session.database, MariadbLocks(session)

    def act(_attempt: int, lock_timeout_ms: int) -> None:
        with session.watch.limit(lock_timeout_ms):
            database.run(step.runnable())

    _refuse_another_index(database, step)
    was_made, _attempt = pace.until_it_gets_its_locks(locks, step.title, lambda _attempt, _timeout: _begin_statement(database, step))
    if was_made:
        return ledger.finish(database, step), 1
    with _forgotten_unless_made(database, step):
        _none, attempts = pace.until_it_gets_its_locks(locks, step.title, act)
    return ledger.finish(database, step, attempts - 1), attempts


def _refuse_another_index(database: Connection, step: MariadbStep) -> None:
    """MigrationError when IF NOT EXISTS would take another index for the one that the statement makes."""
    wanted = tolerant_index(step.sql, step.dialect)
    if wanted is None or not database.value(f"SELECT count(*) FROM ({INDEX}) AS i", (wanted.table[-1], wanted.index[-1])):
        return
    name, table = identifier(wanted.index[-1]), identifier(wanted.table[-1])
    # Made, looked at and dropped by this session alone.
    database.run(f"CREATE TEMPORARY TABLE {CLONE} LIKE {table}")
    try:
        database.run(f"DROP INDEX {name} ON {CLONE}")
        database.run(f"CREATE {wanted.properties[0]} INDEX {name} ON {CLONE} {wanted.properties[1]}")
        there, made = (database.rows(f"SHOW INDEX FROM {each} WHERE Key_name = %s", (wanted.index[-1],)) for each in (table, CLONE))
    finally:
        database.run(f"DROP TEMPORARY TABLE {CLONE}")
    # Whether it is unique, the place of each column, its name, its order, how much of it, and the kind of the index.
    if [[row[at] for at in (1, 3, 4, 5, 7, 10)] for row in there] != [[row[at] for at in (1, 3, 4, 5, 7, 10)] for row in made]:
        columns = ", ".join(row[4] for row in there)
        raise MigrationError(f"{step.title}: the index {wanted.index[-1]} is there and is another one, {'not ' if there[0][1] else ''}unique on ({columns}). "
                             "Drop it, then run this again")


def apply_batches(session: Session, step: MariadbStep, pace: Pace) -> Batches:
    """Run batches until nothing is left; what a run before has committed is not done again."""
    refuse_doubtful(step, _cursor_column(session.database))
    ledger.begin(session.database, step)

    def batch(before: Batch | None) -> Batch | None:
        return pace.until_it_gets_its_locks(MariadbLocks(session), step.title, lambda _attempt, timeout: _batch(session, step, timeout, pace, before))[0]

    return until_nothing_is_left(step, pace, _most_rows(session.database, step), batch)


def _begin_statement(database: Connection, step: MariadbStep) -> bool:
    """Write that the change is about to be made, with what the catalog says before it. True when a run that was killed has made it."""
    state = ledger.begun_state(database, step)
    if state and "before" in state.progress and fingerprint(database, state.progress["names"]) != state.progress["before"]:
        if state.checksum != step.checksum:
            raise MigrationError(f"{step.title} was begun with another script, and the schema is not as it was before that: look whether it was applied. If it "
                                 f"was, put the file back and make the change in a new step; if not, delete the row from {ledger_rows.TABLE}")
        return True
    ledger.begin(database, step, {"before": fingerprint(database, step.names()), "names": step.names()})
    return False


@contextlib.contextmanager
def _forgotten_unless_made(database: Connection, step: MariadbStep) -> Iterator[None]:
    """When the server itself says that the change failed, nothing is begun: what happens to the schema until the next run is not this step."""
    try:
        yield
    except (MigrationError, MariadbError) as error:
        if isinstance(error, MigrationError) or error.number is not None:
            ledger.forget(database, step)
        if isinstance(error, MariadbError) and (error.number in NOT_WITHOUT_A_LOCK or LOCK_CLAUSE in str(error).upper()):
            raise MariadbError(f"{error}: other sessions could not write to the table while this runs. {BLOCKING_WAY_OUT}", error.number) from error
        raise


def _batch(session: Session, step: MariadbStep, lock_timeout_ms: int, pace: Pace, before: Batch | None) -> Batch | None:
    """See `recorded_batch`."""
    with transaction(session, lock_timeout_ms, _is_at_last(lock_timeout_ms, pace), reads_what_it_changes(step.sql, step.dialect)):
        return recorded_batch(session.database, ledger, step, ledger.lock_progress(session.database, step), before)


def _is_at_last(lock_timeout_ms: int, pace: Pace) -> bool:
    """Whether shorter waits have failed although no session has held the lock for long."""
    return lock_timeout_ms >= pace.policy.max_lock_timeout_ms


def _cursor_column(database: Connection) -> Callable[[tuple[Any, ...], str], Column | None]:
    """Looks for a column of a table, None when it is not there."""

    def find(table: tuple[Any, ...], column: str) -> Column | None:
        found = database.rows(COLUMN, (table[-1], column))
        if not found:
            return None
        kind, is_never_null, is_unique = found[0]
        return Column(kind in NUMBERS, bool(is_never_null), bool(is_unique), kind)

    return find


def _most_rows(database: Connection, step: MariadbStep) -> int | None:
    """More rows than an UPDATE or DELETE can have to change; None where that is unknown."""
    found = {table.name for table, _at in _changed(database, step)}
    return 2 * sum(database.value(f"SELECT count(*) FROM {identifier(name)}") for name in found) + ROWS_TO_SPARE if found else None


def _changed(database: Connection, step: MariadbStep) -> list[tuple[Table, int]]:
    """Each table of this database that a step updates or deletes from, and where it says so."""
    said = [(path[-1].lower(), at) for path, at in changed_tables(step.sql, step.dialect)]
    known = {table.name.lower(): table for table in _tables(database, [name for name, _at in said])}
    return [(known[name], at) for name, at in said if name in known]


def _tables(database: Connection, names: Sequence[str]) -> list[Table]:
    """The tables with these names, in small letters."""
    return [Table(*row) for row in database.rows(TABLES.format(", ".join(["%s"] * len(names))), names)] if names else []
