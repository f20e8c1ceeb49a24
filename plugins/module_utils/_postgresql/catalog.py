# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PostgreSQL server is and which databases it holds, read from its catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._database.scratch_names import is_scratch
from .session import Connection, PostgresqlError

MAINTENANCE_DATABASE = "postgres"

REPLICAS = """
SELECT application_name, coalesce(host(client_addr), 'local'), state, sync_state,
       (pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, coalesce(replay_lsn, flush_lsn)))::bigint,
       extract(epoch FROM coalesce(replay_lag, flush_lag))::float8,
       CASE WHEN replay_lsn IS NOT NULL THEN 'standby' WHEN state = 'streaming' AND write_lsn IS NOT NULL THEN 'receiver' END
  FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup' ORDER BY application_name, pid
"""

USER_TABLES = """
SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""


def identity(connection: Connection) -> dict[str, Any]:
    """The server itself: `version`, `version_number`, `system_identifier` (of its data, the same on every standby), `primary`."""
    version, number, system_identifier, standby = connection.rows(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int, system_identifier::text, pg_is_in_recovery()"
        " FROM pg_control_system()"
    )[0]
    return {"version": version.split()[0], "version_number": number, "system_identifier": system_identifier, "primary": not standby}


def is_read_only(connection: Connection) -> bool:
    """Whether transactions are read only unless they ask for another kind, as on a primary that was demoted."""
    return connection.value("SELECT reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only'")


def require_primary(connection: Connection, purpose: str) -> None:
    """Raise PostgresqlError when the server takes no writes."""
    if connection.value("SELECT pg_is_in_recovery()"):
        raise PostgresqlError(f"the server is a standby, and {purpose} needs one that takes writes: give the primary's address as login_host")


def replicas(connection: Connection) -> list[dict[str, Any]]:
    """Who streams from this server now. `lag_bytes` and `lag_seconds` are None where the server does not know them, or does not show them to this role.

    `kind`: ``standby``, or ``receiver``, which writes the log to files and replays nothing, so that its lag is what it has not on its disk; None as above.
    """
    keys = ("name", "address", "state", "sync_state", "lag_bytes", "lag_seconds", "kind")
    return [dict(zip(keys, row)) for row in connection.rows(REPLICAS)]


def user_databases(connection: Connection) -> list[str]:
    """The databases that take sessions, in the order of their names: without templates, the server's own `postgres`, and scratch databases."""
    rows = connection.rows("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname")
    return [name for (name,) in rows if name != MAINTENANCE_DATABASE and not is_scratch(name)]


def choose_databases(connection: Connection, names: Sequence[str]) -> list[str]:
    """`names` in their order when every one exists and takes sessions; all of `user_databases` when there are none."""
    if not names:
        return user_databases(connection)
    wanted = list(dict.fromkeys(names))
    there = {name for (name,) in connection.rows("SELECT datname FROM pg_database WHERE datallowconn")}
    missing = [name for name in wanted if name not in there]
    if missing:
        raise PostgresqlError(
            f"no such database, or none that takes sessions: {', '.join(missing)}; there are: {', '.join(user_databases(connection)) or 'none'}. "
            "Correct the names, or create the database"
        )
    return wanted


def size_bytes(connection: Connection) -> int:
    """What the session's database takes on the server's disk."""
    return connection.value("SELECT pg_database_size(current_database())")


def table_count(connection: Connection) -> int:
    """How many tables the session's database has, the server's own not counted."""
    return connection.value(USER_TABLES)
