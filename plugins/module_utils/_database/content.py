# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database holds: its structure, the rows of every table and a sum over their content. Two databases are equal when these are. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

SHOWN_DIFFERENCES = 5
# How much is read: the structure alone, the rows of each table too, and a sum of their content.
DEPTHS = STRUCTURES, ROWS, CONTENT = "structure", "rows", "content"


@dataclass(frozen=True)
class Content:
    """`tables`: qualified name to `{rows, sum}`; `structure`: a sentence per object; `sequences`: qualified name to where it stands."""

    tables: Mapping[str, Mapping[str, Any]]
    structure: frozenset[str]
    sequences: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """The rows of all tables together."""
        return sum(facts["rows"] for facts in self.tables.values())

    def as_json(self) -> dict[str, Any]:
        """The content as JSON can hold it, and `of_json` reads it again."""
        return {"tables": dict(self.tables), "structure": sorted(self.structure), "sequences": dict(self.sequences)}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Content:
        """What `as_json` wrote; KeyError or TypeError when it did not write this."""
        return cls(tables=content["tables"], structure=frozenset(content["structure"]), sequences=content["sequences"])


def reduced(content: Content, depth: str) -> Content:
    """The content without what is deeper: without the sums, or with the structure alone."""
    if depth == CONTENT:
        return content
    return replace(content, tables={} if depth == STRUCTURES else {name: {"rows": facts["rows"], "sum": None} for name, facts in content.tables.items()})


def steady(content: Content, sequences_after: Mapping[str, Any]) -> Content:
    """The content with those sequences only that still stand where they stood: the others moved while the backup was taken, and cannot be compared."""
    return replace(content, sequences={name: value for name, value in content.sequences.items() if value == sequences_after.get(name, object())})


def differences(original: Content, copy: Content) -> list[str]:
    """What is not the same in the copy: one sentence each, none when all is equal. Only the sequences that `original` names are compared."""
    found = [f"is missing: {thing}" for thing in sorted(original.structure - copy.structure)]
    found += [f"is not in the original: {thing}" for thing in sorted(copy.structure - original.structure)]
    for name in sorted(original.tables.keys() & copy.tables.keys()):
        expected, got = original.tables[name], copy.tables[name]
        if expected["rows"] != got["rows"]:
            found.append(f"{name} has {got['rows']} rows instead of {expected['rows']}")
        elif expected["sum"] != got["sum"]:
            found.append(f"{name} has as many rows ({got['rows']}), but their content differs")
    for name in sorted(original.sequences.keys() & copy.sequences.keys()):
        if copy.sequences[name] != original.sequences[name]:
            found.append(f"the sequence {name} stands at {copy.sequences[name]} instead of {original.sequences[name]}")
    return found


def describe(found: list[str]) -> str:
    """The first differences as one line, and how many more there are."""
    more = len(found) - SHOWN_DIFFERENCES
    return "; ".join(found[:SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
