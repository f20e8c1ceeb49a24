# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch databases on a MariaDB server, in which a backup is restored to prove it: recognised by their name alone, always dropped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .._database.scratch_names import drop_each, left_behind, new_name
from .session import Connection, Login, MariadbError, connect_patiently, identifier

CHARACTERS = "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = %s"
UNUSED = """
SELECT schema_name FROM information_schema.schemata AS s WHERE NOT EXISTS (SELECT 1 FROM information_schema.processlist AS p WHERE p.db = s.schema_name)
"""


@contextlib.contextmanager
def scratch_database(login: Login, original: Connection) -> Iterator[Connection]:
    """A session with an empty database that has the character set of `original`'s; dropped on every way out.

    The session is open from beginning to end, which keeps others from taking the database for one that was left behind.
    """
    name = new_name(original.database, now(original))
    character_set, collation = original.rows(CHARACTERS, (original.database,))[0]
    original.run(f"CREATE DATABASE {identifier(name)} CHARACTER SET {character_set} COLLATE {collation}")
    try:
        with connect_patiently(login, name) as copy:
            yield copy
    except BaseException as failure:
        _drop(login, name, f"{failure}; ")
        raise
    _drop(login, name, "")


def drop_left_behind(server: Connection) -> tuple[list[str], list[str]]:
    """Drop what killed runs left on the server: the names of what was dropped, and a sentence for each that stays."""
    return drop_each(server.run, {name: identifier(name) for name in left_behind([name for (name,) in server.rows(UNUSED)], now(server))})


def now(server: Connection) -> int:
    """The server's clock, which all its clients share."""
    return int(server.value("SELECT unix_timestamp()"))


def _drop(login: Login, name: str, before: str) -> None:
    """Drop a scratch database; `before` is an earlier error, which the message repeats if this fails too."""
    statement = f"DROP DATABASE IF EXISTS {identifier(name)}"
    try:
        # A separate session: that of the restore may be lost, or still wait for its last statement.
        with connect_patiently(login) as server:
            server.run(statement)
    except MariadbError as error:
        raise MariadbError(f"{before}the scratch database {name} could not be dropped: {error}; drop it yourself: {statement}", error.number) from error
