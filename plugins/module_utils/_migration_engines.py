# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of database that can be migrated, by name."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ._database.migration.interface import Engine
from ._mariadb import session as mariadb_session
from ._mariadb.migration.engine import MariadbEngine
from ._postgresql import session as postgresql_session
from ._postgresql.migration.engine import PostgresqlEngine
from ._sqlite.migration.engine import SqliteEngine

ENGINES: dict[str, Callable[[Mapping[str, Any]], Engine]] = {
    "postgresql": lambda options: PostgresqlEngine(postgresql_session.Login.of(options)),
    "mariadb": lambda options: MariadbEngine(mariadb_session.Login.of(options)),
    "sqlite": lambda _options: SqliteEngine(),
}


def of(options: Mapping[str, Any]) -> Engine:
    """What migrations need of the databases that a module's options name; the options are those of `_database_engines`."""
    return ENGINES[options["engine"]](options)
