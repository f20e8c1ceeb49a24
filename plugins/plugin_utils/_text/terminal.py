# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that a terminal shows and never obeys, and lines of a given width. Pure.

A line is a list of pieces ``(text, style)``. ``painted`` is the only way from pieces to a string, so everything that is shown has been made inert.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

Piece = tuple[str, str]
Line = list[Piece]

STYLES = {"": "", "bold": "1", "faint": "2", "good": "32", "busy": "36", "warning": "33", "bad": "1;31"}
STAND_IN = "\ufffd"
# Everything outside plain ASCII and Latin letters is looked at one by one; those are let through at once.
_HARMLESS = re.compile(r"^[\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff]*$")


def inert(value: object, *, narrow: bool = True) -> str:
    """The value as one line of characters that only stand for themselves.

    Control and format characters (escape sequences, direction marks, zero width) become a stand-in; line ends and tabs become spaces. With *narrow* every
    character takes exactly one column: wide ones become ``?`` and combining ones go.
    """
    text = str(value)
    if _HARMLESS.match(text):
        return text
    return "".join(_harmless(character, narrow) for character in text)


def inert_lines(value: object) -> list[str]:
    """The value as lines, each inert; spaces inside stay, so that tables and pictures of text survive."""
    return [inert(line.expandtabs(), narrow=False).rstrip() for line in re.split(r"\r\n|[\n\r\v\f\x85\u2028\u2029]", str(value))]


def one_line(value: object, most: int = 500) -> str:
    """The value on one line, spaces squeezed, cut after *most* characters."""
    text = " ".join(inert(value, narrow=False).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _harmless(character: str, narrow: bool) -> str:
    category = unicodedata.category(character)
    if category in ("Zl", "Zp") or character in "\t\n\r\v\f":
        return " "
    if category[0] == "C":
        return STAND_IN
    if narrow and category[0] == "M":
        return ""
    return "?" if narrow and unicodedata.east_asian_width(character) in "WF" else character


def painted(line: Iterable[Piece], width: int, *, colour: bool = False) -> str:
    """The line as a string of at most *width* columns, cut with an ellipsis; with escape sequences only if *colour*."""
    pieces = joined(_cut([(inert(text), style) for text, style in line], width))
    return "".join(f"\x1b[{STYLES[style]}m{text}\x1b[0m" if colour and style else text for text, style in pieces)


def joined(line: Iterable[Piece]) -> Line:
    """Neighbours of one style as one piece; a blank takes the style of what stands before it."""
    pieces: Line = []
    for text, style in line:
        if pieces and (style == pieces[-1][1] or text.isspace()):
            pieces[-1] = (pieces[-1][0] + text, pieces[-1][1])
        elif text:
            pieces.append((text, style))
    return pieces


def _cut(pieces: list[Piece], width: int) -> list[Piece]:
    over = sum(len(text) for text, _style in pieces) - width
    if over <= 0:
        return pieces
    kept: list[Piece] = []
    room = width - 1
    for text, style in pieces:
        if len(text) > room:
            return [*kept, (text[:room] + "…", style)]
        kept.append((text, style))
        room -= len(text)
    return kept


def columns(line: Sequence[Piece]) -> int:
    """How many columns the line takes uncut."""
    return sum(len(inert(text)) for text, _style in line)


def padded(line: Sequence[Piece], width: int) -> Line:
    """The line filled up, or cut, to exactly *width* columns."""
    pieces = _cut([(inert(text), style) for text, style in line], width)
    return [*pieces, (" " * (width - sum(len(text) for text, _style in pieces)), "")]


def both_ends(left: Sequence[Piece], right: Sequence[Piece], width: int) -> Line:
    """One line with *right* at its right end; when both do not fit, *left* is cut."""
    return [*padded(left, max(0, width - columns(right) - 2)), ("  ", ""), *right]


def flowed(label: str, words: Iterable[tuple[str, str]], width: int, *, most: int, between: str = ", ") -> list[Line]:
    """Words one after the other behind a label, on at most *most* lines; what does not fit is counted."""
    entries = [(inert(text), style) for text, style in words]
    lines: list[Line] = []
    line: Line = [(label, "faint")]
    left = len(entries)
    for text, style in entries:
        last_line = len(lines) == most - 1
        reserve = len(f"{between}and {left} more") if last_line and left > 1 else len(between)
        if columns(line) + len(text) + reserve > width and columns(line) > len(label):
            if last_line:
                return [*lines, [*line, (f"and {left} more", "faint")]]
            lines.append(line)
            line = [(" " * len(label), "")]
        line += [(text, style), (between, "faint")] if left > 1 else [(text, style)]
        left -= 1
    return [*lines, line] if entries and most > 0 else []
