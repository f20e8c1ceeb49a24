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

POSTGRESQL_PORT, POSTGRESQL_USER = 5432, "postgres"


def _postgresql_engine(options: Mapping[str, Any]) -> Engine:
    given = {"login_port": options["login_port"] or POSTGRESQL_PORT, "login_user": options["login_user"] or POSTGRESQL_USER}
    return PostgresqlEngine(_postgresql.Login.of({**options, **given}))


# By name, what makes an engine of a module's options.
ENGINES: dict[str, Callable[[Mapping[str, Any]], Engine]] = {
    "postgresql": _postgresql_engine,
    "mariadb": lambda options: MariadbEngine(_mariadb.Login.of(options)),
    "sqlite": lambda _options: SqliteEngine(),
}
