# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the ledger of migrations in a PostgreSQL database, read. What writes them is in `ledger`."""

from __future__ import annotations

from ..._database.migration.ledger_row import Row
from ..session import Connection

TABLE = "alwayson.migration"
# Columns that an old ledger lacks are NULL in this.
READ = """
SELECT release, phase, step, status, checksum, extract(epoch FROM coalesce(applied, begun))::float8, to_jsonb(m) -> 'progress', to_jsonb(m) ->> 'error',
       coalesce(to_jsonb(m) ->> 'kind', 'transaction')
  FROM alwayson.migration AS m ORDER BY coalesce(applied, begun), step
"""


def read(database: Connection) -> list[Row]:
    """The ledger of the session's database in the order of time; empty when there is none."""
    if not exists(database):
        return []
    return [Row(*row) for row in database.rows(READ)]


def exists(database: Connection) -> bool:
    """Whether the session's database has a ledger."""
    return database.value(f"SELECT to_regclass('{TABLE}') IS NOT NULL")
