# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a MariaDB catalog says of the objects with some names, in one short text: it is another one when a change of the schema has been made to one of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..session import Connection, identifier

# Each row that comes along changes it.
COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
TABLES = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND LOWER(TABLE_NAME) IN ({0}) ORDER BY 1"
VIEWS = """
SELECT TABLE_NAME, VIEW_DEFINITION, CHECK_OPTION, DEFINER, SECURITY_TYPE
  FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() AND LOWER(TABLE_NAME) IN ({0}) ORDER BY 1
"""
TRIGGERS = """
SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, DEFINER, CREATED
  FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND LOWER(TRIGGER_NAME) IN ({0}) ORDER BY 1
"""
ROUTINES = """
SELECT ROUTINE_TYPE, ROUTINE_NAME, DTD_IDENTIFIER, ROUTINE_DEFINITION, DEFINER, CREATED, LAST_ALTERED
  FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND LOWER(ROUTINE_NAME) IN ({0}) ORDER BY 1, 2
"""
EVENTS = """
SELECT EVENT_NAME, EVENT_DEFINITION, STATUS, INTERVAL_VALUE, INTERVAL_FIELD, EXECUTE_AT, STARTS, ENDS, DEFINER, CREATED, LAST_ALTERED
  FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() AND LOWER(EVENT_NAME) IN ({0}) ORDER BY 1
"""
SHOWN_AS = {"BASE TABLE": "TABLE", "SYSTEM VERSIONED": "TABLE", "SEQUENCE": "SEQUENCE"}


def fingerprint(database: Connection, names: Sequence[str]) -> str:
    """Of all tables, views, sequences, triggers, routines and events of the session's database with these names, in small letters."""
    found = hashlib.sha256()
    for row in _definitions(database, names):
        found.update(repr(row).encode())
    return found.hexdigest()


def _definitions(database: Connection, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    places = ", ".join(["%s"] * len(names))
    for name, kind in database.rows(TABLES.format(places), names):
        if kind in SHOWN_AS:
            shown = database.rows(f"SHOW CREATE {SHOWN_AS[kind]} {identifier(name)}")[0][1]
            yield (name, kind, COUNTER.sub("", shown))
    for statement in (VIEWS, TRIGGERS, ROUTINES, EVENTS):
        yield from database.rows(statement.format(places), names)
