# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the ledger of migrations in a MariaDB database, read. What writes them is in `ledger`."""

from __future__ import annotations

import json

from ..._database.migration.ledger_row import Row
from ..session import Connection

TABLE = "alwayson_migration"
EXISTS = "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s"
# Times are in UTC, whatever the session's time zone is.
READ = f"""
SELECT `release`, phase, step, status, checksum, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', coalesce(applied, begun)) / 1e6, progress, error, kind
  FROM {TABLE} ORDER BY coalesce(applied, begun), step
"""


def read(database: Connection) -> list[Row]:
    """The ledger of the session's database in the order of time; empty when there is none."""
    if not exists(database):
        return []
    return [Row(release, phase, step, status, checksum, float(applied), json.loads(progress) if progress else None, error, kind)
            for release, phase, step, status, checksum, applied, progress, error, kind in database.rows(READ)]


def exists(database: Connection) -> bool:
    """Whether the session's database has a ledger."""
    return bool(database.value(EXISTS, (TABLE,)))
