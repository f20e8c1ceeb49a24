# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step is in MariaDB, where a change of the schema commits by itself. Pure.

So a script changes rows, in one transaction with its row in the ledger, or it is one change of the schema and nothing else.
"""

from __future__ import annotations

import re

from ..._database.migration.sql import Statement, pieces, statements, tokens
from ..._database.migration.step import BATCH, INDEX, SKIPS, STATEMENT, TRANSACTION, Step, chooses_and_changes, cursor_positions
from .dialect import MARIADB

CHANGES_SCHEMA = ("CREATE", "ALTER", "DROP", "RENAME")
CHANGES_ROWS = ("INSERT", "UPDATE", "DELETE", "REPLACE", "WITH")
# What may be in a script beside these: it reads, or keeps a value for a later statement. SET would stay with the session.
HARMLESS = ("SELECT", "VALUES", "DO")
OBJECTS = {"TABLE", "INDEX", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "SEQUENCE"}
OTHER_OBJECTS = {"DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "TABLESPACE", "LOGFILE", "PACKAGE", "TEMPORARY"}
# Replaced by dropping the old one first: a crash between loses it.
NOT_REPLACED_AT_ONCE = {"TABLE", "SEQUENCE"}
BLOCKING_ALTER = "blocking-alter"
BLOCKING_WAY_OUT = ("Make the change in another way, such as a new column that a batch step fills; or, when the table is small, "
                    f"write in the first lines: -- alwayson: accept {BLOCKING_ALTER}")
LOCK_CLAUSE = "LOCK=NONE"


class MariadbStep(Step):
    """A step for MariaDB."""

    dialect = MARIADB

    @property
    def kind(self) -> str:
        kind = self.directives.kind
        found = statements(self.sql, MARIADB)
        return STATEMENT if kind == TRANSACTION and found and found[0].verb in CHANGES_SCHEMA else kind

    def objection(self) -> str | None:
        if self.directives.objection:
            return self.directives.objection
        if any(piece.kind == "comment" and re.match(r"/\*M?!", piece.text) for piece in pieces(self.sql, MARIADB)):
            return "a comment in it, /*! ... */, is run by the server: write it out"
        found = statements(self.sql, MARIADB)
        if any(statement.verb == "DELIMITER" for statement in found):
            return "DELIMITER is a command of the client mariadb, and not of the server: take it out; a trigger or routine is a step of its own without it"
        kinds = {TRANSACTION: _script_objection, STATEMENT: self._schema_objection, BATCH: self._batch_objection, INDEX: _index_objection}
        return kinds[self.kind](found)

    def runnable(self) -> str:
        """The change of the schema as it is sent. One that would keep writers waiting while it works is refused by the server, unless the file accepts that.
        """
        statement = statements(self.sql, MARIADB)[0]
        if BLOCKING_ALTER in self.directives.accepted or "LOCK" in statement.words:
            return self.sql
        clause = {("ALTER", "TABLE"): f", {LOCK_CLAUSE}", ("CREATE", "INDEX"): f" {LOCK_CLAUSE}"}.get((statement.verb, _object(statement)), "")
        return self.sql[:statement.end] + clause

    def names(self) -> list[str]:
        """The names that the script has in it, in small letters."""
        return sorted({name.lower() for statement in statements(self.sql, MARIADB) for name in statement.names})

    def _schema_objection(self, found: list[Statement]) -> str | None:
        if len(found) > 1:
            return (f"{found[0].verb} is in it, a change of the schema, which MariaDB commits: "
                    "a step with one is that one statement alone. Make a step of each")
        statement, kind = found[0], _object(found[0])
        if kind not in OBJECTS:
            return f"{' '.join(statement.words[:3])} is no change that a step can make to its database: take it out"
        if statement.words[:3] == ("CREATE", "OR", "REPLACE") and kind in NOT_REPLACED_AT_ONCE:
            return f"CREATE OR REPLACE {kind} drops the old one first, and a crash between would lose it: drop and create it in steps"
        if statement.verb == "DROP" and any(token.text == "," for token in tokens(self.sql, MARIADB)):
            return "MariaDB drops them one after the other, so a crash would leave some of them: make a step of each"
        if BLOCKING_ALTER not in self.directives.accepted and _may_block(statement):
            return f"{BLOCKING_ALTER}: the server cannot run this without blocking writers. {BLOCKING_WAY_OUT}"
        return None

    def _batch_objection(self, found: list[Statement]) -> str | None:
        has_cursor = self.directives.after is not None
        if has_cursor != bool(cursor_positions(self.sql, MARIADB)):
            return "a cursor needs both, the directive batch after <first value> and :after in the statements"
        words = found[0].words if found else ()
        if "LIMIT" not in words:
            return "nothing bounds its batches: put a LIMIT into the statement, the first one where there are two"
        if has_cursor and ("SKIP", "LOCKED") in zip(words, words[1:]):
            return SKIPS
        if not has_cursor and (len(found) != 1 or found[0].verb not in CHANGES_ROWS):
            return "a batch step is one statement that changes rows (INSERT, UPDATE, DELETE, REPLACE): make it one, or remove the batch directive"
        if has_cursor and not chooses_and_changes(self.sql, MARIADB):
            return ("a batch with :after has two statements: a SELECT with LIMIT of the values behind :after, and one that changes the rows behind :after "
                    "up to :last, the largest of them")
        return None


def _script_objection(found: list[Statement]) -> str | None:
    if not found:
        return "it has no statement"
    for statement in found:
        if statement.verb in CHANGES_SCHEMA:
            return (f"{statement.verb} is in it, a change of the schema, which MariaDB commits, together with the statements before it: "
                    "make it a step of its own")
        if statement.verb == "TRUNCATE":
            return "TRUNCATE leaves no trace that shows whether a killed run has done it: delete in batches, or drop and create the table"
        if statement.verb not in CHANGES_ROWS + HARMLESS:
            return (f"{' '.join(statement.words[:2])} is in it, but a step is either one change of the schema ({', '.join(CHANGES_SCHEMA)}), or a script that "
                    "changes rows (INSERT, UPDATE, DELETE, REPLACE): take it out")
    return None


def _index_objection(_found: list[Statement]) -> str:
    return "in MariaDB an index is built while others write, without a directive: remove the line with concurrently, and the word from the statement"


def _object(statement: Statement) -> str:
    """What kind of thing it creates, changes or drops."""
    if statement.words[:2] == ("RENAME", "TABLES"):
        return "TABLE"
    return next((word for word in statement.words[1:] if word in OBJECTS | OTHER_OBJECTS), "")


def _may_block(statement: Statement) -> bool:
    words = statement.words
    asks_for_a_lock = "LOCK" in words and words[words.index("LOCK") + 1:][:1] != ("NONE",)
    changes_parts = statement.verb == "ALTER" and bool({"PARTITION", "PARTITIONS", "PARTITIONING"} & set(words))
    return _object(statement) in ("TABLE", "INDEX") and (asks_for_a_lock or changes_parts)
