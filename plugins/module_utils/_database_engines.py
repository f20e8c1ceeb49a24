# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of the database engines.

A new engine is one room, whose `engine.py` implements `_database.interface.Engine`, and one entry in `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ._database.interface import LOGIN_ARGUMENTS, LOGIN_EXCLUSIVE, Engine

__all__ = ["ARGUMENTS", "ENGINES", "LOGIN_EXCLUSIVE", "Engine", "has_server", "of"]


def _postgresql() -> type[Engine]:
    from ._postgresql.engine import Postgresql

    return Postgresql


def _mariadb() -> type[Engine]:
    from ._mariadb.engine import Mariadb

    return Mariadb


def _sqlite() -> type[Engine]:
    from ._sqlite.engine import Sqlite

    return Sqlite


# Each engine by its name, the default first. The imports are in functions so that a module compiles the engine that it needs and no other;
# they are spelt out because Ansible copies the files to a host that it finds in import statements.
ENGINES: dict[str, Callable[[], type[Engine]]] = {
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "sqlite": _sqlite,
}
# The options of the doc fragment alwayson.upgrade.database.
ARGUMENTS = {**LOGIN_ARGUMENTS, "engine": {"type": "str", "choices": list(ENGINES), "default": next(iter(ENGINES))}}


def has_server(name: Any) -> bool:
    """Whether an engine has a server, to which one logs in over a network. One that is not known counts as one that has."""
    return name not in ENGINES or ENGINES[name]().has_server


def of(options: Mapping[str, Any]) -> Engine:
    """The engine that a module's options name, with their login."""
    return ENGINES[options["engine"]]()(options)
