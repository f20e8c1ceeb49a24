# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts about a PostgreSQL server on which it depends whether it can take part in an exchange of roles, see `_postgresql.switchover.survey`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..session import Connection, Login, PostgresqlError, connect, conninfo_parameters
from .survey import COMMIT, GENERIC, READ_ONLY, SETTINGS, UNNAMED, Facts, Override, Slot

# Whom replay waits for: who has a lock that it wants (pg_blocking_pids() does not know the process that replays), or, when it waits for a snapshot, who has
# one.
READERS = """
SELECT reader.pid, format('process %s of %s (%s)', reader.pid, reader.usename, reader.state)
  FROM pg_stat_activity AS replayer, pg_stat_activity AS reader
 WHERE replayer.backend_type = 'startup' AND reader.backend_type = 'client backend'
   AND reader.application_name NOT LIKE 'alwayson.upgrade%'
   AND (EXISTS (SELECT FROM pg_locks AS wanted JOIN pg_locks AS had USING (locktype, database, relation)
                 WHERE wanted.pid = replayer.pid AND NOT wanted.granted AND had.granted AND had.pid = reader.pid)
        OR (replayer.wait_event LIKE 'RecoveryConflict%' OR replayer.wait_event_type = 'BufferPin') AND reader.backend_xmin IS NOT NULL)
"""
# Who has begun to write, or may still do so. The server's own workers lose nothing.
WRITERS = """
SELECT format('process %s of %s (%s)', pid, coalesce(usename, backend_type), coalesce(nullif(application_name, ''), 'without a name'))
  FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND backend_type <> 'autovacuum worker' AND pid <> pg_backend_pid()
UNION ALL SELECT format('prepared transaction %s', gid) FROM pg_prepared_xacts
"""
LASTING = """
SELECT format('process %%s of %%s (%%s) for %%s s', pid, usename, state, round(extract(epoch FROM clock_timestamp() - xact_start)))
  FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - %s * interval '1 second'
"""
UNLOGGED = """
SELECT format('%s.%s.%s', current_database(), nspname, relname) FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
 WHERE relpersistence = 'u' AND relkind IN ('r', 'm') ORDER BY 1
"""
FACTS = f"""
SELECT json_build_object(
  'settings', (SELECT json_object_agg(name, reset_val) FROM pg_settings WHERE name IN ({", ".join(f"'{name}'" for name in SETTINGS)}, 'cluster_name')),
  'overrides', (SELECT coalesce(json_agg(json_build_array(coalesce(rolname, ''), coalesce(datname, ''), split_part(given, '=', 1), split_part(given, '=', 2),
                  (setrole = 0 OR rolname = current_user) AND (setdatabase = 0 OR datname = current_database()))), '[]')
                FROM pg_db_role_setting LEFT JOIN pg_roles AS r ON r.oid = setrole LEFT JOIN pg_database AS d ON d.oid = setdatabase, unnest(setconfig) AS given
                WHERE split_part(given, '=', 1) IN ('{READ_ONLY}', '{COMMIT}')),
  'prepared', (SELECT coalesce(json_agg(gid ORDER BY gid), '[]') FROM pg_prepared_xacts),
  'subscriptions', (SELECT coalesce(json_agg(format('%s in %s', subname, datname) ORDER BY 1), '[]')
                    FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid WHERE subenabled),
  'appliers', (SELECT coalesce(json_agg(DISTINCT backend_type), '[]') FROM pg_stat_activity WHERE backend_type ~ '(apply|replication (parallel )?worker)'),
  'replicas', (SELECT coalesce(json_agg(json_build_array(coalesce(application_name, ''), coalesce(sync_state, ''))), '[]')
               FROM pg_stat_replication WHERE state = 'streaming'),
  'slots', (SELECT coalesce(json_agg(json_build_array(slot_name, coalesce(database, ''), active)), '[]') FROM pg_replication_slots WHERE NOT temporary),
  'receiver', (SELECT conninfo FROM pg_stat_wal_receiver WHERE status = 'streaming'),
  'replay', CASE WHEN pg_is_in_recovery() AND pg_is_wal_replay_paused() THEN 'paused' ELSE 'not paused' END)
"""


def gather(session: Connection, name: str, lasting_seconds: float | None = None) -> Facts:
    """The facts about the server of a session, but for those that need another session or server: `behind`, `readers`, `unlogged`."""
    found = session.value(FACTS)
    given = conninfo_parameters(found["receiver"] or "")
    is_streaming = found["receiver"] is not None
    return Facts(
        name=name,
        settings={key: value or "" for key, value in found["settings"].items()},
        overrides=[Override(*row) for row in found["overrides"]],
        slots=[Slot(*row) for row in found["slots"]],
        replicas=[tuple(row) for row in found["replicas"]],
        streams_as=streaming_name(given, found["settings"]["cluster_name"]) if is_streaming else None,
        has_own_name=has_own_name(given, found["settings"]["cluster_name"]),
        lasting=[] if lasting_seconds is None else [row[0] for row in session.rows(LASTING, (lasting_seconds,))],
        **{key: found[key] for key in ("prepared", "subscriptions", "appliers", "replay")},
    )


def streaming_name(parameters: dict[str, Any], cluster_name: str) -> str:
    """Under which name a standby streams that has these parameters in its primary_conninfo."""
    return parameters.get("application_name") or parameters.get("fallback_application_name") or cluster_name or UNNAMED


def has_own_name(parameters: dict[str, Any], cluster_name: str) -> bool:
    """Whether the standby has a configured name, instead of a default that other standbys have, too."""
    return bool(parameters.get("application_name") or (cluster_name and not GENERIC.fullmatch(cluster_name)))


def unlogged_tables(login: Login, databases: Sequence[str]) -> list[str]:
    """Those of all databases that can be looked into; a database that lets this role not in is left out."""
    return [table for database in databases for table in _unlogged_in(login, database)]


def _unlogged_in(login: Login, database: str) -> list[str]:
    try:
        with connect(login, database) as session:
            return [row[0] for row in session.rows(UNLOGGED)]
    except PostgresqlError:
        return []
