# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch databases, in which a backup is restored to prove it: made like the original, recognised by their name alone, always dropped.

A name is `alwayson_proof_<original>_<made: 8 hex><random: 4 hex><check: 8 hex>`. The check is a digest of what stands before it, so that a
database which a user gave a similar name is never taken for one of these, and the mark is there from the very moment of creation on.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from typing import Callable, Iterator, Mapping, Optional

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_error import DatabaseError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, PostgresqlError, identifier, literal

# A copy that is dropped again, and one that gets its final name when it is proven.
PROOF, RESTORE = "alwayson_proof_", "alwayson_restore_"
# PostgreSQL's names have 63 bytes: the longer prefix has 17, the mark 21.
ORIGINAL_LENGTH = 25
NAME = re.compile(r"(?P<marked>alwayson_(?:proof|restore)_[a-z0-9_]{0,27}_(?P<made>[0-9a-f]{8})[0-9a-f]{4})(?P<check>[0-9a-f]{8})")
# One that nobody uses and that is older than this was left by a run that was killed; a younger one may belong to a run that is about to connect.
LEFT_BEHIND_SECONDS = 60
# What keeps a database from being dropped for a moment: object_in_use, and insufficient_privilege to end an autovacuum worker.
IN_THE_WAY = ("55006", "42501")
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
UNUSED = "SELECT datname FROM pg_database AS d WHERE NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datid = d.oid)"


def new_name(original: str, made: int, random: str | None = None, prefix: str = PROOF) -> str:
    """A name for a scratch copy of `original`; `made` is the server's time in epoch seconds."""
    readable = re.sub(r"[^a-z0-9_]", "_", original.lower())[:ORIGINAL_LENGTH]
    marked = f"{prefix}{readable}_{made & 0xFFFFFFFF:08x}{random or secrets.token_hex(2)}"
    return marked + _check(marked)


def is_scratch(name: str) -> bool:
    """Whether this is the name of a scratch database that this module made."""
    return _made(name) is not None


@contextlib.contextmanager
def scratch_database(open_session: Callable[[Optional[str]], Connection], original: Connection) -> Iterator[Connection]:
    """A session with an empty database that has the encoding and the locale of `original`'s; dropped on every way out, whoever is connected to it.

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


def drop(open_session: Callable[[Optional[str]], Connection], name: str, before: str) -> None:
    """Drop a scratch database and end its sessions; `before` is what went wrong earlier, and is told again if this fails too."""
    statement = f"DROP DATABASE IF EXISTS {identifier(name)}"
    forced = f"{statement} WITH (FORCE)"
    try:
        with open_session(None) as server:
            # PostgreSQL itself ends an autovacuum worker for the plain statement, which FORCE needs a superuser for; FORCE ends the sessions of others.
            for attempt in (statement, forced, statement):
                try:
                    server.run(attempt)
                    return
                except PostgresqlError as error:
                    if error.sqlstate not in IN_THE_WAY:
                        raise
            server.run(forced)
    except PostgresqlError as error:
        raise PostgresqlError(f"{before}the scratch database {name} could not be dropped: {error}; drop it yourself: {forced}", error.sqlstate) from error


def drop_left_behind(server: Connection) -> tuple[list[str], list[str]]:
    """Drop what killed runs left on the server: the names of what was dropped, and a sentence for each that stays."""
    # Without FORCE: whoever has connected in the meantime keeps it.
    return drop_each(server.run, {name: identifier(name) for name in left_behind([name for (name,) in server.rows(UNUSED)], server_time(server))})


def drop_each(run: Callable[[str], None], names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Drop databases, as `drop_left_behind` does.

    :param run: runs a statement.
    :param names: each name with what it is in a statement.
    """
    dropped, stay = [], []
    for name, quoted in names.items():
        statement = f"DROP DATABASE IF EXISTS {quoted}"
        try:
            run(statement)
            dropped.append(name)
        except DatabaseError as error:
            stay.append(f"the scratch database {name}, left by an earlier run, could not be dropped: {error}; drop it yourself: {statement}")
    return dropped, stay


def left_behind(names: list[str], now: int) -> list[str]:
    """Which of the unused databases are scratch databases, and old enough to belong to no run."""
    found = {name: _made(name) for name in names if name.startswith(PROOF)}
    return sorted(name for name, made in found.items() if made is not None and now - made >= LEFT_BEHIND_SECONDS)


def _made(name: str) -> int | None:
    match = NAME.fullmatch(name)
    if match is None or match["check"] != _check(match["marked"]):
        return None
    return int(match["made"], 16)


def _check(marked: str) -> str:
    return hashlib.sha256(marked.encode()).hexdigest()[:8]


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
