# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements that are dangerous in a database with users: what is known of any engine, besides what its linter finds.

Each finding has the name of a rule; a file that says `-- alwayson: accept <rule>` in its first comments is run nevertheless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .lock_retries import MigrationError
from .sql import Dialect, line_of, path_at, tokens
from .step import COMMAND, Step

AUTO, OFF = "auto", "off"
UNBATCHED, LOCK_TABLE = "unbatched-change", "lock-table"
LARGE_TABLE_ROWS = 100_000
# What may stand between UPDATE, or DELETE FROM, and the name of the table.
BEFORE_THE_NAME = ("ONLY", "LOW_PRIORITY", "IGNORE")


@dataclass(frozen=True)
class Finding:
    """`line` is counted from 1."""

    rule: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.rule} in line {self.line} ({self.message})"


def refuse_dangerous(steps: Sequence[Step], lint: Callable[[Step], Sequence[Finding]]) -> None:
    """MigrationError names every finding in steps that are pending, and how to accept it.

    :param lint: what the engine's linter finds in a step.
    """
    refused = []
    for step in steps:
        if step.kind == COMMAND:
            continue
        found = [finding for finding in [*_locked_tables(step), *lint(step)] if finding.rule not in step.directives.accepted]
        if found:
            refused.append(f"{step.title}: {'; '.join(map(str, found))}")
    if refused:
        raise MigrationError(f"nothing was applied anywhere, because these statements are dangerous. {'. '.join(refused)}. {way_out('<rule>')}")


def unbatched_change(step: Step, at: int, rows: str) -> str:
    """A sentence for a change at that place of a step, of a table with so many rows."""
    finding = Finding(UNBATCHED, line_of(step.sql, at + 1), f"a table of {rows} in one transaction")
    return f"{step.title}: {finding}: make it a batch step. {way_out(UNBATCHED)}"


def changed_tables(script: str, dialect: Dialect) -> list[tuple[tuple[Any, ...], int]]:
    """Each table that an UPDATE or DELETE changes, as the parts of its name, and where the statement's word stands."""
    seen = tokens(script, dialect)
    found = []
    for number, token in enumerate(seen):
        before = seen[number - 1].text.upper() if number else ""
        # Not FOR UPDATE, ON CONFLICT DO UPDATE, ON DELETE, CREATE RULE or TRIGGER: there it changes nothing here and now.
        if token.kind != "word" or before not in ("", ";", "(", ")"):
            continue
        rest = seen[number + 1:]
        if token.text.upper() == "DELETE" and rest and rest[0].text.upper() == "FROM":
            rest = rest[1:]
        elif token.text.upper() != "UPDATE":
            continue
        while rest and rest[0].text.upper() in BEFORE_THE_NAME:
            rest = rest[1:]
        table = path_at(rest, 0)[0]
        if table:
            found.append((table, token.at))
    return found


def _locked_tables(step: Step) -> list[Finding]:
    seen = tokens(step.sql, step.dialect)
    return [
        Finding(LOCK_TABLE, line_of(step.sql, token.at + 1), "the lock is held to the end of the step")
        for before, token in zip([None, *seen], seen)
        if token.kind == "word" and token.text.upper() == "LOCK" and (before is None or before.text == ";")
    ]


def way_out(rule: str) -> str:
    """What to do about a finding."""
    return f"Change the file; or, if it is intended, write in its first lines: -- alwayson: accept {rule}"
