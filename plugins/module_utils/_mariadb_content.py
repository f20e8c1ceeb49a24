# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a MariaDB database holds, as `_database_content` compares it: read in a session's snapshot.

Events are left out: a restored copy must not have them, since the server would run them there.
Source: MariaDB's documentation of its information schema.
"""

from __future__ import annotations

from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_content import Content
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import Connection, identifier

# How values look as text depends on these. The rest is patience: a large table takes its time.
SETTINGS = "SET SESSION time_zone = '+00:00', sql_mode = '', character_set_results = 'utf8mb4', max_statement_time = 0, lock_wait_timeout = 30"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1"
COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY 1"
SEQUENCES = "SELECT table_name, auto_increment FROM information_schema.tables WHERE table_schema = %s AND auto_increment IS NOT NULL"
# Each row is one sentence about one thing. %s is the database.
STRUCTURE = (
    "SELECT concat(lower(table_type), ' ', table_name, ' ', coalesce(engine, ''), ' ', coalesce(table_collation, '')) FROM information_schema.tables"
    " WHERE table_schema = %s",
    "SELECT concat('column ', table_name, '.', column_name, ' ', column_type, if(is_nullable = 'NO', ' not null', ''),"
    " if(column_default IS NULL, '', concat(' default ', column_default)), ' ', extra, ' ', coalesce(collation_name, ''))"
    " FROM information_schema.columns WHERE table_schema = %s",
    "SELECT concat('index ', index_name, ' on ', table_name, ' (', group_concat(column_name, coalesce(concat('(', sub_part, ')'), '')"
    " ORDER BY seq_in_index SEPARATOR ', '), ')', if(non_unique, '', ' unique'), ' ', index_type)"
    " FROM information_schema.statistics WHERE table_schema = %s GROUP BY table_name, index_name, non_unique, index_type",
    "SELECT concat('foreign key ', constraint_name, ' on ', table_name, ' to ', referenced_table_name, ' ', update_rule, ' ', delete_rule)"
    " FROM information_schema.referential_constraints WHERE constraint_schema = %s",
    "SELECT concat('check ', constraint_name, ' on ', table_name, ' ', check_clause) FROM information_schema.check_constraints WHERE constraint_schema = %s",
    "SELECT concat('trigger ', trigger_name, ' ', action_timing, ' ', event_manipulation, ' on ', event_object_table, ' ', md5(action_statement))"
    " FROM information_schema.triggers WHERE trigger_schema = %s",
    "SELECT concat(lower(routine_type), ' ', routine_name, ' ', md5(coalesce(routine_definition, ''))) FROM information_schema.routines"
    " WHERE routine_schema = %s",
    # What a view is made of names its database.
    "SELECT concat('view ', table_name, ' ', md5(replace(view_definition, concat('`', table_schema, '`.'), ''))) FROM information_schema.views"
    " WHERE table_schema = %s",
)
# 60 bits of each row's digest: sums of those fit into a decimal.
DIGEST = "CAST(CONV(SUBSTRING(SHA2(CONCAT_WS('.', {values}), 256), 1, 15), 16, 10) AS DECIMAL(20))"


def settle_session(session: Connection) -> None:
    """Give a session the settings under which equal values are equal texts."""
    session.run(SETTINGS)


def read(session: Connection) -> Content:
    """The content of the session's database, in its snapshot."""
    names = [name for (name,) in session.rows(TABLES, (session.database,))]
    tables = {name: _table(session, name, [column for (column,) in session.rows(COLUMNS, (session.database, name))]) for name in names}
    structure = frozenset(sentence for query in STRUCTURE for (sentence,) in session.rows(query, (session.database,)))
    return Content(tables=tables, structure=structure, sequences=read_sequences(session))


def read_sequences(session: Connection) -> dict[str, int | None]:
    """Where every table's next number stands: as of now, a snapshot does not hold them."""
    return dict(session.rows(SEQUENCES, (session.database,)))


def _table(session: Connection, name: str, columns: Sequence[str]) -> dict:
    """Rows, and a sum that does not depend on their order. Each value counts by its digest, so that a long one needs no longer text."""
    values = ", ".join(f"COALESCE(MD5({identifier(column)}), '-')" for column in columns)
    rows, total = session.rows(f"SELECT count(*), coalesce(sum({DIGEST.format(values=values)}), 0) FROM {identifier(session.database, name)}")[0]
    return {"rows": rows, "sum": str(total)}
