# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of a release: what counts as one, and which of two comes later.

The order is that of Semantic Versioning, with one to four numbers instead of exactly three: a pre-release
(``2.0.0-rc.1``) comes before its release, and build metadata (``2.0.0+build.7``) does not take part.
Pure: no I/O, usable from modules and from filters.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

MAX_LENGTH = 64

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(
    r"(?P<numbers>[0-9]+(?:\.[0-9]+){0,3})"
    r"(?:-(?P<prerelease>" + _IDENTIFIERS + r"))?"
    r"(?:\+(?P<build>" + _IDENTIFIERS + r"))?"
)
_NUMBERS = 4
_EXAMPLES = "for example 2.0.0 or 2.0.0-rc.1"


class VersionError(Exception):
    """Invalid version. The message says why, and shows a valid one."""


class Version(NamedTuple):
    """A valid version in its parts; `text` is what was given, and the name of its folder."""

    text: str
    numbers: tuple[int, ...]
    prerelease: str
    build: str

    @property
    def precedence(self) -> tuple[Any, ...]:
        """A key that sorts versions; equal for versions that differ in build metadata or trailing zeros only."""
        padded = self.numbers + (0,) * (_NUMBERS - len(self.numbers))
        return padded, not self.prerelease, tuple(map(_identifier_key, self.prerelease.split(".")))


def parse(value: object) -> Version:
    """Return the Version that `value` spells; raise VersionError with a reason when it spells none."""
    if isinstance(value, (int, float)):
        raise VersionError(f"{value!r} is a number, not a version: quote it in YAML, {_EXAMPLES}")
    if not isinstance(value, str):
        raise VersionError(f"a version is a text, {_EXAMPLES}; this is {type(value).__name__}")
    if not value:
        raise VersionError(f"the version is empty: name one, {_EXAMPLES}")
    if len(value) > MAX_LENGTH:
        raise VersionError(f"{value[:MAX_LENGTH]!r}... is no version: longer than {MAX_LENGTH} characters")
    match = _VERSION.fullmatch(value)
    if match is None:
        raise VersionError(f"{value!r} is no version: {_what_is_wrong(value)}")
    return Version(
        text=str(value),
        numbers=tuple(int(number) for number in match["numbers"].split(".")),
        prerelease=match["prerelease"] or "",
        build=match["build"] or "",
    )


def is_valid(value: object) -> bool:
    """True when `value` is a version."""
    try:
        parse(value)
    except VersionError:
        return False
    return True


def compare(left: object, right: object) -> int:
    """Return -1, 0 or 1 as `left` comes before, with or after `right`; raise VersionError for what is no version."""
    one, other = parse(left).precedence, parse(right).precedence
    return (one > other) - (one < other)


def _identifier_key(identifier: str) -> tuple[int, int, str]:
    """Numeric identifiers sort by value and before the others, which sort as ASCII text."""
    return (0, int(identifier), "") if identifier.isdigit() else (1, 0, identifier)


def _what_is_wrong(text: str) -> str:
    if any(character.isspace() for character in text):
        return f"it contains white space; write {_EXAMPLES}"
    if text[0] in "vV" and is_valid(text[1:]):
        return f"leave out the leading {text[0]!r}"
    if not text[0].isdigit():
        return f"it names something that moves instead of one release; write {_EXAMPLES}"
    return f"write one to four numbers with dots between, then at most a -pre-release and a +build, {_EXAMPLES}"
