# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of database that can be migrated, by name."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ansible_collections.alwayson.upgrade.plugins.module_utils import _mariadb, _postgresql
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_engine import Engine
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_engine_mariadb import MariadbEngine
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_engine_postgresql import PostgresqlEngine
from ansible_collections.alwayson.upgrade.plugins.module_utils._migration_engine_sqlite import SqliteEngine

ENGINES: dict[str, Callable[[Mapping[str, Any]], Engine]] = {
    "postgresql": lambda options: PostgresqlEngine(_postgresql.Login.of(options)),
    "mariadb": lambda options: MariadbEngine(_mariadb.Login.of(options)),
    "sqlite": lambda _options: SqliteEngine(),
}


def of(options: Mapping[str, Any]) -> Engine:
    """What migrations need of the databases that a module's options name; the options are those of `_database_engines`."""
    return ENGINES[options["engine"]](options)
