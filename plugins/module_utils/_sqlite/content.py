# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a SQLite database holds, as `_database.content` compares it. Values are taken with their types: 1, 1.0 and '1' are three values."""

from __future__ import annotations

import hashlib
from typing import Any

from .._database.content import Content
from .session import Connection, SqliteError, identifier

OWN = "sqlite_"
SCHEMA = "SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY 1, 2"
PRAGMAS = ("application_id", "auto_vacuum", "encoding", "page_size", "user_version")
# Computed when they are read, maybe by a function of the application's own.
VIRTUAL_COLUMN = 2
ROW_NUMBERS = ("rowid", "_rowid_", "oid")
# The file's own versions for reading and writing: 2 is the journal mode WAL.
VERSIONS = slice(18, 20)
DIGEST_BYTES = 8


def read(session: Connection) -> Content:
    """The content of a database, in the session's transaction."""
    # Text that is not Unicode is kept, too, and differs from all other text.
    session.raw.text_factory = lambda value: value.decode("utf-8", "surrogateescape")
    schema = session.rows(SCHEMA)
    structure = [f"{kind} {name}: {sql}" for kind, name, sql in schema if not name.startswith(OWN)]
    structure += [f"{pragma} {session.value(f'PRAGMA {pragma}')}" for pragma in PRAGMAS]
    with open(session.database, "rb") as file:
        structure.append(f"journal {file.read(VERSIONS.stop)[VERSIONS].hex()}")
    tables = {name: _table(session, name) for kind, name, sql in schema if kind == "table" and not name.startswith(OWN) and not _is_virtual(sql)}
    has_sequences = any(name == "sqlite_sequence" for _kind, name, _sql in schema)
    sequences = dict(session.rows("SELECT name, seq FROM sqlite_sequence")) if has_sequences else {}
    return Content(tables=tables, structure=frozenset(structure), sequences=sequences)


def _is_virtual(sql: str) -> bool:
    """What a virtual table holds is in ordinary tables beside it; to read itself could need an extension."""
    return sql.upper().startswith("CREATE VIRTUAL")


def _table(session: Connection, name: str) -> dict[str, Any]:
    """Rows with their numbers, and a sum that does not depend on their order."""
    columns = [(column, hidden) for _id, column, _type, _not_null, _default, _key, hidden in session.rows(f"PRAGMA table_xinfo({identifier(name)})")]
    wanted = [identifier(column) for column, hidden in columns if hidden != VIRTUAL_COLUMN]
    names = {column.lower() for column, _hidden in columns}
    numbers = [number for number in ROW_NUMBERS if number not in names and _has_numbers(session, name, number)][:1]
    rows = total = 0
    for row in session.each(f"SELECT {', '.join([*numbers, *wanted])} FROM {identifier(name)}"):
        digest = hashlib.sha256(repr(row).encode("utf-8", "surrogateescape")).digest()
        rows, total = rows + 1, total + int.from_bytes(digest[:DIGEST_BYTES], "big")
    return {"rows": rows, "sum": str(total)}


def _has_numbers(session: Connection, table: str, name: str) -> bool:
    """Whether the table's rows have numbers, called this: those of a table WITHOUT ROWID have none."""
    try:
        session.rows(f"SELECT {name} FROM {identifier(table)} LIMIT 0")
    except SqliteError:
        return False
    return True
