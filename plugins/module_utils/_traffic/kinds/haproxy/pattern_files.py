# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's files of patterns (those of maps and of ACLs), read as HAProxy reads them, and what its process answers of them. Pure.

A line that begins with ``#`` is a comment. White space is the blank and the tab, and nothing else. A line ends at a line feed or at a carriage return: what
stands behind the latter is not read. A map's key ends at white space, its value at the end of the line. Source: HAProxy's configuration manual, ``map`` and
"ACL basics", and ``pat_ref_read_from_file_smp`` and ``pat_ref_read_from_file`` of its pattern.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_BLANK = " \t"
_ENTRY = re.compile(r"[ \t]*(?P<key>[^ \t\r\n]+)[ \t]*(?P<value>[^\r\n]*)")
# The description repeats the file, whose name may have a parenthesis in it.
_LISTED = re.compile(r"^-?\d+ \((?:(?P<path>.+)\) pattern loaded from file '(?P=path)' |(?P<other>[^)]+)\) )", re.MULTILINE)


class Entry(NamedTuple):
    """A line of a map's file that has a key; `start` and `end` are where its value stands in the line."""

    key: str
    value: str
    start: int
    end: int


def entry_of(line: str) -> Entry | None:
    """The entry in a line of a map's file; None for a comment and for an empty line."""
    found = None if line.startswith("#") else _ENTRY.match(line)
    if found is None:
        return None
    value = found["value"].rstrip(_BLANK)
    return Entry(found["key"], value, found.start("value"), found.start("value") + len(value))


def lines_of(text: str) -> list[str]:
    """The lines of a file with their ends: only a line feed ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def entries_of_map(text: str) -> dict[str, str]:
    """Key to value of a map's file. Of a key that is there twice, the first counts."""
    return _firsts((entry.key, entry.value) for line in lines_of(text) if (entry := entry_of(line)))


def entries_of_acl(text: str) -> dict[str, str]:
    """The patterns of an ACL's file, each with an empty value."""
    lines = (re.split(r"[\r\n]", line, maxsplit=1)[0].lstrip(_BLANK) for line in lines_of(text) if not line.startswith("#"))
    return dict.fromkeys(filter(None, lines), "")


def parse_files(answer: str) -> list[str]:
    """The files in the answer to ``show map`` or ``show acl``, as the configuration names them."""
    return [found["path"] or found["other"] for found in _LISTED.finditer(answer)]


def parse_map(answer: str) -> dict[str, str]:
    """Key to value in the answer to ``show map FILE``, whose lines are an address in memory, a key and a value. Of a key that is there twice, the first."""
    parts = (line.split(" ", 2) for line in answer.split("\n"))
    return _firsts((words[1], words[2] if len(words) == 3 else "") for words in parts if len(words) > 1)


def parse_acl(answer: str) -> dict[str, str]:
    """The patterns in the answer to ``show acl FILE``, whose lines are an address in memory and a pattern, each with an empty value."""
    parts = (line.split(" ", 1) for line in answer.split("\n"))
    return {words[1]: "" for words in parts if len(words) > 1}


def differences(running: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    """A part of a sentence for each entry that the process has otherwise than the file that a reload reads."""
    changed = [f"{key} is {_shown(running, key)} and would be {_shown(kept, key)}" for key in running if running[key] != kept.get(key)]
    return [*changed, *(f"{key} is absent and would be {_shown(kept, key)}" for key in kept if key not in running)]


def _shown(entries: Mapping[str, str], key: str) -> str:
    return "absent" if key not in entries else entries[key] or "present"


def _firsts(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found
