# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions with SQLite databases, which are files, through Python's own driver. One behaviour, one family of errors."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from .._database.errors import DatabaseError
from .._host.private_copy import open_regular

# How long a statement waits for another writer.
BUSY_SECONDS = 5.0
MAGIC = b"SQLite format 3\0"
OWN_COLLATION = re.compile(r"no such collation sequence: (.+)$")
OWN_FUNCTION = re.compile(r"(?:unknown|no such) function: (.+?)(?:\(\))?$")


class SqliteError(DatabaseError):
    """What SQLite answered, or why there is no session. `is_busy`: another connection holds the lock that was needed."""

    def __init__(self, message: str, is_busy: bool = False) -> None:
        super().__init__(message)
        self.is_busy = is_busy


class Connection:
    """A session with the database in a file. Every statement commits by itself, unless BEGIN opens a transaction."""

    def __init__(self, raw: sqlite3.Connection, database: str) -> None:
        self.raw = raw
        self.database = database

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement; `?` stands for a parameter."""
        with _translated(self.database):
            return self.raw.execute(statement, parameters).fetchall()

    def each(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of one statement, one by one."""
        with _translated(self.database):
            yield from self.raw.execute(statement)

    def value(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row, None when there is no row."""
        found = self.rows(statement, parameters)
        return found[0][0] if found else None

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement."""
        self.count(statement, parameters)

    def count(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """How many rows one statement changed."""
        with _translated(self.database):
            return self.raw.execute(statement, parameters).rowcount

    def renew(self) -> None:
        """Open the file again: temporary tables and settings of the session are gone, an open transaction is rolled back."""
        self.close()
        self.raw = _open(self.database, False, BUSY_SECONDS)

    def close(self) -> None:
        """End the session; what is open is rolled back."""
        self.raw.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def connect(path: str, is_immutable: bool = False, busy_seconds: float = BUSY_SECONDS) -> Connection:
    """A session with the database in an existing file; SqliteError says why there is none.

    :param is_immutable: no process writes to the file: it is read without locks, and no file is created beside it.
    """
    return Connection(_open(path, is_immutable, busy_seconds), path)


def _open(path: str, is_immutable: bool, busy_seconds: float) -> sqlite3.Connection:
    require_database(path)
    # A name in a URI: a question mark in it would begin options.
    uri = f"file:{quote(os.path.abspath(path))}?{'mode=ro&immutable=1' if is_immutable else 'mode=rw'}"
    with _translated(path):
        return sqlite3.connect(uri, timeout=busy_seconds, isolation_level=None, uri=True, check_same_thread=False)


def connect_with_stand_ins(path: str, is_immutable: bool = False) -> tuple[Connection, list[str]]:
    """A session in which the collations and functions of the application that indexes and checks of the schema use exist, if only by name.

    It can read tables and look at pages. What depends on the order of a collation or on a function's result is not what the application would see.

    :returns: the session, and what stands in: nothing for a schema that SQLite knows all of.
    """
    collations: list[str] = []
    functions: list[str] = []
    while True:
        # Opened again: a schema that was read without a collation is not read again.
        session = connect(path, is_immutable)
        for name in collations:
            session.raw.create_collation(name, _by_bytes)
        for name in functions:
            session.raw.create_function(name, -1, _nothing, deterministic=True)
        try:
            session.rows("EXPLAIN PRAGMA integrity_check")
        except SqliteError as error:
            session.close()
            lacks = OWN_COLLATION.search(str(error)), OWN_FUNCTION.search(str(error))
            known = len(collations) + len(functions)
            collations += [lacks[0][1]] if lacks[0] and lacks[0][1] not in collations else []
            functions += [lacks[1][1]] if lacks[1] and lacks[1][1] not in functions else []
            if len(collations) + len(functions) == known:
                raise
            continue
        return session, [*(f"the collation {name}" for name in collations), *(f"the function {name}" for name in functions)]


def _by_bytes(one: str, other: str) -> int:
    return (one > other) - (one < other)


def _nothing(*_values: Any) -> None:
    return None


def require_database(path: str) -> None:
    """Raise SqliteError unless the file is there and a database, as its first bytes say. An empty file is a database to SQLite alone."""
    try:
        with open_regular(path) as file:
            beginning = file.read(len(MAGIC))
    except OSError as error:
        raise SqliteError(f"{path} cannot be read: {error.strerror}; give the path of a SQLite database as one of databases") from error
    if beginning != MAGIC:
        raise SqliteError(f"{path} is no SQLite database: its header is another one; give the path of one as one of databases")


def size_bytes(database: str) -> int:
    """What a database takes at most: what is in its log is not in its file yet."""
    log = f"{database}-wal"
    return os.path.getsize(database) + (os.path.getsize(log) if os.path.exists(log) else 0)


def identifier(name: str) -> str:
    """A name, quoted for SQL."""
    return '"{}"'.format(name.replace('"', '""'))


@contextlib.contextmanager
def _translated(database: str) -> Iterator[None]:
    """The driver's errors within the block become SqliteError."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:
        is_busy = isinstance(error, sqlite3.OperationalError) and bool(re.search(r"\b(locked|busy)\b", str(error)))
        raise SqliteError(f"{database}: {error}", is_busy) from error
