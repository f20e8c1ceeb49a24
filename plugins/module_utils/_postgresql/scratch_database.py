# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch databases on a PostgreSQL server, in which a backup is restored to prove it: made like the original, known by their names, always dropped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Callable

from .._database.scratch_names import drop_each, left_behind, new_name
from .session import Connection, PostgresqlError, identifier, literal

# What keeps a database from being dropped for a moment: object_in_use, and insufficient_privilege to end an autovacuum worker.
IN_THE_WAY = ("55006", "42501")
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
UNUSED = "SELECT datname FROM pg_database AS d WHERE NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datid = d.oid)"


@contextlib.contextmanager
def scratch_database(open_session: Callable[[str | None], Connection], original: Connection) -> Iterator[Connection]:
    """A session with an empty database that has the encoding and the locale of `original`'s; dropped on every way out, even when sessions are connected to it.

    The session is open from beginning to end, which keeps others from taking the database for one that was left behind.

    :param open_session: opens a session with the database of that name, with the maintenance database for None.
    """
    with open_session(None) as server:
        name = new_name(original.database, server_time(server))
        server.run(f"CREATE DATABASE {identifier(name)} TEMPLATE template0 {_locale(original)}")
    try:
        with open_session(name) as copy:
            copy.run(f"REVOKE CONNECT, TEMPORARY ON DATABASE {identifier(name)} FROM PUBLIC")
            yield copy
    except BaseException as failure:
        drop(open_session, name, f"{failure}; ")
        raise
    drop(open_session, name, "")


def drop(open_session: Callable[[str | None], Connection], name: str, before: str) -> None:
    """Drop a scratch database and end its sessions; `before` is an earlier error, which the message repeats if this fails too."""
    statement = f"DROP DATABASE IF EXISTS {identifier(name)}"
    forced = f"{statement} WITH (FORCE)"
    try:
        with open_session(None) as server:
            # PostgreSQL itself ends an autovacuum worker for the plain statement, which FORCE needs a superuser for; FORCE ends the sessions of others.
            if not any(_is_done(server, attempt) for attempt in (statement, forced, statement)):
                server.run(forced)
    except PostgresqlError as error:
        raise PostgresqlError(f"{before}the scratch database {name} could not be dropped: {error}; drop it yourself: {forced}", error.sqlstate) from error


def _is_done(server: Connection, statement: str) -> bool:
    """Run the statement; False when another session is in the way."""
    try:
        server.run(statement)
    except PostgresqlError as error:
        if error.sqlstate not in IN_THE_WAY:
            raise
        return False
    return True


def drop_left_behind(server: Connection) -> tuple[list[str], list[str]]:
    """Drop what killed runs left on the server: the names of what was dropped, and a sentence for each that stays."""
    # Without FORCE: a session that has connected in the meantime keeps it.
    return drop_each(server.run, {name: identifier(name) for name in left_behind([name for (name,) in server.rows(UNUSED)], server_time(server))})


def server_time(server: Connection) -> int:
    """The server's clock, which all its clients share."""
    return int(server.value("SELECT extract(epoch FROM clock_timestamp())::bigint"))


def _locale(original: Connection) -> str:
    """The clauses that give a new database the encoding and the locale of `original`'s."""
    major = original.server_version // 10000
    provider_column = "datlocprovider::text" if major >= 15 else "'c'"
    locale_column = "datlocale" if major >= 17 else "daticulocale" if major >= 15 else "NULL"
    rules_column = "daticurules" if major >= 16 else "NULL"
    encoding, collate, ctype, provider, locale, rules = original.rows(
        f"SELECT pg_encoding_to_char(encoding), datcollate, datctype, {provider_column}, {locale_column}, {rules_column}"
        " FROM pg_database WHERE datname = current_database()"
    )[0]
    clauses = [f"ENCODING {literal(encoding)}", f"LC_COLLATE {literal(collate)}", f"LC_CTYPE {literal(ctype)}"]
    if major >= 15:
        clauses.append(f"LOCALE_PROVIDER {PROVIDERS[provider]}")
    if locale:
        clauses.append(f"{'BUILTIN_LOCALE' if provider == 'b' else 'ICU_LOCALE'} {literal(locale)}")
    if rules:
        clauses.append(f"ICU_RULES {literal(rules)}")
    return " ".join(clauses)
