# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration step: a script in a file, which says in its first comments how it is applied.

    (nothing)                        in one transaction
    -- alwayson: batch               one statement, again and again until it changes no row, each time in a transaction of its own
    -- alwayson: batch after 0       the same; `:after` in it stands for the largest value that the batch before returned, 0 at first
    -- alwayson: concurrently        one CREATE, DROP or REINDEX INDEX CONCURRENTLY
    -- alwayson: accept <rule>       run it although this rule objects
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Optional, Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._index_statement import index_objection
from ansible_collections.alwayson.upgrade.plugins.module_utils._sql_script import (
    POSTGRESQL, Dialect, line_of, pieces, statements, tokens, transaction_objection,
)

PHASES = ("expand", "backfill", "contract", "optimise")
TRANSACTION, BATCH, INDEX, COMMAND = "transaction", "batch", "index", "command"
# One that commits by itself, where a change of the schema always does.
STATEMENT = "statement"
DIRECTIVE = re.compile(r"--\s*alwayson:\s*(.*)")
KNOWN = "batch, batch after <value>, concurrently, accept <rule>"
NUMBER = re.compile(r"-?\d+(\.\d+)?")
CHANGES_ROWS = ("UPDATE", "DELETE", "INSERT", "MERGE", "WITH")
BOUNDS = {"LIMIT", "FETCH"}
# The name of the cursor in a script.
AFTER = "after"


class StepError(Exception):
    """A script that cannot be a step; the message names the step and says what to do."""


@dataclass(frozen=True)
class Directives:
    """What a script says about itself. `after`: the first value of its cursor, None without one. `objection`: what is wrong with them."""

    kind: str = TRANSACTION
    after: Optional[str] = None
    accepted: frozenset = field(default_factory=frozenset)
    objection: str = ""


@dataclass(frozen=True)
class Step:
    """One step of a phase of a release, for PostgreSQL; other kinds of database have a class of their own."""

    dialect: ClassVar[Dialect] = POSTGRESQL
    release: str
    phase: str
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the script as it stands in its file."""
        return hashlib.sha256(self.sql.encode("utf-8")).hexdigest()

    @property
    def key(self) -> tuple[str, str, str]:
        """What names the step in a database."""
        return (self.release, self.phase, self.name)

    @property
    def title(self) -> str:
        """The step as a message names it."""
        return f"{self.phase} step {self.name} of {self.release}"

    @cached_property
    def directives(self) -> Directives:
        """How it is applied."""
        return directives_of(self.sql, self.dialect)

    @property
    def kind(self) -> str:
        """transaction, statement, batch, index or command."""
        return self.directives.kind

    def objection(self) -> Optional[str]:
        """Why the script cannot be a step that is applied exactly once and without a stall; None when it can."""
        return objection(self.sql)


def steps_of(release: str, phase: str, given: Sequence[dict], make: type[Step] = Step) -> list[Step]:
    """The steps of `[{name, sql}]`, in their order; StepError names one that cannot be a step.

    :param make: the class of step of the kind of database.
    """
    found: list[Step] = []
    for entry in given:
        step = make(release, phase, entry["name"], entry["sql"])
        if not step.name.strip():
            raise StepError(f"a {phase} step of {release} has no name")
        if step.name in (other.name for other in found):
            raise StepError(f"there are two: {step.title}; give each a name of its own")
        try:
            step.checksum
        except UnicodeEncodeError as error:
            raise StepError(f"{step.title} is not text in UTF-8: {error.reason}") from error
        why = "it has a null character" if "\0" in step.sql else step.objection()
        if why:
            raise StepError(f"{step.title}: {why}")
        found.append(step)
    return found


def objection(script: str) -> Optional[str]:
    """Why a script cannot be a step in PostgreSQL; None when it can."""
    directives = directives_of(script)
    if directives.objection:
        return directives.objection
    if directives.kind == INDEX:
        return index_objection(script)
    return batch_objection(script, directives) if directives.kind == BATCH else transaction_objection(script)


def directives_of(script: str, dialect: Dialect = POSTGRESQL) -> Directives:
    """What the first comments of a script say about it."""
    kinds, accepted, after, begun = [], [], None, False
    for piece in pieces(script, dialect):
        begun = begun or piece.kind != "comment"
        match = DIRECTIVE.match(piece.text) if piece.kind == "comment" else None
        if match is None:
            continue
        words = match[1].split()
        where = f"line {line_of(script, piece.at + 1)} says {piece.text.strip()!r}"
        if begun:
            return Directives(objection=f"{where}, which counts before the first statement only: move it up")
        if words[:1] == ["accept"] and len(words) > 1:
            accepted += [word.strip(",") for word in words[1:]]
        elif words == ["concurrently"]:
            kinds.append(INDEX)
        elif words == ["batch"] or words[:2] == ["batch", "after"] and len(words) == 3:
            kinds.append(BATCH)
            after = words[2] if len(words) == 3 else None
        else:
            return Directives(objection=f"{where}, which is none of: {KNOWN}")
    if len(kinds) > 1:
        return Directives(objection=f"it says twice how it is applied ({', '.join(kinds)}): make a step of each")
    return Directives(kinds[0] if kinds else TRANSACTION, after, frozenset(accepted))


def with_cursor(script: str, value: str, dialect: Dialect = POSTGRESQL, name: str = AFTER) -> str:
    """The script with `:after`, or another name, replaced by SQL text."""
    found = script
    for at in reversed(cursor_positions(script, dialect, name)):
        found = found[:at] + value + found[at + len(name) + 1:]
    return found


def constant(value: str) -> str:
    """A cursor's value as SQL text: a number as it is, for a text does not compare with numbers everywhere; all else in quotes."""
    return value if NUMBER.fullmatch(value) else "'{0}'".format(value.replace("'", "''"))


def cursor_positions(script: str, dialect: Dialect = POSTGRESQL, name: str = AFTER) -> list[int]:
    """Where `:after`, or another name, stands, outside of comments and constants."""
    seen = tokens(script, dialect)
    return [
        colon.at for before, colon, word in zip([None, *seen], seen, seen[1:])
        if colon.text == ":" and word.text.lower() == name and word.at == colon.at + 1 and not (before and before.text == ":" and before.at + 1 == colon.at)
    ]


def batch_objection(script: str, directives: Directives, dialect: Dialect = POSTGRESQL) -> Optional[str]:
    """Why a script cannot be run batch by batch, with a cursor by RETURNING; None when it can."""
    found = statements(script, dialect)
    if len(found) != 1 or found[0].verb not in CHANGES_ROWS:
        return "a batch step is one statement that changes rows (INSERT, UPDATE, DELETE, MERGE, WITH): make it one, or take the batch directive away"
    words = found[0].words
    if not BOUNDS & set(words):
        return "nothing bounds its batches: choose the rows of one by a subselect with LIMIT"
    if ("SKIP", "LOCKED") in zip(words, words[1:]):
        return "SKIP LOCKED is in it: rows that somebody holds would be left out, and the step would end without them. Take it out; locked rows are tried again"
    if (directives.after is not None) != bool(cursor_positions(script, dialect)):
        return "a cursor needs both, the directive batch after <first value> and :after in the statement"
    if directives.after is not None and "RETURNING" not in words:
        return "a batch with :after must return the values by which it goes on: add RETURNING and the column"
    return None
