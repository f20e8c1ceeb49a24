# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step is in SQLite: its change of the schema is part of a transaction, as in PostgreSQL. Pure."""

from __future__ import annotations


from ..._database.migration.sql import line_of, statements
from ..._database.migration.step import BATCH, INDEX, Step, batch_objection
from .dialect import SQLITE

TRANSACTION_CONTROL = ("BEGIN", "COMMIT", "END", "ROLLBACK")
CHANGES_SCHEMA = ("CREATE", "ALTER", "DROP")
NOT_IN_A_TRANSACTION = {
    "ATTACH": "a step changes its own database only",
    "DETACH": "a step changes its own database only",
    "PRAGMA": "a setting would stay with the session, or have no effect in the transaction that a step is",
    "VACUUM": "it cannot run in the transaction that a step is",
}
FOREIGN_KEYS = "foreign-keys"


class SqliteStep(Step):
    """A step for SQLite."""

    dialect = SQLITE

    @property
    def changes_schema(self) -> bool:
        """Whether it may rebuild a table, for which SQLite wants foreign keys to be left alone until its end."""
        return any(statement.verb in CHANGES_SCHEMA for statement in statements(self.sql, SQLITE))

    def parts(self) -> list[tuple[str, int]]:
        """Each statement, and the line in which it begins."""
        return [(self.sql[found.begin:found.end], line_of(self.sql, found.begin + 1)) for found in statements(self.sql, SQLITE)]

    def objection(self) -> str | None:
        if self.directives.objection:
            return self.directives.objection
        if self.kind == INDEX:
            return "in SQLite an index is built in a transaction, without a directive: remove the line with concurrently, and the word from the statement"
        return batch_objection(self.sql, self.directives, SQLITE) if self.kind == BATCH else self._script_objection()

    def _script_objection(self) -> str | None:
        found = statements(self.sql, SQLITE)
        for statement in found:
            if statement.verb in TRANSACTION_CONTROL and not (statement.verb == "ROLLBACK" and "TO" in statement.words):
                return f"{statement.verb} is in it, but a step is one transaction together with its ledger row: take the statement out"
            if statement.verb in NOT_IN_A_TRANSACTION:
                return f"{statement.verb} is in it, but {NOT_IN_A_TRANSACTION[statement.verb]}: take the statement out"
        return None if found else "it has no statement"
