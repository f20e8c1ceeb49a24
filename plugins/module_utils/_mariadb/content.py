# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a MariaDB database holds, as `_database.content` compares it: read in a session's snapshot.

Events are left out: a restored copy must not have them, since the server would run them there.
Source: MariaDB's documentation of its information schema.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from .._database.content import Content
from .session import Connection, identifier

# How values look as text depends on these.
SETTINGS = "SET SESSION time_zone = '+00:00', sql_mode = '', character_set_results = 'utf8mb4', sql_quote_show_create = 1, group_concat_max_len = 4294967295"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1"
COLUMNS = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY 1"
COUNTERS = "SELECT table_name, auto_increment FROM information_schema.tables WHERE table_schema = %s AND auto_increment IS NOT NULL"
SEQUENCES = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'SEQUENCE'"
# Where the next number stands is compared by itself.
COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
# The period of a table's history, when it has explicit columns: by transaction when those are numbers.
PERIOD = re.compile(r"PERIOD FOR SYSTEM_TIME \(")
BY_TRANSACTION = re.compile(r"bigint\(\d+\) unsigned GENERATED ALWAYS AS ROW START")
CREATED_WITH = "definer, security_type, character_set_client, collation_connection"
# Each row is one sentence about one thing. %s is the database.
STRUCTURE = (
    "SELECT concat('database ', default_character_set_name, ' ', default_collation_name) FROM information_schema.schemata WHERE schema_name = %s",
    ("SELECT concat(lower(table_type), ' ', table_name, ' ', coalesce(engine, ''), ' ', coalesce(table_collation, '')) FROM information_schema.tables"
     " WHERE table_schema = %s"),
    ("SELECT concat('column ', table_name, '.', column_name, ' ', column_type, if(is_nullable = 'NO', ' not null', ''),"
     " if(column_default IS NULL, '', concat(' default ', column_default)), ' ', extra, ' ', coalesce(collation_name, ''))"
     " FROM information_schema.columns WHERE table_schema = %s"),
    ("SELECT concat('index ', index_name, ' on ', table_name, ' (', group_concat(column_name, coalesce(concat('(', sub_part, ')'), '')"
     " ORDER BY seq_in_index SEPARATOR ', '), ')', if(non_unique, '', ' unique'), ' ', index_type)"
     " FROM information_schema.statistics WHERE table_schema = %s GROUP BY table_name, index_name, non_unique, index_type"),
    ("SELECT concat('foreign key ', constraint_name, ' on ', table_name, ' to ', referenced_table_name, ' ', update_rule, ' ', delete_rule)"
     " FROM information_schema.referential_constraints WHERE constraint_schema = %s"),
    "SELECT concat('check ', constraint_name, ' on ', table_name, ' ', check_clause) FROM information_schema.check_constraints WHERE constraint_schema = %s",
    ("SELECT concat_ws(' ', 'trigger', trigger_name, action_timing, event_manipulation, 'on', event_object_table, action_order, md5(action_statement), definer,"
     " sql_mode, character_set_client, collation_connection) FROM information_schema.triggers WHERE trigger_schema = %s"),
    ("SELECT concat_ws(' ', lower(routine_type), routine_name, md5(coalesce(routine_definition, '')), dtd_identifier, is_deterministic, sql_data_access,"
     f" sql_mode, {CREATED_WITH}) FROM information_schema.routines WHERE routine_schema = %s"),
    ("SELECT concat_ws(' ', 'parameter of', specific_name, ordinal_position, parameter_mode, parameter_name, dtd_identifier)"
     " FROM information_schema.parameters WHERE specific_schema = %s"),
    # What a view is made of names its database.
    ("SELECT concat_ws(' ', 'view', table_name, md5(replace(view_definition, concat('`', replace(table_schema, '`', '``'), '`.'), '')), check_option,"
     f" {CREATED_WITH}, algorithm) FROM information_schema.views WHERE table_schema = %s"),
)
# 60 bits of each row's digest: sums of those fit into a decimal.
DIGEST = "CAST(CONV(SUBSTRING(SHA2(CONCAT_WS('.', {values}), 256), 1, 15), 16, 10) AS DECIMAL(20))"


def prepare_session(session: Connection) -> None:
    """Give a session the settings under which equal values are equal texts."""
    session.run(SETTINGS)


def read(session: Connection) -> Content:
    """The content of the session's database, in its snapshot."""
    names = [name for (name,) in session.rows(TABLES, (session.database,))]
    created = {name: definition(session, name) for name in names}
    tables = {name: _table(session, name, created[name]) for name in names}
    structure = {sentence for query in STRUCTURE for (sentence,) in session.rows(query, (session.database,))}
    structure |= {f"definition of {name}, which has the digest {hashlib.sha256(text.encode()).hexdigest()[:16]}" for name, text in created.items()}
    return Content(tables=tables, structure=frozenset(structure), sequences=read_sequences(session))


def read_sequences(session: Connection) -> dict[str, int | None]:
    """Where every table's next number, and every sequence, stands: these are current values, because a snapshot does not hold them."""
    found = dict(session.rows(COUNTERS, (session.database,)))
    for (name,) in session.rows(SEQUENCES, (session.database,)):
        found[name] = session.value(f"SELECT next_not_cached_value FROM {identifier(session.database, name)}")
    return found


def definition(session: Connection, table: str) -> str:
    """The statement that creates a table, without where its next number stands."""
    return COUNTER.sub("", session.rows(f"SHOW CREATE TABLE {identifier(session.database, table)}")[0][1])


def is_versioned(created: str) -> bool:
    """Whether a table keeps the former versions of its rows."""
    return created.endswith("WITH SYSTEM VERSIONING") or " WITH SYSTEM VERSIONING\n" in created


def has_history_by_transaction(created: str) -> bool:
    """Whether it keeps them by the numbers of transactions, which mean nothing in a copy."""
    return is_versioned(created) and BY_TRANSACTION.search(created) is not None


def _table(session: Connection, name: str, created: str) -> dict[str, Any]:
    """Rows, and a sum that does not depend on their order. Each value counts by its digest, so that a long one needs no longer text."""
    columns = [_exactly(identifier(column), kind) for column, kind in session.rows(COLUMNS, (session.database, name))]
    history = ""
    if is_versioned(created):
        history = " FOR SYSTEM_TIME ALL"
        columns += [] if PERIOD.search(created) else ["ROW_START", "ROW_END"]
    values = ", ".join(f"COALESCE(MD5({column}), '-')" for column in columns)
    rows, total = session.rows(f"SELECT count(*), coalesce(sum({DIGEST.format(values=values)}), 0) FROM {identifier(session.database, name)}{history}")[0]
    return {"rows": rows, "sum": str(total)}


def _exactly(column: str, kind: str) -> str:
    """A column such that unequal values are unequal texts: as a text, a FLOAT has six digits."""
    return f"CAST({column} AS DOUBLE)" if kind == "float" else column
