# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of ``postgresql.auto.conf``, one setting a line, which is read after every other file of a server, and of values in it. Pure: text in, text out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

FILE = "postgresql.auto.conf"
ENTRY = re.compile(r"\s*(?P<name>[\w.]+)")
# The settings that end a recovery before the log does.
TARGETS = ("recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid")


def names(text: str) -> set[str]:
    """The settings that it has."""
    return {name for name in map(_name, text.splitlines()) if name}


def with_settings(text: str, wanted: Mapping[str, str], removed: Collection[str] = ()) -> str:
    """The text with these settings in place of what it says of them, and nothing of those in `removed`."""
    gone = {*wanted, *removed}
    lines = [line for line in text.splitlines() if _name(line) not in gone]
    lines += [f"{name} = {quoted(value)}" for name, value in wanted.items()]
    return "".join(f"{line}\n" for line in lines)


def libraries(value: str) -> list[str]:
    """The names in the value of a setting that lists libraries, such as ``shared_preload_libraries``."""
    return [name for word in value.split(",") if (name := word.strip(" \t\n\"'"))]


def quoted(value: str) -> str:
    """A value as a configuration file has it."""
    return "'{}'".format(value.replace("\\", "\\\\").replace("'", "''"))


def _name(line: str) -> str:
    entry = ENTRY.match(line)
    return entry["name"].lower() if entry else ""
