# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every database engine looks like to the rest of the collection: one way to log in, to describe a server, to back it up, and to migrate it.

Each engine is a package that implements `Engine`. The code that backs up, proves and migrates uses only this interface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .backup.run import Method
    from .migration.interface import Engine as MigrationEngine

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# What the login role may be needed for, as `Server.missing_privileges` takes it.
PURPOSES = LOGICAL, PHYSICAL, MIGRATIONS, STANDBYS, SWITCHOVER = "logical", "physical", "migrations", "standbys", "switchover"

# How a module logs in. What the port and the user are without a value is the engine's.
LOGIN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "login_host": {"type": "str"},
    "login_port": {"type": "int"},
    "login_unix_socket": {"type": "path"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str", "default": "postgres"},
    "ssl_mode": {"type": "str", "default": "prefer", "choices": list(SSL_MODES)},
    "ca_cert": {"type": "path"},
}
LOGIN_EXCLUSIVE = [("login_host", "login_unix_socket")]


class Server(Protocol):
    """A server, or where there is none the databases themselves, with a session that is open."""

    def identity(self) -> dict[str, Any]:
        """version, version_number, system_identifier (which no other server has), primary (whether it takes writes)."""

    def is_read_only(self) -> bool:
        """Whether it refuses the writes of ordinary sessions, see database_info."""

    def replicas(self) -> list[dict[str, Any]]:
        """Who follows it, see database_info."""

    def user_databases(self) -> list[str]:
        """The databases that are not the server's own, nor scratch databases."""

    def choose_databases(self, names: Sequence[str]) -> list[str]:
        """`names` when every one is there; all of `user_databases` when there are none. DatabaseError names those that are missing."""

    def describe(self, database: str, tenants_query: str | None = None) -> dict[str, Any]:
        """size_bytes, tables, tenants (None without the query) and migrations of one database, see database_info. An error names the database."""

    def missing_privileges(self, purposes: Sequence[str], databases: Sequence[str]) -> list[Any]:
        """What the login role lacks for these purposes, as named tuples of purpose, privilege, database and grant."""

    def drop_left_behind(self) -> tuple[list[str], list[str]]:
        """Drop the scratch databases of killed runs: the names of what was dropped, and a sentence for each that stays."""

    def method(self, options: Mapping[str, Any]) -> Method:
        """How it is backed up, by a module's options. An error of this server or this host says what is missing for that."""


class Engine(Protocol):
    """A database engine, with a login."""

    # Whether there is a server to log in to.
    has_server: bool

    def __init__(self, options: Mapping[str, Any]) -> None:
        """:param options: a module's, those of `LOGIN_ARGUMENTS` among them. A module that only looks adds ``is_brief``."""

    def opened(self) -> AbstractContextManager[Server]:
        """Its session is open while the block runs."""

    def migrations(self) -> MigrationEngine[Any]:
        """What migrates its databases. Imported here, so that a backup does not compile it."""
