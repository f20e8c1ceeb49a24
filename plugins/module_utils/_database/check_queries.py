# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own questions to a restored copy. Each must be answered by exactly one true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .backup.record import BackupError
from .errors import DatabaseError

SHOWN_LENGTH = 80


class Session(Protocol):
    """A session with a restored copy."""

    database: str

    def run(self, statement: str) -> None:
        """Run one statement."""

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of one statement."""


class Dialect(NamedTuple):
    """How an engine begins a transaction in which nothing is to be changed, and what it answers for true."""

    begin: str = "BEGIN READ ONLY"
    true: Any = True


def require_true(copy: Session, queries: Sequence[str], dialect: Dialect = Dialect()) -> None:
    """Raise BackupError for the first query whose answer is anything but one true."""
    for query in queries:
        try:
            copy.run(dialect.begin)
            answer = copy.rows(query)
            copy.run("ROLLBACK")
        except DatabaseError as error:
            raise BackupError(f"the check query {_shown(query)} failed in the restored copy of {copy.database}: {error}") from error
        if len(answer) != 1 or len(answer[0]) != 1 or type(answer[0][0]) is not type(dialect.true) or answer[0][0] != dialect.true:
            raise BackupError(f"the check query {_shown(query)} answered {_described(answer)} in the restored copy of {copy.database}, not a single true")


def _shown(query: str) -> str:
    line = " ".join(query.split())
    return repr(line if len(line) <= SHOWN_LENGTH else line[:SHOWN_LENGTH] + "...")


def _described(answer: list[tuple[Any, ...]]) -> str:
    if len(answer) == 1 and len(answer[0]) == 1:
        # A number or a truth value; anything else may be what a row holds.
        return repr(answer[0][0]) if isinstance(answer[0][0], (int, float, type(None))) else f"a value of the type {type(answer[0][0]).__name__}"
    return f"{len(answer)} rows" if len(answer) != 1 else f"{len(answer[0])} columns"
