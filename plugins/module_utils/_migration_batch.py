# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch step: one statement, again and again until it changes no row. Each batch is one transaction together with the step's progress in the ledger.

So a step that is killed goes on after the last batch that was committed, and no batch counts twice. Between batches it pauses, for longer while a replica
lags behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_ledger as ledger
from ansible_collections.alwayson.upgrade.plugins.module_utils import _postgresql_catalog as catalog
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_locks import PostgresqlLocks, transaction
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_attempts import MigrationError, Pace
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_hazards import changed_tables
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_step import Step, with_cursor
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, PostgresqlError, identifier, literal
from ansible_collections.alwayson.upgrade.plugins.module_utils._waiting import wait_for

LAG_POLL_SECONDS = 0.2
# What a row takes at least, its header and the pointer to it.
ROW_BYTES = 28
# Above what the tables can hold, twice: others write meanwhile.
ROWS_TO_SPARE = 1000
# Of a table that is not partitioned, the tree has no rows.
SIZE = """
SELECT coalesce(sum(pg_relation_size(relid)), 0)::bigint
  FROM (SELECT relid FROM pg_partition_tree(to_regclass(%s)) UNION SELECT to_regclass(%s)) AS t
"""


@dataclass(frozen=True)
class Batches:
    """What one run did: transactions that changed rows, and those rows. `was_applied`: another one had ended the step."""

    batches: int = 0
    rows: int = 0
    was_applied: bool = False


def apply_batches(database: Connection, step: Step, pace: Pace) -> Batches:
    """Run batches until nothing is left. MigrationError, PostgresqlError and LedgerError: the batches before stay, and the next run goes on after them."""
    ledger.begin(database, step)

    def batch() -> Optional[int]:
        _wait_for_replicas(database, pace)
        return pace.until_it_gets_its_locks(PostgresqlLocks(database), step.title, lambda _attempt, timeout: _batch(database, step, timeout))[0]

    return until_nothing_is_left(step, pace, _most_rows(database, step), batch)


def until_nothing_is_left(step: Step, pace: Pace, limit: Optional[int], batch: Callable[[], Optional[int]]) -> Batches:
    """Run `batch` until it has changed no row. It returns how many it changed, None when the step was applied already.

    :param limit: more rows than there can be to change, None where that cannot be told.
    :raises MigrationError: the step would never come to an end.
    """
    batches = rows = 0
    while True:
        changed = batch()
        if not changed:
            return Batches(batches, rows, changed is None and not batches)
        batches, rows = batches + 1, rows + changed
        if limit and rows > limit:
            raise MigrationError(f"{step.title} does not come to an end: it has changed {rows:,} rows by now, more than there were. It finds rows again that "
                                 "it has changed, or others that are written meanwhile: correct its condition, or give new rows a default in the expand phase")
        pace.sleep(pace.policy.batch_pause_ms / 1000)


def counted(progress: dict[str, Any], changed: int, after: Optional[str]) -> dict[str, Any]:
    """The progress of a step after one more batch; `after` is where its cursor is now, None without one."""
    kept = {"batches": progress.get("batches", 0) + 1, "rows": progress.get("rows", 0) + changed}
    return kept if after is None else {**kept, "after": after}


def cursor_after(step: Step, values: Sequence[Any]) -> str:
    """Where the cursor of a step is after these values; MigrationError when their order is not the same everywhere."""
    if any(value is None or isinstance(value, (str, bytes)) for value in values):
        raise MigrationError(f"{step.title} returns text or nulls to go on by: return a column of numbers, times or UUIDs, whose order is the same everywhere")
    return str(max(values))


def _most_rows(database: Connection, step: Step) -> Optional[int]:
    """More rows than an UPDATE can have to change; None where that cannot be told."""
    tables = {identifier(*table) for table, _at in changed_tables(step.sql)}
    held = sum(database.value(SIZE, (table, table)) for table in tables)
    return 2 * held // ROW_BYTES + ROWS_TO_SPARE if held else None


def _batch(database: Connection, step: Step, lock_timeout_ms: int) -> Optional[int]:
    """One batch: how many rows it changed, None when the step is applied already. The last one, which finds nothing, marks the step as applied."""
    with transaction(database, lock_timeout_ms):
        # Locked first: should another runner be at work, it waits here, and goes on where this one ends.
        progress = ledger.lock_progress(database, step)
        if progress is None:
            return None
        changed, after = _change(database, step, progress.get("after", step.directives.after))
        if changed:
            ledger.keep_progress(database, step, counted(progress, changed, after))
        else:
            ledger.finish(database, step)
    return changed


def _change(database: Connection, step: Step, after: Optional[str]) -> tuple[int, Optional[str]]:
    """How many rows the statement changed, and where its cursor is now."""
    if after is None:
        return database.count(step.sql), None
    values = [row[0] for row in database.rows(with_cursor(step.sql, literal(after)))]
    return (len(values), cursor_after(step, values)) if values else (0, after)


def _wait_for_replicas(database: Connection, pace: Pace) -> None:
    """Wait while a replica lags; one whose lag the server does not tell is not waited for."""
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
            "see why it does not follow, then run this again: it goes on from there"
        )
