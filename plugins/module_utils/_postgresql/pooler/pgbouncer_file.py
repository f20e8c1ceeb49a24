# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section ``[databases]`` of PgBouncer's configuration file, in which one server is replaced by another.

Everything else, comments too, stays as it is. Source: PgBouncer's documentation of its configuration file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

SECTION = "databases"
DEFAULT_PORT = "5432"
# The entry for every database without one.
FALLBACK = "*"
_HEADING = re.compile(r"\s*\[(?P<name>[^\]]+)\]")
_ENTRY = re.compile(r"\s*(?P<name>\"(?:[^\"]|\"\")*\"|[^\s=;#]+)\s*=\s*(?P<settings>.*)")
_SETTING = re.compile(r"(?P<key>\w+)\s*=\s*(?P<value>'(?:[^']|'')*'|[^\s']+)")


class Server(NamedTuple):
    """Where a server is, as PgBouncer's file says it."""

    host: str
    port: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def servers(text: str) -> dict[str, Server]:
    """Database to its server, for the entries that name a host."""
    return {_name(entry): _server(entry["settings"]) for _start, entry in _entries(text) if _server(entry["settings"]).host}


def with_server(text: str, old: Server, new: Server, names: Collection[str] | None = None) -> str:
    """The text with `new` wherever `old` was the server of a database, or of one of these databases."""
    edits = []
    for start, entry in _entries(text):
        if _server(entry["settings"]) != old or (names is not None and _name(entry) not in names):
            continue
        at = start + entry.start("settings")
        edits += [(at + setting.start("value"), at + setting.end("value"), new._asdict()[setting["key"]])
                  for setting in _SETTING.finditer(entry["settings"]) if setting["key"] in Server._fields]
        if "port" not in _keys(entry["settings"]):
            edits.append((at, at, f"port={new.port} "))
    for begin, end, value in sorted(edits, reverse=True):
        text = text[:begin] + value + text[end:]
    return text


def _entries(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Each entry of the section, with the place at which its line begins."""
    # A file that is included has entries and no heading.
    is_inside, start = True, 0
    for line in text.splitlines(keepends=True):
        heading, entry = _HEADING.match(line), _ENTRY.match(line)
        if heading:
            is_inside = heading["name"].strip() == SECTION
        elif is_inside and entry and not line.lstrip().startswith((";", "#", "%")):
            yield start, entry
        start += len(line)


def _name(entry: re.Match[str]) -> str:
    name = entry["name"]
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _server(settings: str) -> Server:
    found = {setting["key"]: setting["value"].strip("'").replace("''", "'") for setting in _SETTING.finditer(settings)}
    return Server(found.get("host", ""), found.get("port", DEFAULT_PORT))


def _keys(settings: str) -> set[str]:
    return {setting["key"] for setting in _SETTING.finditer(settings)}
