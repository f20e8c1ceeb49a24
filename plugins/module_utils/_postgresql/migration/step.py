# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step is in PostgreSQL: a script in one transaction with its row in the ledger, a batch, or an index that is built concurrently. Pure."""

from __future__ import annotations


from ..._database.migration.sql import Statement, statements
from ..._database.migration.step import BATCH, INDEX, Step, batch_objection
from .dialect import POSTGRESQL
from .index_statement import index_objection

TRANSACTION_CONTROL = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"}
NOT_IN_A_TRANSACTION = {"VACUUM"}


class PostgresqlStep(Step):
    """A step for PostgreSQL."""

    dialect = POSTGRESQL

    def objection(self) -> str | None:
        if self.directives.objection:
            return self.directives.objection
        if self.kind == INDEX:
            return index_objection(self.sql)
        return batch_objection(self.sql, self.directives, POSTGRESQL) if self.kind == BATCH else transaction_objection(self.sql)


def transaction_objection(script: str) -> str | None:
    """Why a script cannot be a step that is applied as one transaction, exactly once and without a stall; None when it can."""
    found = statements(script, POSTGRESQL)
    if not found:
        return "it has no statement"
    for statement in found:
        head = " ".join(statement.words[:2])
        if (statement.verb in TRANSACTION_CONTROL and not _only_to_savepoint(statement)) or head == "PREPARE TRANSACTION":
            return f"{statement.verb} is in it, but a step is one transaction together with its ledger row: take the statement out"
        if statement.verb in NOT_IN_A_TRANSACTION or _is_concurrent(statement):
            return (f"{head} cannot run in a transaction, which a step is: take it out"
                    + (", into a step of its own that begins with the line: -- alwayson: concurrently" if _is_concurrent(statement) else ""))
        if _takes_lock_timeout_away(statement):
            return f"{statement.verb} takes the lock_timeout away, which keeps others from stalling: take the statement out"
    return None


def _only_to_savepoint(statement: Statement) -> bool:
    return statement.verb == "ROLLBACK" and "TO" in statement.words


def _takes_lock_timeout_away(statement: Statement) -> bool:
    setting = next((word for word in statement.words[1:] if word not in ("LOCAL", "SESSION")), "")
    return (statement.verb == "SET" and setting == "LOCK_TIMEOUT") or (statement.verb == "RESET" and setting in ("LOCK_TIMEOUT", "ALL"))


def _is_concurrent(statement: Statement) -> bool:
    """Whether an index is built, rebuilt or dropped without a lock on its table."""
    return statement.verb in ("CREATE", "DROP", "REINDEX") and "CONCURRENTLY" in statement.words[:5]
