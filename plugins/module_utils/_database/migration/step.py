# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration step: a script in a file, which says in its first comments how it is applied.

    (nothing)                        in one transaction
    -- alwayson: batch               one statement, repeated until its query with the LIMIT finds no row, each time in its own transaction
    -- alwayson: batch after 0       the same; `:after` in it stands for the largest value that the batch before has chosen, 0 at first. Or two statements,
                                     of which the first one chooses, and the second one changes what is behind `:after`, up to `:last`
    -- alwayson: concurrently        one CREATE, DROP or REINDEX INDEX CONCURRENTLY
    -- alwayson: accept <rule>       run it although this rule objects
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from .choice import AFTER, BOUNDS, LAST, BatchPlan, Text, plan_of
from .ledger_row import TRANSACTION
from .sql import Dialect, line_of, pieces, statements

PHASES = ("expand", "backfill", "contract", "optimise")
BATCH, INDEX, COMMAND = "batch", "index", "command"
# One that commits by itself, where a change of the schema always does.
STATEMENT = "statement"
DIRECTIVE = re.compile(r"--\s*alwayson:\s*(.*)")
KNOWN = "batch, batch after <value>, concurrently, accept <rule>"
NUMBER = re.compile(r"-?\d+(\.\d+)?")
CHANGES_ROWS = ("UPDATE", "DELETE", "INSERT", "MERGE", "WITH")
# What does for every batch.
CURSOR_FORM = ("-- alwayson: batch after 0, and two statements: SELECT id FROM t WHERE id > :after ORDER BY id LIMIT 1000; and the change "
               "WHERE id > :after AND id <= :last;")
SKIPS = ("SKIP LOCKED is in it: its cursor would skip the rows that another session has locked, and the step would end without them. Take it out; "
         "locked rows are tried again")


class StepError(Exception):
    """A script that cannot be a step; the message names the step and says what to do."""


@dataclass(frozen=True)
class Directives:
    """What a script says about itself. `after`: the first value of its cursor, None without one. `objection`: what is wrong with them."""

    kind: str = TRANSACTION
    after: str | None = None
    accepted: frozenset[str] = field(default_factory=frozenset)
    objection: str = ""


@dataclass(frozen=True)
class Step:
    """One step of a phase of a release; each engine has a subclass, with its dialect and its objections."""

    dialect: ClassVar[Dialect]
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

    @cached_property
    def batch(self) -> BatchPlan | None:
        """How a batch step goes on; None when it is not clear which query chooses its rows."""
        return plan_of(self.sql, self.dialect, self.directives.after is not None)

    def objection(self) -> str | None:
        """Why the script cannot be a step that is applied exactly once and without a stall; None when it can."""
        return self.directives.objection or None


def steps_of(release: str, phase: str, given: Sequence[dict[str, Any]], make: type[Step]) -> list[Step]:
    """The steps of `[{name, sql}]`, in their order; StepError names one that cannot be a step.

    :param make: the engine's class of step.
    """
    found: list[Step] = []
    for entry in given:
        step = make(release, phase, entry["name"], entry["sql"])
        if not step.name.strip():
            raise StepError(f"a {phase} step of {release} has no name")
        if step.name in (other.name for other in found):
            raise StepError(f"there are two: {step.title}; give each a name of its own")
        try:
            _utf8 = step.checksum
        except UnicodeEncodeError as error:
            raise StepError(f"{step.title} is not text in UTF-8: {error.reason}") from error
        why = "it has a null character" if "\0" in step.sql else step.objection()
        if why:
            raise StepError(f"{step.title}: {why}")
        found.append(step)
    return found


def directives_of(script: str, dialect: Dialect) -> Directives:
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
            return Directives(objection=f"{where}, which is only valid before the first statement: move it up")
        if words[:1] == ["accept"] and len(words) > 1:
            accepted += [word.strip(",") for word in words[1:]]
        elif words == ["concurrently"]:
            kinds.append(INDEX)
        elif words == ["batch"] or (words[:2] == ["batch", "after"] and len(words) == 3):
            kinds.append(BATCH)
            after = words[2] if len(words) == 3 else None
        else:
            return Directives(objection=f"{where}, which is none of: {KNOWN}")
    if len(kinds) > 1:
        return Directives(objection=f"it has several directives ({', '.join(kinds)}): make a step of each")
    return Directives(kinds[0] if kinds else TRANSACTION, after, frozenset(accepted))


def with_cursor(script: str, value: str, dialect: Dialect, name: str = AFTER) -> str:
    """The script with `:after`, or another name, replaced by SQL text."""
    found = script
    for at in reversed(cursor_positions(script, dialect, name)):
        found = found[:at] + value + found[at + len(name) + 1:]
    return found


def constant(value: str) -> str:
    """A cursor's value as SQL text: a number as it is, for a text does not compare with numbers everywhere; all else in quotes."""
    return value if NUMBER.fullmatch(value) else quoted(value)


def quoted(text: str) -> str:
    """A text as SQL text, as long as it has no backslash, which not all databases read alike."""
    return "'{}'".format(text.replace("'", "''"))


def cursor_positions(script: str, dialect: Dialect, name: str = AFTER) -> list[int]:
    """Where `:after`, or another name, stands, outside of comments and constants."""
    text = Text(script, dialect)
    return [text.tokens[at].at for at in text.cursors(name)]


def batch_objection(script: str, directives: Directives, dialect: Dialect) -> str | None:
    """Why a script cannot be run batch by batch; None when it can."""
    found, has_cursor = statements(script, dialect), directives.after is not None
    is_pair = has_cursor and chooses_and_changes(script, dialect)
    if not is_pair and (len(found) != 1 or found[0].verb not in CHANGES_ROWS):
        return ("a batch step is one statement that changes rows (INSERT, UPDATE, DELETE, MERGE, WITH): make it one, or remove the batch directive. "
                f"With a cursor, it may be {CURSOR_FORM}")
    words = found[0].words
    if not set(BOUNDS) & set(words):
        return "nothing bounds its batches: choose the rows of one by a subselect with LIMIT"
    if has_cursor and ("SKIP", "LOCKED") in zip(words, words[1:]):
        return SKIPS
    if has_cursor != bool(cursor_positions(script, dialect)):
        return "a cursor needs both, the directive batch after <first value> and :after in the statement"
    return None


def chooses_and_changes(script: str, dialect: Dialect) -> bool:
    """Whether a script is two statements, of which one chooses rows, and the other one changes them up to `:last`."""
    found = statements(script, dialect)
    return len(found) == 2 and found[0].verb in ("SELECT", "WITH") and found[1].verb in (*CHANGES_ROWS, "REPLACE") and bool(
        cursor_positions(script[found[1].begin:], dialect, LAST))
