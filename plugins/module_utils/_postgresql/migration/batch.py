# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batch steps in PostgreSQL, see `_database.migration.batch`: each batch runs in its own transaction, after waiting for the replicas."""

from __future__ import annotations

from typing import Any, Callable

from ..._database.migration.batch import ROWS_TO_SPARE, Batch, Batches, Column, plan_for, recorded_batch, refuse_doubtful, until_nothing_is_left
from ..._database.migration.hazards import changed_tables
from ..._database.migration.lock_retries import Pace
from ..._database.migration.step import Step
from ..._host.waiting import wait_for
from .. import catalog
from ..session import Connection, PostgresqlError, identifier
from . import ledger
from .locks import READ_COMMITTED, REPEATABLE_READ, PostgresqlLocks, transaction

LAG_POLL_SECONDS = 0.2
# What a row takes at least, its header and the pointer to it.
ROW_BYTES = 28
# Of a table that is not partitioned, the tree has no rows.
SIZE = """
SELECT coalesce(sum(pg_relation_size(relid)), 0)::bigint
  FROM (SELECT relid FROM pg_partition_tree(to_regclass(%s)) UNION SELECT to_regclass(%s)) AS t
"""
# A number or a UUID; whether a unique index is about this column alone; whether it may be null. Each table of an inheritance tree has its own index.
COLUMN = """
SELECT t.typcategory = 'N' OR t.typname = 'uuid', a.attnotnull,
       EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                  AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
       AND NOT EXISTS (SELECT FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhparent WHERE c.oid = a.attrelid AND c.relkind = 'r'),
       format_type(a.atttypid, a.atttypmod)
  FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE a.attrelid = to_regclass(%s) AND a.attname = %s::name AND NOT a.attisdropped
"""


def apply_batches(database: Connection, step: Step, pace: Pace) -> Batches:
    """Run batches until nothing is left. MigrationError, PostgresqlError and LedgerError: the batches before stay, and the next run goes on after them."""
    refuse_doubtful(step, cursor_column(database))
    ledger.begin(database, step)

    def batch(before: Batch | None) -> Batch | None:
        _wait_for_replicas(database, pace)
        return pace.until_it_gets_its_locks(PostgresqlLocks(database), step.title, lambda _attempt, timeout: _batch(database, step, timeout, before))[0]

    return until_nothing_is_left(step, pace, _most_rows(database, step), batch)


def cursor_column(database: Connection) -> Callable[[tuple[Any, ...], str], Column | None]:
    """Looks for a column of a table, None when it is not there."""

    def find(table: tuple[Any, ...], column: str) -> Column | None:
        found = database.rows(COLUMN, (identifier(*table), column))
        return Column(*found[0]) if found else None

    return find


def _most_rows(database: Connection, step: Step) -> int | None:
    """More rows than an UPDATE can have to change; None where that is unknown."""
    tables = {identifier(*table) for table, _at in changed_tables(step.sql, step.dialect)}
    held = sum(database.value(SIZE, (table, table)) for table in tables)
    return 2 * held // ROW_BYTES + ROWS_TO_SPARE if held else None


def _batch(database: Connection, step: Step, lock_timeout_ms: int, before: Batch | None) -> Batch | None:
    """See `recorded_batch`.

    A row that another session has committed since it was chosen makes the batch fail and be tried again, unless it is locked when it is chosen.
    """
    with transaction(database, lock_timeout_ms, READ_COMMITTED if plan_for(step).is_stable and step.directives.after is None else REPEATABLE_READ):
        # Locked first: should another runner be at work, it waits here, and goes on where this one ends.
        return recorded_batch(database, ledger, step, ledger.lock_progress(database, step), before)


def _wait_for_replicas(database: Connection, pace: Pace) -> None:
    """Wait while a replica lags; one whose lag the server does not report is not waited for."""
    limit = pace.policy.max_replica_lag_bytes

    def lagging() -> list[str]:
        return [f"{replica['name']} ({replica['lag_bytes']} bytes)" for replica in catalog.replicas(database) if (replica["lag_bytes"] or 0) > limit]

    found: list[str] = []

    def is_none_lagging() -> bool:
        found[:] = lagging()
        return not found

    if not wait_for(is_none_lagging, pace.policy.wait_seconds, LAG_POLL_SECONDS, pace.clock, pace.sleep):
        raise PostgresqlError(
            f"a replica lags by more than {limit} bytes, still after {pace.policy.wait_seconds:g} s: {', '.join(found)}; "
            "see why it does not follow, then run this again: it continues from there"
        )
