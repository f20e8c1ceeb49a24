# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of databases behind one interface: what a backup and a description of a server need of each. A new kind is one more entry."""

from __future__ import annotations

from typing import Any, Callable, ContextManager, Mapping, Protocol, Sequence

from ._database.backup.run import Method
from ._mariadb.engine import Mariadb
from ._postgresql.engine import Postgresql
from ._postgresql.session import LOGIN_ARGUMENTS, LOGIN_EXCLUSIVE
from ._sqlite.engine import Sqlite

__all__ = ["ARGUMENTS", "LOGIN_EXCLUSIVE", "Engine", "Server", "of"]


class Server(Protocol):
    """A server, or where there is none the databases themselves, with a session that is open."""

    def identity(self) -> dict:
        """version, version_number, system_identifier (which no other server has), primary (whether it takes writes)."""

    def is_read_only(self) -> bool:
        """Whether it refuses the writes of ordinary sessions, see database_info."""

    def replicas(self) -> list[dict]:
        """Who follows it, see database_info."""

    def user_databases(self) -> list[str]:
        """The databases that are not the server's own, nor scratch databases."""

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        """`names` when every one is there; all of `user_databases` when there are none. DatabaseError names those that are missing."""

    def describe(self, database: str) -> dict:
        """size_bytes and tables of one database."""

    def missing_privileges(self, purposes: Sequence[str], databases: Sequence[str]) -> list[Any]:
        """What the login role lacks for these purposes, as named tuples of purpose, privilege, database and grant."""

    def drop_left_behind(self) -> tuple[list[str], list[str]]:
        """Drop the scratch databases of killed runs: the names of what was dropped, and a sentence for each that stays."""

    def method(self, options: Mapping[str, Any]) -> Method:
        """How it is backed up, by a module's options. An error of this server or this host says what is missing for that."""


class Engine(Protocol):
    """A kind of database, with a login."""

    def opened(self) -> ContextManager[Server]:
        """Its session is open while the block runs."""


ENGINES: dict[str, Callable[[Mapping[str, Any]], Engine]] = {"postgresql": Postgresql, "mariadb": Mariadb, "sqlite": Sqlite}
# The options of the doc fragment alwayson.upgrade.database. What the port and the user are without a value depends on the engine.
ARGUMENTS = {
    **LOGIN_ARGUMENTS,
    "login_port": {"type": "int"},
    "login_user": {"type": "str"},
    "engine": {"type": "str", "choices": list(ENGINES), "default": "postgresql"},
}


def of(options: Mapping[str, Any]) -> Engine:
    """The kind of database that a module's options name, with their login."""
    return ENGINES[options["engine"]](options)
