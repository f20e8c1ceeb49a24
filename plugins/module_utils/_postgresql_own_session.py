# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that are one session of the server from their beginning to their end, and not a pooler's that changes with every transaction.

A lock or a setting of a session is somebody else's through a pooler in transaction mode, and stays there. Source: PgBouncer's documentation of its features.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Iterator

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, Login, PostgresqlError, connect, server_name

PID = "SELECT pg_backend_pid()"
# A pooler gives a session the server's process that was free last, or the one that has been free for longest: two sessions meet within these rounds.
ROUNDS = 20
# How long the second session waits for a process of the server: a pool may be exhausted.
WAIT_SECONDS = 5.0


@contextlib.contextmanager
def own_session(login: Login, name: str | None = None) -> Iterator[Connection]:
    """A session with `name` (the maintenance database when None) for the block; PostgresqlError, before anything is changed, when it is not the server's own.
    """
    with connect(login, name) as database:
        is_pooled = database.value(PID) != database.announced_pid
        if is_pooled:
            _require_own(database, login)
        try:
            yield database
        finally:
            if is_pooled:
                # The server's session goes to the pooler's next client, whatever the pooler itself does about that.
                with contextlib.suppress(PostgresqlError):
                    database.run("DISCARD ALL")


def _require_own(database: Connection, login: Login) -> None:
    """A pooler may have a single process of the server, so that two statements never tell; but then a second session has the same one."""
    own, others = set(), set()
    with connect(login, database.database) as other:
        too_late = threading.Timer(WAIT_SECONDS, other.shut_down)
        too_late.start()
        try:
            for _round in range(ROUNDS):
                own.add(database.value(PID))
                others.add(other.value(PID))
        except PostgresqlError as error:
            raise PostgresqlError(f"{_pooler(database, login)}, and whether it leaves each session a process of the server of its own cannot be told: {error}. "
                                  f"{CURE}") from error
        finally:
            too_late.cancel()
    if is_shared(own, others):
        raise PostgresqlError(f"{_pooler(database, login)}, which pools transactions or statements: a lock or a setting of this session would be another "
                              f"session's, and stay there. {CURE}")


CURE = "Give the address and the port of the PostgreSQL server itself as login_host and login_port"


def is_shared(own: set, others: set) -> bool:
    """Whether two sessions, each of which had these processes of the server while both were open, are not each a session of the server."""
    return len(own) > 1 or len(others) > 1 or bool(own & others)


def _pooler(database: Connection, login: Login) -> str:
    return f"{server_name(login)} is a pooler in front of database {database.database}"
