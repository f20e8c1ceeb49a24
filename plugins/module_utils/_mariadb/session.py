# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions with MariaDB through PyMySQL. One behaviour, one family of errors.

Source: MariaDB's documentation of its error codes.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._database.errors import DatabaseError
from .._database.messages import one_line, without_values

try:
    import pymysql
    import pymysql.constants
except ImportError:
    pymysql = None

OLDEST_SERVER = 100600
PORT, USER = 3306, "root"
CONNECT_SECONDS = 10
APPLICATION = "alwayson.upgrade"
# Numbers of the server's errors.
LOCK_WAIT_TIMEOUT, DEADLOCK = 1205, 1213
# Of data: duplicate entry (also by a foreign key), wrong, truncated, illegal or unreadable value.
OF_DATA = frozenset({1062, 1292, 1300, 1366, 1367, 1411, 1525, 1557, 1690, 1761})
# Server shutdown in progress, connection was killed.
ENDED = (1053, 1927)
VERIFYING = ("verify-ca", "verify-full")
ENCRYPTING = ("require", *VERIFYING)


class MariadbError(DatabaseError):
    """What the server, or the way to it, answered. `number` is the server's, None when the session was not reached or was lost."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True)
class Login:
    """How to reach a server. `host` is a name or an address, `socket` the path of a socket, which is taken if both are None too: the driver's own."""

    host: str | None = None
    port: int = PORT
    socket: str | None = None
    user: str = USER
    password: str | None = field(default=None, repr=False)
    ssl_mode: str = "prefer"
    ca_cert: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Login:
        """The login that a module's options describe."""
        return cls(
            host=options["login_host"] or None,
            port=options["login_port"] or PORT,
            socket=options["login_unix_socket"] or None,
            user=options["login_user"] or USER,
            password=options["login_password"],
            ssl_mode=options["ssl_mode"],
            ca_cert=options["ca_cert"],
        )

    def __str__(self) -> str:
        return self.socket or f"{self.host or 'localhost'}, port {self.port}"

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this host."""
        return not self.host or self.host.startswith("127.") or self.host in ("localhost", "::1")

    @property
    def is_encrypted(self) -> bool:
        """Whether a session without TLS is refused. A socket needs no TLS: it does not leave the host."""
        return not self.socket and self.ssl_mode in ENCRYPTING

    def tls(self) -> ssl.SSLContext:
        """The TLS settings of the session. The driver's own options differ from one version to the next in what they silently leave out."""
        context = ssl.create_default_context(cafile=self.ca_cert)
        context.check_hostname = self.ssl_mode == "verify-full"
        context.verify_mode = ssl.CERT_REQUIRED if self.ssl_mode in VERIFYING else ssl.CERT_NONE
        return context

    def options(self) -> list[str]:
        """The options of MariaDB's programs. The password is not among them: every account on the host can read a command line."""
        way = [f"--socket={self.socket}"] if self.socket else ["--protocol=TCP", f"--host={self.host or '127.0.0.1'}", f"--port={self.port}"]
        authorities = [f"--ssl-ca={self.ca_cert}"] if self.ca_cert else []
        # They cannot verify the certificate without the host name, so verify-ca also verifies the name.
        verify = ["--ssl-verify-server-cert"] if self.ssl_mode in VERIFYING else []
        encrypted = {"disable": ["--skip-ssl"], "allow": [], "prefer": []}.get(self.ssl_mode, ["--ssl"])
        # These programs require it as the first option. Without it, a user's option files could change what is dumped.
        return ["--no-defaults", *way, f"--user={self.user}", *encrypted, *authorities, *verify]

    def environment(self) -> dict[str, str]:
        """The environment of those programs: this process's own, the password in it."""
        return {**os.environ, "LC_ALL": "C", **({"MYSQL_PWD": self.password} if self.password else {})}

    def keywords(self) -> dict[str, Any]:
        """PyMySQL's keywords."""
        way = {"unix_socket": self.socket} if self.socket else {"host": self.host or "127.0.0.1", "port": self.port}
        encrypted: dict[str, Any] = {"ssl_disabled": True} if self.ssl_mode == "disable" else {}
        if self.is_encrypted:
            encrypted = {"ssl": self.tls()}
        return {**way, **encrypted, "user": self.user, "password": self.password or "", "connect_timeout": CONNECT_SECONDS, "program_name": APPLICATION}


# A backup and its proof take their time, and some of their sessions wait for another one meanwhile.
PATIENCE = ("SET SESSION wait_timeout = 2000000, net_read_timeout = 3600, net_write_timeout = 3600, idle_transaction_timeout = 0, "
            "idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0, max_statement_time = 0, lock_wait_timeout = 30")


class Connection:
    """A session in which every statement commits by itself, unless BEGIN opens a transaction. `server_version`: 101119 is 10.11.19."""

    def __init__(self, raw: Any, database: str) -> None:
        self._raw = raw
        self.database = database
        self.id: int = raw.thread_id()
        self.server_version = _version_number(raw.get_server_info())

    def rows(self, statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement; `%s` stands for a parameter when there are some."""
        return [tuple(row) for row in self._execute(statement, parameters).fetchall()]

    def value(self, statement: str, parameters: Sequence[Any] | None = None) -> Any:
        """The first column of the first row, None when there is no row."""
        found = self.rows(statement, parameters)
        return found[0][0] if found else None

    def run(self, statement: str, parameters: Sequence[Any] | None = None) -> None:
        """Run one statement, or without parameters a whole script."""
        cursor = self._execute(statement, parameters)
        with _translated(self):
            # An error of a later statement is raised only when its result is fetched.
            while cursor.nextset():
                pass

    def count(self, statement: str, parameters: Sequence[Any] | None = None) -> int:
        """How many rows one statement changed."""
        return self._execute(statement, parameters).rowcount

    def close(self) -> None:
        """End the session. The server rolls back what is open."""
        if self._raw.open:
            self._raw.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _execute(self, statement: str, parameters: Sequence[Any] | None) -> Any:
        with _translated(self):
            cursor = self._raw.cursor()
            cursor.execute(statement, parameters)
            return cursor


def connect(login: Login, database: str | None = None) -> Connection:
    """A session with `database` (with none of them when None); MariadbError says why there is none."""
    if pymysql is None:
        raise MariadbError(f"no MariaDB driver for {sys.executable} on this host: install python3-pymysql, or from PyPI PyMySQL, "
                           "for the interpreter that Ansible uses here")
    try:
        raw = pymysql.connect(
            **login.keywords(), database=database, charset="utf8mb4", autocommit=True, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS
        )
    except (pymysql.MySQLError, OSError) as error:
        of = f" with database {database}" if database else ""
        raise MariadbError(f"no session{of} on {login} as {login.user}: {_said(error)}", _number(error)) from error
    connection = Connection(raw, database or "")
    # When the server offers no TLS, or an attacker on the way removes the offer, some versions of the driver open a session in the clear.
    if login.is_encrypted and not isinstance(getattr(raw, "_sock", None), ssl.SSLSocket):
        connection.close()
        raise MariadbError(f"{login} offers no encryption, and ssl_mode is {login.ssl_mode}: have the server offer it, or set another ssl_mode")
    if "MariaDB" not in raw.get_server_info() or connection.server_version < OLDEST_SERVER:
        connection.close()
        raise MariadbError(f"{login} runs {raw.get_server_info()}; MariaDB 10.6 is the oldest that is supported")
    return connection


def connect_patiently(login: Login, database: str | None = None) -> Connection:
    """The same, and neither the time nor the idleness of the session ends it, whatever the server has set."""
    connection = connect(login, database)
    try:
        connection.run(PATIENCE)
    except MariadbError:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _translated(connection: Connection) -> Iterator[None]:
    """The driver's errors within the block become MariadbError."""
    try:
        yield
    except (pymysql.MySQLError, UnicodeError, OSError) as error:
        number = _number(error)
        if number is None or 2000 <= number < 3000 or number in ENDED:
            raise MariadbError(f"the session with database {connection.database} was lost: {_said(error)}") from error
        raise MariadbError(f"{without_rows(number, _said(error))} [{number}]", number) from error


def size_bytes(session: Connection, database: str) -> int:
    """What a database takes, as the server estimates it."""
    return int(session.value("SELECT coalesce(sum(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = %s", (database,)))


def identifier(*parts: str) -> str:
    """A name, qualified when there are several parts, quoted for SQL."""
    if any("\0" in part for part in parts):
        raise MariadbError("a name with a null character cannot be one of MariaDB's")
    return ".".join("`{}`".format(part.replace("`", "``")) for part in parts)


def without_rows(number: int | None, text: str) -> str:
    """An error's message without the values that it quotes."""
    return without_values(text) if number in OF_DATA else text


def _number(error: BaseException) -> int | None:
    found = error.args[0] if error.args else None
    return found if isinstance(found, int) and found else None


def _said(error: BaseException) -> str:
    return one_line(str(error.args[-1] if error.args else error))


def _version_number(text: str) -> int:
    """Of a text like `5.5.5-10.11.19-MariaDB`, whose first part is there for old clients."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)(?:-MariaDB|$|[^.\d-])", text)
    return sum(int(part) * weight for part, weight in zip(found.groups(), (10000, 100, 1))) if found else 0
