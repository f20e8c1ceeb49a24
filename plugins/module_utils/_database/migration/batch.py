# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch step: one statement, again and again until no row is left to choose. Each batch is one transaction together with the step's progress in the ledger.

So a step that is killed goes on after the last batch that was committed, and no batch counts twice. Between batches it pauses, for longer while a replica
lags behind. What was chosen says how it goes on, never how many rows the statement has changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Callable, NamedTuple

from .choice import LAST, BatchPlan
from .hazards import way_out
from .lock_retries import MigrationError, Pace
from .sql import statements
from .step import BATCH, COMMAND, CURSOR_FORM, Step, constant, with_cursor

CURSOR_NOT_UNIQUE = "cursor-not-unique"
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Above what the tables can hold, twice: others write meanwhile.
ROWS_TO_SPARE = 1000


NO_PLAN = f"the query that chooses the rows of a batch cannot be identified: use one sub-select with a LIMIT, or a cursor: {CURSOR_FORM}"


class Column(NamedTuple):
    """What a cursor goes on by. `is_ordered`: it is a number or a UUID, which is sorted the same everywhere and is no clock."""

    is_ordered: bool
    is_never_null: bool
    is_unique: bool
    type: str = ""

    @property
    def is_key(self) -> bool:
        """Whether the column identifies each row: ordered, not null and unique."""
        return self.is_ordered and self.is_never_null and self.is_unique


class Batch(NamedTuple):
    """One batch: how many rows it changed, where its cursor is now (None without one), whether nothing was left to choose.

    `left`: what is still chosen although nothing was changed, as a checksum.
    """

    rows: int = 0
    after: str | None = None
    is_last: bool = False
    left: str = ""


@dataclass(frozen=True)
class Batches:
    """What one run did: transactions that chose rows, and how many were changed. `was_applied`: another one had ended the step."""

    batches: int = 0
    rows: int = 0
    was_applied: bool = False


def until_nothing_is_left(step: Step, pace: Pace, limit: int | None, batch: Callable[[Batch | None], Batch | None]) -> Batches:
    """Run `batch` until nothing is left to choose. It gets the batch before, None at first, and returns the next one, None when the step was applied already.

    :param limit: more rows than there can be to change, None where that is unknown.
    :raises MigrationError: the step would never come to an end.
    """
    batches = rows = 0
    done = None
    while True:
        done = batch(done)
        if done is None or done.is_last:
            return Batches(batches, rows, done is None and not batches)
        batches, rows = batches + 1, rows + done.rows
        if limit and rows > limit:
            raise MigrationError(f"{step.title} does not come to an end: it has changed {rows:,} rows by now, more than there were. It finds rows again that "
                                 "it has changed, or others that are written meanwhile: correct its condition, or give new rows a default in the expand phase")
        pace.sleep(pace.policy.batch_pause_ms / 1000)


def next_batch(
    step: Step, progress: dict[str, Any], rows: Callable[[str], Sequence[tuple[Any, ...]]], count: Callable[[str], int], before: Batch | None
) -> Batch:
    """Run one batch in the open transaction.

    :param rows: the rows of a statement. :param count: how many rows a statement has changed. :param before: the batch before in this run.
    :raises MigrationError: rows are chosen and none of them is changed, so that the step would be recorded as done without them, or never end.
    """
    plan, after = plan_for(step), progress.get("after", step.directives.after)
    if before is None:
        # If it is no query by itself, this fails before anything is changed.
        rows(f"EXPLAIN {_placed(step, plan.choice.sql, after)}")
    if after is not None:
        found = [row[0] for row in rows(_newest(step, after))]
        if not found:
            return Batch(0, after, True)
        last = cursor_after(step, found)
        return Batch(count(_placed(step, plan.statement, after, last)), last)
    changed = count(plan.statement) * plan.is_counted
    left = [] if changed else rows(plan.choice.sql)
    if changed or not left:
        return Batch(changed, None, not changed)
    seen = hashlib.sha256(repr(left).encode()).hexdigest()
    if before and before.left == seen:
        raise MigrationError(f"{step.title} chooses rows and changes none of them, so it would never end: a condition outside of the query "
                             "with the LIMIT, ON CONFLICT, equal values or a trigger keep them unchanged. Put the condition into that query; or go on by a "
                             f"cursor: {CURSOR_FORM}")
    return Batch(left=seen)


def recorded_batch(database: Any, its_ledger: ModuleType, step: Step, progress: dict[str, Any] | None, before: Batch | None,
                   count: Callable[[str], int] | None = None) -> Batch | None:
    """One batch and its progress, in the open transaction. The last one, which finds nothing, marks the step as applied.

    :param its_ledger: the module that keeps the ledger of this kind of database.
    :param progress: what the ledger has of the step, None when it is applied already: then None is returned.
    :param count: how many rows a statement has changed, where the session itself does not report it.
    """
    if progress is None:
        return None
    done = next_batch(step, progress, database.rows, count or database.count, before)
    if done.is_last:
        its_ledger.finish(database, step)
    else:
        its_ledger.keep_progress(database, step, counted(progress, done))
    return done


def counted(progress: dict[str, Any], done: Batch) -> dict[str, Any]:
    """The progress of a step after one more batch."""
    kept = {"batches": progress.get("batches", 0) + 1, "rows": progress.get("rows", 0) + done.rows}
    return kept if done.after is None else {**kept, "after": done.after}


def cursor_after(step: Step, values: Sequence[Any]) -> str:
    """Where the cursor of a step is after these values; MigrationError when their order is not the same everywhere."""
    if any(value is None or (isinstance(value, (str, bytes)) and not UUID.fullmatch(str(value))) for value in values):
        raise MigrationError(f"{step.title} has a cursor of texts or nulls: use a column of numbers or UUIDs, whose order is the same everywhere")
    return str(max(values))


def plan_for(step: Step) -> BatchPlan:
    """How a batch step goes on; MigrationError when what chooses its rows is not clear."""
    if step.batch is None:
        raise MigrationError(f"{step.title}: {NO_PLAN}")
    return step.batch


def doubts(steps: Sequence[Step], column_of: Callable[[tuple[Any, ...], str], Column | None]) -> list[str]:
    """A sentence for each batch step that could be recorded as done while rows are left, or change rows twice.

    :param column_of: the column of a table, None when it is not there.
    """
    problems: list[str] = []
    named: set[str] = set()
    for step in steps:
        if step.kind == BATCH:
            why = _doubt(step, column_of, named)
            problems += [f"{step.title}: {why}"] if why else []
        elif step.kind != COMMAND:
            named |= {name for statement in statements(step.sql, step.dialect) for name in statement.names}
    return problems


def refuse_doubtful(step: Step, column_of: Callable[[tuple[Any, ...], str], Column | None]) -> None:
    """MigrationError when there is such a doubt now that the steps before are applied."""
    for why in doubts([step], column_of):
        raise MigrationError(why)


def _doubt(step: Step, column_of: Callable[[tuple[Any, ...], str], Column | None], named: set[str]) -> str:
    """Why one step could, "" when it cannot; a table that a step before is about is looked at when that step is applied."""
    plan = step.batch
    if plan is None:
        return NO_PLAN
    if plan.objection:
        return plan.objection
    choice = plan.choice
    if not choice.column or CURSOR_NOT_UNIQUE in step.directives.accepted or choice.table[-1] in named:
        return ""
    found = column_of(choice.table, choice.column)
    name = f"{choice.table[-1]}.{choice.column}"
    # A range holds all rows with a value, so that none of them is cut off.
    if found is not None and found._replace(is_unique=found.is_unique or plan.is_range).is_key:
        return ""
    what = _what_is_wrong(found, plan.is_range)
    return f"{CURSOR_NOT_UNIQUE}: its cursor {name} {what}. Use a primary key of numbers or UUIDs. {way_out(CURSOR_NOT_UNIQUE)}"


def _what_is_wrong(column: Column | None, is_range: bool) -> str:
    if column is None:
        return "is no column of a table"
    if not column.is_ordered:
        return f"is {column.type}, which a clock sets, or which is not sorted the same everywhere"
    if not column.is_unique and not is_range:
        return "has no unique index of its own, so the LIMIT can separate rows with the same value, and the step would miss some of them"
    return "may be null, and the cursor never finds such rows"


def _newest(step: Step, after: str) -> str:
    """The query for the largest value that the next batch chooses."""
    choice = plan_for(step).choice
    return f"SELECT chosen.{step.dialect.identifier(choice.column)} FROM ({_placed(step, choice.sql, after)}) AS chosen ORDER BY 1 DESC LIMIT 1"


def _placed(step: Step, sql: str, after: str | None, last: str | None = None) -> str:
    """SQL with the values of the cursor in it."""
    sql = sql if last is None else with_cursor(sql, constant(last), step.dialect, LAST)
    return sql if after is None else with_cursor(sql, constant(after), step.dialect)
