# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an SQL script says, as far as that is known without a server: its tokens and its statements, in the dialect of an engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# In the order in which they are tried: comments, constants, names in quotes, words, all else one character at a time.
TOKEN = r"""
    (?P<comment> {comment} | /\* )
  | (?P<constant> {constant} )
  | (?P<name> {name} )
  | (?P<word> {word} )
  | (?P<space> \s+ )
  | (?P<other> (?s:.) )
"""
COMMENT_EDGE = re.compile(r"/\*|\*/")

# Statements that have a body, and statements that have none regardless of the object's name.
ROUTINES = {"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"}
NO_ROUTINES = {"TABLE", "INDEX", "VIEW", "SEQUENCE", "VIRTUAL"}
# What a routine ends by END and its name.
ENDED_BY_NAME = {"IF", "LOOP", "WHILE", "REPEAT", "FOR"}


@dataclass(frozen=True)
class Dialect:
    """How a kind of database reads a script. `nests`: a comment may hold another; `has_bodies`: a trigger or routine may be written BEGIN ... END.

    `quote` stands around a name.
    """

    token: re.Pattern[str]
    nests: bool
    has_bodies: bool
    quote: str = '"'

    def identifier(self, name: str) -> str:
        """A name, quoted for SQL."""
        return self.quote + name.replace(self.quote, 2 * self.quote) + self.quote


def token_pattern(**parts: str) -> re.Pattern[str]:
    """The pattern of a dialect's tokens, of the patterns of its comments, constants, names and words."""
    return re.compile(TOKEN.format(**parts), re.VERBOSE)


class Token(NamedTuple):
    """A piece of a script: its kind (comment, word, name, constant or other), its text, and where it begins, counted from 0."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Statement:
    """One statement: its words in capitals, as they follow one another, and the names that it may refer to, as the catalog spells them.

    It stands in the script from `begin` to `end`, counted from 0, without its semicolon.
    """

    words: tuple[str, ...]
    names: frozenset[str]
    begin: int
    end: int

    @property
    def verb(self) -> str:
        """The first word."""
        return self.words[0] if self.words else ""


def statements(script: str, dialect: Dialect) -> list[Statement]:
    """The statements of a script, without comments and constants; an empty one does not count."""
    found: list[Statement] = []
    words: list[str] = []
    names: set[str] = set()
    depth = end = begin = 0
    is_inside = False

    def finish() -> None:
        if words or names:
            found.append(Statement(tuple(words), frozenset(names), begin, end))
        words.clear()
        names.clear()

    for kind, text, at in pieces(script, dialect):
        if kind == "comment":
            continue
        if kind == "word":
            depth = (_routine_depth if dialect.has_bodies else _body_depth)(depth, words, text.upper())
        if text == ";" and not depth:
            finish()
            is_inside = False
            continue
        begin, end, is_inside = begin if is_inside else at, at + len(text), True
        if kind == "word":
            words.append(text.upper())
            names.add(folded(text))
        elif kind == "name":
            names.add(unquoted(text))
    finish()
    return found


def line_of(script: str, position: int) -> int:
    """The number of the line that holds the character at `position`, both counted from 1."""
    return script.count("\n", 0, position - 1) + 1


def unquoted(name: str) -> str:
    """A name in quotes as the catalog spells it."""
    return name[1:-1] if name[0] == "[" else name[1:-1].replace(name[-1] * 2, name[-1])


def folded(word: str) -> str:
    """A name without quotes as the catalog spells it: of letters, the server makes only those of ASCII small."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in word)


def name_of(token: Token) -> str:
    """A word, or a name in quotes, as the catalog spells it."""
    return unquoted(token.text) if token.kind == "name" else folded(token.text)


def path_at(found: Sequence[Token], at: int) -> tuple[tuple[str, ...], int]:
    """The name at a place among tokens, with what it is qualified by, as the catalog spells it; and the number of the token behind it."""
    parts: list[str] = []
    while at < len(found) and found[at].kind in ("word", "name"):
        parts.append(name_of(found[at]))
        at += 1
        if at >= len(found) or found[at].text != ".":
            break
        at += 1
    return tuple(parts), at


def tokens(script: str, dialect: Dialect) -> list[Token]:
    """What counts in a script: words, names in quotes, and single characters."""
    return [token for token in pieces(script, dialect) if token.kind in ("word", "name", "other")]


def pieces(script: str, dialect: Dialect) -> Iterator[Token]:
    """All of a script but its white space; a comment is one piece."""
    at = 0
    while at < len(script):
        match = dialect.token.match(script, at)
        if match is None:
            raise ValueError(f"the dialect has no token for {script[at:at + 20]!r}")
        end = _end_of_comment(script, match.end(), dialect.nests) if match[0] == "/*" else match.end()
        if match.lastgroup and match.lastgroup != "space":
            # The group that was closed last is the outer one, also where a dollar quote is in it.
            yield Token(match.lastgroup, script[at:end], at)
        at = end


def _end_of_comment(script: str, at: int, nests: bool) -> int:
    depth = 1
    while depth:
        edge = COMMENT_EDGE.search(script, at)
        if edge is None:
            return len(script)
        depth += nests if edge[0] == "/*" else -1
        at = edge.end()
    return at


def _body_depth(depth: int, before: list[str], word: str) -> int:
    """How deep a routine's body (BEGIN ATOMIC ... END, with CASE ... END in it) is nested after `word`: its semicolons end no statement."""
    if word == "ATOMIC" and before and before[-1] == "BEGIN" and before[0] == "CREATE":
        return 1
    if depth and word == "CASE":
        return depth + 1
    if depth and word == "END":
        return depth - 1
    return depth


def _routine_depth(depth: int, before: list[str], word: str) -> int:
    """How deep BEGIN ... END and CASE ... END are nested in a trigger or routine: the END of END IF and the like ends neither."""
    previous = before[-1] if before else ""
    if not _makes_routine(before):
        return 0
    if word == "BEGIN" or (depth and word == "CASE" and previous != "END"):
        return depth + 1
    if depth and word == "END":
        return depth - 1
    return depth + 1 if word in ENDED_BY_NAME and previous == "END" else depth


def _makes_routine(words: list[str]) -> bool:
    kind = next((word for word in words if word in ROUTINES or word in NO_ROUTINES), "")
    return words[:1] == ["CREATE"] and kind in ROUTINES
