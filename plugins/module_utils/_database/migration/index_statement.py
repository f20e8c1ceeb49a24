# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a statement says of an index that it builds, rebuilds or drops. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .sql import Dialect, Token, path_at, pieces, tokens, unquoted


@dataclass(frozen=True)
class IndexStatement:
    """`verb` is CREATE, DROP or REINDEX. Paths are names as the catalog spells them, the schema first if there is one; () where there is none.

    `is_tolerant`: it says IF [NOT] EXISTS. `properties`: of CREATE, what stands before and behind the name of the table and says what the index is like.
    """

    verb: str
    index: tuple[Any, ...]
    table: tuple[Any, ...] = ()
    is_tolerant: bool = False
    properties: tuple[str, str] = field(default=("", ""), compare=False)

    def on(self, table: str) -> str:
        """The statement that builds such an index on another table, named by its SQL text, in a transaction."""
        return f"CREATE {self.properties[0]} INDEX ON {table} {self.properties[1]}"


def tolerant_index(statement: str, dialect: Dialect) -> IndexStatement | None:
    """The statement when it is CREATE INDEX IF NOT EXISTS, without a word that builds it concurrently; None when it is not."""
    reader = Reader(tokens(statement, dialect))
    if not reader.take("CREATE"):
        return None
    kind = next((word for word in ("UNIQUE", "FULLTEXT", "SPATIAL") if reader.take(word)), "")
    if not reader.take("INDEX", "IF", "NOT", "EXISTS"):
        return None
    index = reader.path()
    while not reader.is_at_end and not reader.take("ON"):
        reader.next()
    table = reader.path()
    return IndexStatement("CREATE", index[-1:], table[-1:], True, (kind, statement[reader.end:].rstrip().rstrip(";"))) if table else None


def spelled(statement: str, dialect: Dialect) -> list[str]:
    """A CREATE INDEX as it is spelled but for quotes, small letters, comments, the database, and IF NOT EXISTS: the same list for the same index."""
    found = [piece.text if piece.kind == "constant" else (unquoted(piece.text) if piece.kind == "name" else piece.text).upper()
             for piece in pieces(statement, dialect) if piece.kind != "comment" and piece.text != ";"]
    at = found.index("INDEX") + 1 if "INDEX" in found else 0
    rest = found[at + 3:] if found[at:at + 3] == ["IF", "NOT", "EXISTS"] else found[at:]
    return found[:at] + (rest[2:] if rest[1:2] == ["."] else rest)


class Reader:
    """Tokens, read one after the other."""

    def __init__(self, found: list[Token]) -> None:
        self._found = found
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all are read."""
        return self._at >= len(self._found)

    @property
    def end(self) -> int:
        """Where the token ends that was read last."""
        token = self._found[self._at - 1]
        return token.at + len(token.text)

    def next(self) -> Token:
        """The next token, which is read then."""
        self._at += 1
        return self._found[self._at - 1]

    def take(self, *words: str) -> bool:
        """Whether these words come next; they are read then."""
        coming = [token.text.upper() for token in self._found[self._at:self._at + len(words)] if token.kind != "name"]
        if coming != list(words):
            return False
        self._at += len(words)
        return True

    def path(self) -> tuple[Any, ...]:
        """A name with what it is qualified by; () when there is none."""
        parts, self._at = path_at(self._found, self._at)
        return parts
