# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements that build, rebuild or drop an index of PostgreSQL concurrently. Pure."""

from __future__ import annotations


from ..._database.migration.index_statement import IndexStatement, Reader
from ..._database.migration.sql import statements, tokens
from .dialect import POSTGRESQL

FORMS = "CREATE [UNIQUE] INDEX CONCURRENTLY name ON table ..., DROP INDEX CONCURRENTLY name, REINDEX {INDEX | TABLE} CONCURRENTLY name"


def index_objection(script: str) -> str | None:
    """Why a script is no single index statement; None when it is one."""
    if len(statements(script, POSTGRESQL)) != 1:
        return "a step with the directive concurrently is one statement: make a step of each"
    return None if index_statement(script) else f"a step with the directive concurrently has one of the forms: {FORMS}"


def index_statement(script: str) -> IndexStatement | None:
    """The index statement that a script is, None when it is none."""
    reader = Reader([token for token in tokens(script, POSTGRESQL) if token.text != ";"])
    if reader.take("CREATE"):
        unique = "UNIQUE" if reader.take("UNIQUE") else ""
        return _create(reader, script, unique) if reader.take("INDEX", "CONCURRENTLY") else None
    if reader.take("DROP", "INDEX", "CONCURRENTLY"):
        is_tolerant, path = reader.take("IF", "EXISTS"), reader.path()
        reader.take("RESTRICT")
        return IndexStatement("DROP", path, (), is_tolerant) if path and reader.is_at_end else None
    if reader.take("REINDEX"):
        return _reindex(reader)
    return None


def _create(reader: Reader, script: str, unique: str) -> IndexStatement | None:
    is_tolerant = reader.take("IF", "NOT", "EXISTS")
    # Without a name, the next word is ON: after a crash, the index could not be identified.
    index = () if reader.take("ON") else reader.path()
    if len(index) != 1 or not reader.take("ON"):
        return None
    reader.take("ONLY")
    table = reader.path()
    return IndexStatement("CREATE", index, table, is_tolerant, (unique, script[reader.end:].rstrip().rstrip(";"))) if table else None


def _reindex(reader: Reader) -> IndexStatement | None:
    if reader.take("("):
        while not reader.is_at_end and not reader.take(")"):
            reader.next()
    for kind in ("INDEX", "TABLE"):
        if reader.take(kind, "CONCURRENTLY"):
            path = reader.path()
            if path and reader.is_at_end:
                return IndexStatement("REINDEX", *((path, ()) if kind == "INDEX" else ((), path)))
    return None
