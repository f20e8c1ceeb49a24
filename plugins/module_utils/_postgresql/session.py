# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions with PostgreSQL through the driver that is on the host: psycopg 3, else psycopg2. One behaviour, one family of errors.

Source: PostgreSQL's appendix "Error Codes".
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, Callable

from .._database import interface
from .._database.errors import DatabaseError
from .._database.messages import one_line, without_values
from .._host import waiting
from . import environment as surroundings

OLDEST_SERVER = 130000
# Classes of SQLSTATE: data exceptions, broken constraints, a row that a view's check refuses.
OF_DATA = ("22", "23", "44")
# Those whose detail speaks of the server's own things: sessions, dependencies, privileges, resources, states.
OF_SERVERS = ("08", "0A", "25", "28", "2B", "3D", "40", "42", "53", "54", "55", "57", "58")
PORT, USER = 5432, "postgres"
CONNECT_SECONDS = 10
APPLICATION = "alwayson.upgrade"
CHARACTER_NOT_IN_REPERTOIRE = "22021"
PID = "SELECT pg_backend_pid()"
# A pooler gives a session the server's process that was free last, or the one that has been free for longest: two sessions meet within these rounds.
ROUNDS = 20
# How long the second session waits for a process of the server: a pool may be exhausted.
OTHER_SECONDS = 5.0
POOLER_WAY_OUT = "Give the address and the port of the PostgreSQL server itself as login_host and login_port"

# The options of the doc fragment alwayson.upgrade.postgresql.
LOGIN_ARGUMENTS = {**interface.LOGIN_ARGUMENTS, "login_port": {"type": "int", "default": PORT}, "login_user": {"type": "str", "default": USER}}


class PostgresqlError(DatabaseError):
    """What the server, or the way to it, answered. `sqlstate` is None when the session was not reached or was lost."""

    def __init__(self, message: str, sqlstate: str | None = None, position: int | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.position = position


@dataclass(frozen=True)
class Login:
    """How to reach a server. `host` is a name, an address, the folder of a socket, or None for the driver's own default.

    `is_brief`: the sessions are for a few short queries, so that the driver which loads fastest is the best one.
    """

    host: str | None = None
    port: int = PORT
    user: str = USER
    password: str | None = field(default=None, repr=False)
    maintenance_database: str = "postgres"
    ssl_mode: str = "prefer"
    ca_cert: str | None = None
    is_brief: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Login:
        """The login that a module's options describe. A module that only looks adds ``is_brief``."""
        return cls(
            host=options["login_unix_socket"] or options["login_host"] or None,
            port=options["login_port"] or PORT,
            user=options["login_user"] or USER,
            password=options["login_password"],
            maintenance_database=options["login_db"],
            ssl_mode=options["ssl_mode"],
            ca_cert=options["ca_cert"],
            is_brief=options.get("is_brief", False),
        )

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this host."""
        return not self.host or self.host.startswith(("/", "@", "127.")) or self.host in ("localhost", "::1")

    def keywords(self, database: str) -> dict[str, str]:
        """libpq's keywords, without the password."""
        given = {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "dbname": database,
            "sslmode": self.ssl_mode,
            "sslrootcert": self.ca_cert,
            "connect_timeout": str(CONNECT_SECONDS),
            "application_name": APPLICATION,
        }
        return {key: value for key, value in given.items() if value}

    def conninfo(self, database: str) -> str:
        """The keywords as one string for a program's command line. Every account on the host can read that, so the password is not in it."""
        return " ".join(f"{key}={_conninfo_value(value)}" for key, value in self.keywords(database).items())

    def environment(self, settings: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """The environment for PostgreSQL's programs, the password in it. :param settings: settings of their session, by name."""
        return {**surroundings.of_programs(os.environ, settings), **({"PGPASSWORD": self.password} if self.password else {})}


class Connection:
    """A session in which every statement commits by itself, unless BEGIN opens a transaction."""

    def __init__(self, driver: ModuleType, raw: Any, database: str) -> None:
        self._driver = driver
        self._raw = raw
        self.database = database
        self.server_version: int = raw.info.server_version

    @property
    def announced_pid(self) -> int:
        """The process that the other end said it is when the session was opened. A pooler makes up a number."""
        return self._raw.info.backend_pid

    def rows(self, statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement; `%s` stands for a parameter when there are some."""
        cursor = self._execute(statement, parameters)
        try:
            return [tuple(row) for row in cursor.fetchall()]
        except (self._driver.Error, UnicodeError) as error:
            raise _translated(error, self.database) from error

    def records(self, statement: str) -> list[dict[str, str]]:
        """The rows of one statement by the names of their columns, everything as text, and nothing as an empty one."""
        cursor = self._execute(statement, None)
        names = [column[0] for column in cursor.description]
        return [{name: "" if value is None else str(value) for name, value in zip(names, row)} for row in cursor.fetchall()]

    def value(self, statement: str, parameters: Sequence[Any] | None = None) -> Any:
        """The first column of the first row, None when there is no row."""
        found = self.rows(statement, parameters)
        return found[0][0] if found else None

    def run(self, statement: str, parameters: Sequence[Any] | None = None) -> None:
        """Run one statement, or without parameters a whole script."""
        self._execute(statement, parameters)

    def count(self, statement: str) -> int:
        """How many rows one statement changed."""
        return self._execute(statement, None).rowcount

    def close(self) -> None:
        """End the session. The server rolls back what is open."""
        self._raw.close()

    def limited(self, seconds: float) -> contextlib.AbstractContextManager[None]:
        """Cut the way to the server when the block lasts longer: what waits for an answer gets an error then."""
        return waiting.limited(seconds, self.shut_down)

    def shut_down(self) -> None:
        """Cut the way to the server, also while another thread waits for an answer: it gets an error at once."""
        with contextlib.suppress(OSError, self._driver.Error), socket.socket(fileno=os.dup(self._raw.fileno())) as way:
            way.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _execute(self, statement: str, parameters: Sequence[Any] | None) -> Any:
        try:
            cursor = self._raw.cursor()
            cursor.execute(statement, parameters)
        except (self._driver.Error, UnicodeError) as error:
            raise _translated(error, self.database) from error
        return cursor


def connect(login: Login, database: str | None = None) -> Connection:
    """A session with `database` (the maintenance database when None); PostgresqlError says why there is none."""
    connection = _open(login, login.maintenance_database if database is None else database)
    if connection.server_version < OLDEST_SERVER:
        connection.close()
        raise PostgresqlError(f"{server_name(login)} runs PostgreSQL {connection.server_version // 10000}; 13 is the oldest that is supported")
    return connection


def connect_patiently(login: Login, database: str | None = None) -> Connection:
    """The same, and neither the time nor the idleness of the session ends it, whatever the server, the database or the role has set.

    :raises PostgresqlError: also when a pooler of transactions is on the way; nothing is set then.
    """
    connection = connect(login, database)
    try:
        _require_own(connection, login)
        for name, value in surroundings.patience(connection.server_version).items():
            connection.run(f"SET {name} = {literal(value)}")
    except PostgresqlError:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def own_session(login: Login, name: str | None = None) -> Iterator[Connection]:
    """A session of the server for the block, whose locks and settings are its own: not a pooler's that changes with every transaction.

    :raises PostgresqlError: before anything is changed, when a pooler in transaction or statement mode is on the way.
    """
    with connect(login, name) as database:
        is_pooled = _require_own(database, login)
        try:
            yield database
        finally:
            if is_pooled:
                # The server's session goes to the pooler's next client, whatever the pooler itself does about that.
                with contextlib.suppress(PostgresqlError):
                    database.run("DISCARD ALL")


def _require_own(database: Connection, login: Login) -> bool:
    """Whether the session runs through a pooler; PostgresqlError when the pooler does not give the session its own server process.

    A pooler with a single server process shows the same one for every statement of a session, but then a second session has it, too. Source: PgBouncer's
    documentation of its features.
    """
    if database.value(PID) == database.announced_pid:
        return False
    pooler = f"{server_name(login)} is a pooler in front of database {database.database}"
    own, others = set(), set()
    with connect(login, database.database) as other:
        try:
            with other.limited(OTHER_SECONDS):
                for _round in range(ROUNDS):
                    own.add(database.value(PID))
                    others.add(other.value(PID))
        except PostgresqlError as error:
            raise PostgresqlError(f"{pooler}, and whether it gives each session a server process of its own is unknown: {error}. "
                                  f"{POOLER_WAY_OUT}") from error
    if is_shared(own, others):
        raise PostgresqlError(f"{pooler}, which pools transactions or statements: a lock or a setting of this session would be another session's, and stay "
                              f"there. {POOLER_WAY_OUT}")
    return True


def is_shared(own: set[str], others: set[str]) -> bool:
    """Whether two sessions, each of which had these processes of the server while both were open, are not each a session of the server."""
    return len(own) > 1 or len(others) > 1 or bool(own & others)


def connect_console(login: Login, name: str, application: str = APPLICATION) -> Connection:
    """A session with the console of a pooler, which is no server and knows few statements."""
    return _open(login, name, application)


def _open(login: Login, name: str, application: str = APPLICATION) -> Connection:
    driver = _driver(login.is_brief)
    # Whatever the database's own encoding is, scripts and names are Unicode here.
    special: dict[str, Any] = {"client_encoding": "UTF8", **({"password": login.password} if login.password else {})}
    if _is_psycopg3(driver):
        special.update(autocommit=True, prepare_threshold=None)
    try:
        with surroundings.own_environment():
            raw = driver.connect(**{**login.keywords(name), "application_name": application}, **special)
        if not _is_psycopg3(driver):
            raw.autocommit = True
    except driver.Error as error:
        reason = one_line(str(error))
        raise PostgresqlError(f"no session with database {name} on {server_name(login)} as {login.user}: {reason}", _sqlstate(error)) from error
    return Connection(driver, raw, name)


def conninfo_with(conninfo: str, **keywords: str) -> str:
    """A connection string, written as keywords or as a URI, with these in it as well; PostgresqlError when libpq cannot read it."""
    driver = _driver()
    make = driver.conninfo.make_conninfo if _is_psycopg3(driver) else driver.extensions.make_dsn
    try:
        return make(conninfo, **keywords)
    except driver.Error as error:
        raise PostgresqlError(f"no connection string of libpq: {one_line(str(error))}") from error


def identify_system(conninfo: str) -> tuple[str, int]:
    """What the server that a standby would receive its log from says of itself: system identifier and timeline. PostgresqlError says why there is no answer."""
    driver = _driver()
    try:
        raw = driver.connect(conninfo, replication="true", connect_timeout=str(CONNECT_SECONDS))
        raw.autocommit = True
        cursor = raw.cursor()
        cursor.execute("IDENTIFY_SYSTEM")
        system_identifier, timeline = cursor.fetchone()[:2]
        raw.close()
    except driver.Error as error:
        raise PostgresqlError(one_line(str(error)), _sqlstate(error)) from error
    # A session without a database has no encoding: psycopg 3 returns bytes.
    return system_identifier.decode("ascii") if isinstance(system_identifier, bytes) else system_identifier, int(timeline)


def conninfo_parameters(conninfo: str) -> dict[str, str]:
    """The parameters of a connection string, keywords and values or a URI; none for other text."""
    driver = _driver()
    try:
        return dict(driver.conninfo.conninfo_to_dict(conninfo) if _is_psycopg3(driver) else driver.extensions.parse_dsn(conninfo))
    except driver.Error:
        return {}


def server_name(login: Login) -> str:
    """The server as a message names it."""
    return f"{login.host or 'the local socket'}, port {login.port}"


def identifier(*parts: str) -> str:
    """A name, qualified when there are several parts, quoted for SQL."""
    if any("\0" in part for part in parts):
        raise PostgresqlError("a name with a null character cannot be one of PostgreSQL's")
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)


def literal(text: str) -> str:
    """A text constant, for the statements that take no parameters."""
    if "\0" in text:
        raise PostgresqlError("a text with a null character cannot be sent to PostgreSQL")
    quoted = "'{}'".format(text.replace("'", "''").replace("\\", "\\\\"))
    return f" E{quoted}" if "\\" in text else quoted


def _psycopg3() -> ModuleType:
    import psycopg
    import psycopg.conninfo

    return psycopg


def _psycopg2() -> ModuleType:
    import psycopg2
    import psycopg2.extensions

    return psycopg2


# Only the one that is used is loaded. The first one hears a signal while it waits for an answer; the second one loads in a sixth of the time.
DRIVERS: list[Callable[[], ModuleType]] = [_psycopg3, _psycopg2]


def _driver(is_brief: bool = False) -> ModuleType:
    for load in reversed(DRIVERS) if is_brief else DRIVERS:
        with contextlib.suppress(ImportError):
            return load()
    raise PostgresqlError(
        f"no PostgreSQL driver for {sys.executable} on this host: install python3-psycopg2 (Debian, Red Hat) or python3-psycopg (Debian), "
        "or from PyPI psycopg[binary], for the interpreter that Ansible uses here"
    )


def _is_psycopg3(driver: ModuleType) -> bool:
    return driver.__name__ == "psycopg"


def _translated(error: Exception, database: str) -> PostgresqlError:
    """The driver's error as the one family; the server's own words first."""
    if isinstance(error, UnicodeError):
        return PostgresqlError(f"database {database} holds, or was given, text that is not Unicode: {error}", CHARACTER_NOT_IN_REPERTOIRE)
    diagnosis = getattr(error, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    if primary is None:
        return PostgresqlError(f"the session with database {database} was lost: {one_line(str(error))}")
    sqlstate = _sqlstate(error)
    detail = getattr(diagnosis, "message_detail", None)
    position = getattr(diagnosis, "statement_position", None)
    return PostgresqlError(f"{without_rows(sqlstate, primary, detail)} [SQLSTATE {sqlstate}]", sqlstate, int(position) if position else None)


def without_rows(sqlstate: str | None, primary: str, detail: str | None) -> str:
    """An error's primary message, and its detail where that holds no row."""
    family = (sqlstate or "")[:2]
    if family in OF_DATA:
        return without_values(primary)
    return f"{primary} ({one_line(detail)})" if detail and family in OF_SERVERS else primary


def _sqlstate(error: Exception) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def _conninfo_value(value: str) -> str:
    return "'{}'".format(value.replace("\\", "\\\\").replace("'", "\\'"))
