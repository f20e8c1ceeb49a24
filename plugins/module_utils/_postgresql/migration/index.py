# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An index step: built, rebuilt or dropped concurrently, which no transaction can hold. What the catalog says comes first, before and after a crash.

A build that fails or is killed leaves an index that is not valid: no query uses it, every write keeps it, and IF NOT EXISTS takes it for the real one.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from ..._database.migration.index_statement import IndexStatement
from ..._database.migration.lock_retries import MigrationError, Pace
from ..._database.migration.step import Step
from ..._host.waiting import wait_for
from ..session import Connection, PostgresqlError, identifier
from . import ledger
from .index_statement import index_statement
from .locks import DEADLOCK, reset

POLL_SECONDS = 0.5
CREATED = """
SELECT i.indexrelid, i.indisvalid, c.relkind, format('%%I.%%I', n.nspname, c.relname)
  FROM pg_class AS t JOIN pg_namespace AS n ON n.oid = t.relnamespace
  JOIN pg_class AS c ON c.relnamespace = t.relnamespace JOIN pg_index AS i ON i.indexrelid = c.oid
 WHERE t.oid = to_regclass(%s) AND c.relname = %s::name
"""
NAMED = """
SELECT i.indexrelid, i.indisvalid, c.relkind, format('%%I.%%I', n.nspname, c.relname)
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE i.indexrelid = to_regclass(%s)
"""
# What a killed REINDEX CONCURRENTLY leaves beside the index that it was to replace.
LEFT_BY_REINDEX = r"""
SELECT i.indexrelid, i.indisvalid, c.relkind, format('%%I.%%I', n.nspname, c.relname)
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relname ~ '_cc(new|old)[0-9]*$'
   AND i.indrelid = coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = to_regclass(%s)), to_regclass(%s))
"""
# What an index is like but for its name and its table, as the server says it.
DEFINITIONS = """
SELECT indisunique, substr(pg_get_indexdef(indexrelid), strpos(pg_get_indexdef(indexrelid), ' USING '))
  FROM pg_index WHERE indexrelid = %s OR indrelid = to_regclass(%s)
"""
# A role that may not see what others do sees their rows with nulls in them: such a build may be this one.
AT_WORK = """
SELECT pid FROM pg_stat_progress_create_index
 WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
   AND (index_relid IS NULL OR index_relid = %s OR index_relid = 0 AND relid = (SELECT indrelid FROM pg_index WHERE indexrelid = %s))
"""


class Index(NamedTuple):
    """An index in the catalog; `name` is qualified and quoted. The parent of a partitioned one may rightly be invalid."""

    oid: int
    is_valid: bool
    relkind: str
    name: str

    @property
    def is_dead(self) -> bool:
        return not self.is_valid and self.relkind == "i"


def apply_index(database: Connection, step: Step, pace: Pace) -> bool:
    """Bring the index about, and say so in the ledger. False when another runner has said so.

    :raises MigrationError, PostgresqlError: the step is not applied; nothing dead is left behind where the session still lives.
    """
    statement = index_statement(step.sql)
    if statement is None:
        raise MigrationError(f"{step.title} is no statement about an index: {step.objection()}")
    # Before the step is begun: an index that another session is building must not pass for this step's own.
    for index in _dead(database, statement):
        _wait_for_builders(database, index, pace)
    was_done = _is_done(database, step, statement)
    ledger.begin(database, step)
    if not was_done:
        try:
            _build(database, step, statement, pace)
        except (MigrationError, PostgresqlError):
            with contextlib.suppress(MigrationError, PostgresqlError):
                _drop_the_dead(database, statement, pace)
            raise
    return ledger.finish(database, step)


def _is_done(database: Connection, step: Step, statement: IndexStatement) -> bool:
    """Whether the catalog has it already, from a run that was killed before it could say so."""
    is_ours = statement.is_tolerant or ledger.is_begun(database, step)
    found = _find(database, statement)
    if statement.verb == "DROP":
        return found is None and is_ours
    if not (statement.verb == "CREATE" and found and found.is_valid):
        return False
    if not is_ours:
        raise MigrationError(f"{step.title}: the index {found.name} is there, and no run of this step has built it: drop it, or write IF NOT EXISTS")
    _require_same(database, step, statement, found)
    return True


def _require_same(database: Connection, step: Step, statement: IndexStatement, found: Index) -> None:
    """MigrationError unless the index is what the statement would build: another session may have created a different index of that name."""
    # Of the same name, for expressions may name the table; and never committed.
    clone = identifier("pg_temp", statement.table[-1])
    database.run("BEGIN")
    try:
        database.run(f"CREATE TEMPORARY TABLE {identifier(statement.table[-1])} (LIKE {_path(statement.table)})")
        database.run(statement.on(clone))
        definitions = database.rows(DEFINITIONS, (found.oid, clone))
    finally:
        with contextlib.suppress(PostgresqlError):
            database.run("ROLLBACK")
    if len(definitions) != 2 or definitions[0] != definitions[1]:
        raise MigrationError(f"{step.title}: the index {found.name} is there and is another one: "
                             f"{database.value('SELECT pg_get_indexdef(%s)', (found.oid,))}. Rename or drop it, then run this again")


def _build(database: Connection, step: Step, statement: IndexStatement, pace: Pace) -> None:
    """Clear away what a run before has left dead, run the statement, and look at what came of it."""
    give_up = pace.clock() + pace.policy.wait_seconds
    while True:
        _drop_the_dead(database, statement, pace)
        try:
            _run(database, step.sql, pace)
            break
        except PostgresqlError as error:
            if error.sqlstate != DEADLOCK or pace.clock() >= give_up:
                raise
        pace.sleep(POLL_SECONDS)
    found = _find(database, statement)
    is_right = found is None if statement.verb == "DROP" else statement.index == () or bool(found and (found.is_valid or found.relkind == "I"))
    if statement.is_tolerant and statement.verb == "CREATE" and found and is_right:
        _require_same(database, step, statement, found)
    if not is_right:
        raise MigrationError(f"{step.title} ended without an error, but the index is {'still there' if found and found.is_valid else 'not valid'}: inspect it")


def _drop_the_dead(database: Connection, statement: IndexStatement, pace: Pace) -> None:
    """Drop indexes that a killed or failed build has left."""
    for index in _dead(database, statement):
        _wait_for_builders(database, index, pace)
        _run(database, f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", pace)


def _wait_for_builders(database: Connection, index: Index, pace: Pace) -> None:
    """Wait until no session is building this invalid index."""
    builders: list[tuple[Any, ...]] = []

    def is_left_alone() -> bool:
        builders[:] = database.rows(AT_WORK, (index.oid, index.oid))
        return not builders

    if not wait_for(is_left_alone, pace.policy.wait_seconds, POLL_SECONDS, pace.clock, pace.sleep):
        raise MigrationError(f"process {builders[0][0]} of the server is building the index {index.name}, still after {pace.policy.wait_seconds:g} s: "
                             "wait for it, run this again")


def _run(database: Connection, sql: str, pace: Pace) -> None:
    """The locks that this takes make no reader or writer wait, but itself waits for all transactions that are open: that may take long."""
    reset(database)
    database.run(f"SET lock_timeout = '{max(1, int(pace.policy.wait_seconds * 1000))}ms'")
    database.run(sql)


def _dead(database: Connection, statement: IndexStatement) -> list[Index]:
    if statement.verb == "REINDEX":
        return [Index(*row) for row in database.rows(LEFT_BY_REINDEX, (_path(statement.index), _path(statement.table)))]
    found = _find(database, statement)
    return [found] if statement.verb == "CREATE" and found and found.is_dead else []


def _find(database: Connection, statement: IndexStatement) -> Index | None:
    if statement.verb == "CREATE":
        rows = database.rows(CREATED, (_path(statement.table), statement.index[0]))
    else:
        rows = database.rows(NAMED, (_path(statement.index),)) if statement.index else []
    return Index(*rows[0]) if rows else None


def _path(parts: tuple[Any, ...]) -> str | None:
    return identifier(*parts) if parts else None
