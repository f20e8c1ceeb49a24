# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements that are dangerous in a database with users: what squawk finds where it is installed, and what it does not know.

Each finding has the name of a rule; a file that says `-- alwayson: accept <rule>` in its first comments is run nevertheless.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Optional, Sequence

from ..._host.foreign_json import parse
from .choice import AFTER, LAST
from .lock_retries import MigrationError
from .sql import POSTGRESQL, Dialect, line_of, path_at, tokens
from .step import COMMAND, TRANSACTION, Step, quoted, with_cursor

SQUAWK = "squawk"
SQUAWK_SECONDS = 60
AUTO, OFF = "auto", "off"
# Rules of taste, and rules about what the runner itself takes care of: lock_timeout, one transaction, each step once.
NOT_ABOUT_DANGER = ("ban-char-field", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity", "prefer-robust-stmts", "prefer-text-field",
                    "prefer-timestamptz", "require-lock-timeout", "require-statement-timeout", "require-timeout-settings", "transaction-nesting")
# From the contract phase on, no release needs what is taken away.
MEANT_LATER = ("ban-drop-column", "ban-drop-table", "ban-drop-not-null")
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


def find_linter(wanted: str) -> Optional[str]:
    """The path of squawk; None when it is not wanted, or `auto` finds none. MigrationError when a path that was given is no program."""
    if wanted == OFF:
        return None
    if wanted == AUTO:
        beside = os.path.join(os.path.dirname(sys.executable), SQUAWK)
        return shutil.which(SQUAWK) or (beside if os.access(beside, os.X_OK) else None)
    if not (os.path.isfile(wanted) and os.access(wanted, os.X_OK)):
        raise MigrationError(f"linter: {wanted} is no program on this host: install squawk-cli from PyPI there, or say auto or off")
    return wanted


def refuse_dangerous(steps: Sequence[Step], linter: Optional[str]) -> None:
    """MigrationError names every finding in steps that are pending, and how to accept it."""
    told = []
    for step in steps:
        if step.kind == COMMAND:
            continue
        found = [finding for finding in [*_locked_tables(step), *(_linted(step, linter) if linter else [])] if finding.rule not in step.directives.accepted]
        if found:
            told.append(f"{step.title}: {'; '.join(map(str, found))}")
    if told:
        raise MigrationError(f"nothing was applied anywhere, for these statements are dangerous. {'. '.join(told)}. {way_out('<rule>')}")


def unbatched_change(step: Step, at: int, rows: str) -> str:
    """A sentence for a change at that place of a step, of a table with so many rows."""
    finding = Finding(UNBATCHED, line_of(step.sql, at + 1), f"a table of {rows} in one transaction")
    return f"{step.title}: {finding}: make it a batch step. {way_out(UNBATCHED)}"


def changed_tables(script: str, dialect: Dialect = POSTGRESQL) -> list[tuple[tuple, int]]:
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


def _linted(step: Step, linter: str) -> list[Finding]:
    """What squawk finds in a step; MigrationError when it cannot be run or understood."""
    ignored = NOT_ABOUT_DANGER + (MEANT_LATER if step.phase in ("contract", "optimise") else ())
    # Left out here and not by --exclude: a version that does not know one of the rules would refuse to start.
    command = [linter, "--reporter", "Json", *["--assume-in-transaction"] * (step.kind == TRANSACTION)]
    # The linter knows no cursors.
    script = step.sql
    for name in (AFTER, LAST) if step.directives.after is not None else ():
        script = with_cursor(script, quoted(step.directives.after), POSTGRESQL, name)
    try:
        done = subprocess.run(command, input=script.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SQUAWK_SECONDS, check=False)
        found = parse(done.stdout or b"[]") if done.returncode in (0, 1) else None
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise MigrationError(f"{linter} did not check {step.title}: {error}; give linter=off to do without it") from error
    if found is None:
        raise MigrationError(f"{linter} did not check {step.title}: {done.stderr.decode(errors='replace').strip()}; give linter=off to do without it")
    return [Finding(entry["rule_name"], entry["line"] + 1, entry["message"]) for entry in found if entry["rule_name"] not in ignored]


def way_out(rule: str) -> str:
    """What to do about a finding."""
    return f"Change the file; or, when it is right all the same, write in its first lines: -- alwayson: accept {rule}"
