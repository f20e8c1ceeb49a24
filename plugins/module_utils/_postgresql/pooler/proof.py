# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That clients of the poolers write to the new primary, as a client of theirs finds it, and as they say themselves.

The write is a message in the server's log: it leaves nothing in a database. Source: PostgreSQL's documentation of `pg_logical_emit_message`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..session import Login, PostgresqlError, connect
from ..switchover.node import Node
from .pgbouncer import PgBouncer, PoolerError
from .pgbouncer_file import FALLBACK

# Each one takes a server connection that stays in its pool for a while.
MOST_WRITES = 10
WRITE_SECONDS = 5.0
READ_ONLY = "25006"
WHICH = "SELECT extract(epoch FROM pg_postmaster_start_time())::text, pg_is_in_recovery()"
WRITE = "SELECT set_config('synchronous_commit', 'local', true), pg_logical_emit_message(true, 'alwayson.upgrade', 'written')"
# The errors of a pooler or a server that does not accept this login: then only the pooler's own state is known.
_NO_LOGIN = re.compile(r"no such user|no such database|authentication failed|not allowed|no password|does not exist|pg_hba|permission denied", re.IGNORECASE)


def written(poolers: Sequence[PgBouncer], new: Node) -> tuple[list[str], list[str]]:
    """What is not right, and what could not be found out: a sentence for each."""
    problems: list[str] = []
    doubts: list[str] = []
    if not poolers:
        return problems, doubts
    try:
        with new.opened():
            (is_one, in_recovery), = new.rows(WHICH)
    except PostgresqlError as error:
        return problems, [f"no write was tried through the poolers: {error}"]
    for pooler in poolers:
        try:
            with pooler.opened():
                pooler.require_followed()
                names = pooler.open_databases()
        except PoolerError as error:
            problems.append(str(error))
            continue
        for name in [] if in_recovery else _to_try(pooler, names, new.login().maintenance_database):
            _try(pooler, name, new, is_one, problems, doubts)
    return problems, doubts


def _to_try(pooler: PgBouncer, open_databases: Sequence[str], other: str) -> list[str]:
    names = [name for name in sorted(pooler.moved) if name in open_databases]
    if FALLBACK in pooler.moved and other not in pooler.servers():
        names.append(other)
    return names[:MOST_WRITES]


def _try(pooler: PgBouncer, name: str, new: Node, is_one: str, problems: list[str], doubts: list[str]) -> None:
    try:
        reached = _write(pooler.login_like(new.login()), name)
    except PostgresqlError as error:
        if error.sqlstate == READ_ONLY:
            problems.append(f"a write through pooler {pooler.name} to {name} is refused: {error}")
        elif not _NO_LOGIN.search(str(error)):
            doubts.append(f"no write through pooler {pooler.name} to {name} was acknowledged: {error}")
        return
    if reached != is_one:
        problems.append(f"pooler {pooler.name} sends clients of {name} to another server than {new}: check what redirects them")


def _write(login: Login, database: str) -> str:
    """Write through the pooler; returns the identity of the server that was reached."""
    with connect(login, database) as session, session.limited(WRITE_SECONDS):
        reached = session.value(WHICH)
        session.rows(WRITE)
        return reached
