# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PostgreSQL database holds, see `_database.content`.

A materialized view that is restored from a dump is computed again, so what it holds is compared in copies of a whole server alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._database.content import CONTENT, STRUCTURES, Content
from . import structure
from .environment import PATIENCE
from .session import Connection, identifier
from .structure import RELATIONS

# How values look as text depends on these, and a database or a role may have its own.
TEXT_SETTINGS = {
    "search_path": "",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmloption": "content",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
    # Rows that a policy hides from this role are an error, not silently missing.
    "row_security": "off",
}

# A row of a table that is partitioned by hash may be in another partition of a copy: an enumeration's values hash by numbers that the copy makes up.
TABLES = f"""
SELECT c.oid::bigint, n.nspname, c.relname, coalesce(w.whole, format('%%s.%%s', n.nspname, c.relname)) FROM {RELATIONS}
  LEFT JOIN LATERAL (
       SELECT format('%%s.%%s', m.nspname, r.relname) AS whole FROM pg_partition_ancestors(c.oid) WITH ORDINALITY AS a(relation, height)
         JOIN pg_partitioned_table AS p ON p.partrelid = a.relation AND p.partstrat = 'h'
         JOIN pg_class AS r ON r.oid = a.relation JOIN pg_namespace AS m ON m.oid = r.relnamespace ORDER BY a.height DESC LIMIT 1) AS w ON true
 WHERE strpos(%s, c.relkind::text) > 0 AND strpos(%s, c.relpersistence::text) > 0 AND c.relispopulated ORDER BY 2, 3
"""
COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attname"

SEQUENCES = f"SELECT n.nspname, c.relname FROM {RELATIONS} WHERE c.relkind = 'S' AND c.relpersistence <> 't' ORDER BY 1, 2"
SEQUENCES_AT_ONCE = 200

# Of each its number, its length and a digest of every piece of it.
LARGE_OBJECTS = """
WITH opened AS MATERIALIZED (SELECT m.oid, lo_open(m.oid, 262144) AS handle FROM pg_largeobject_metadata AS m WHERE m.oid BETWEEN %s AND %s),
     measured AS MATERIALIZED (SELECT oid, handle, lo_lseek64(handle, 0, 2) AS length FROM opened),
     closed AS MATERIALIZED (SELECT oid, length, lo_close(handle) FROM measured)
SELECT coalesce(sum(hashtextextended(concat_ws(' ', c.oid, c.length, p.place, md5(lo_get(c.oid, p.place, 8388608))), 0)::numeric), 0)::text
  FROM closed AS c, generate_series(0, c.length, 8388608) AS p(place)
"""
LARGE_OBJECTS_AT_ONCE = 100
LARGE_OBJECTS_NAME = "large objects"


def prepare_session(connection: Connection) -> None:
    """Give a session the settings under which equal values are equal texts, on every server and for every role."""
    connection.rows(
        "SELECT set_config(s.name, wanted.value, false)"
        " FROM json_each_text(%s::json) AS wanted(name, value) JOIN pg_settings AS s ON lower(s.name) = wanted.name",
        (json.dumps({**TEXT_SETTINGS, **PATIENCE}),),
    )


def read(connection: Connection) -> Content:
    """The content of the session's database, in the session's snapshot. Every table stays locked against changes of its structure until that ends."""
    found = _read(connection, "r", "pu")
    return replace(found, tables={**found.tables, **_large_objects(connection)}, sequences=read_sequences(connection))


def read_logged(connection: Connection, depth: str = CONTENT) -> Content:
    """The same of what the write-ahead log holds exactly: unlogged tables come back empty, and sequences ahead of where they stood.

    :param depth: one of `DEPTHS`; what is not read is left out, as by `reduced`.
    """
    found = _read(connection, "rm", "p", depth)
    return replace(found, tables={**found.tables, **_large_objects(connection)}) if depth == CONTENT else found


def _read(connection: Connection, kinds: str, persistences: str, depth: str = CONTENT) -> Content:
    tables: dict[str, dict[str, Any]] = {}
    for oid, schema, name, whole in connection.rows(TABLES, (kinds, persistences)) if depth != STRUCTURES else ():
        part = _table(connection, oid, schema, name) if depth == CONTENT else _counted(connection, schema, name)
        tables[whole] = _together(tables[whole], part) if whole in tables else part
    return Content(tables=tables, structure=structure.read(connection), sequences={})


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two partitions of one table."""
    total = None if one["sum"] is None else str(int(one["sum"]) + int(other["sum"]))
    return {"rows": one["rows"] + other["rows"], "sum": total}


def read_sequences(connection: Connection) -> dict[str, str]:
    """The current value of every sequence: a snapshot does not hold them. Each is read as a table, which does not wait for ALTER SEQUENCE."""
    names = connection.rows(SEQUENCES)
    found: dict[str, str] = {}
    for place in range(0, len(names), SEQUENCES_AT_ONCE):
        some = names[place:place + SEQUENCES_AT_ONCE]
        values = connection.rows(" UNION ALL ".join(
            f"SELECT {number}, last_value::text || CASE WHEN is_called THEN '' ELSE ', not called' END FROM {identifier(*name)}"
            for number, name in enumerate(some)))
        found.update({".".join(some[number]): value for number, value in values})
    return found


def _large_objects(connection: Connection) -> dict[str, dict[str, Any]]:
    """All of them as if they were one table; nothing when there are none."""
    numbers = [number for (number,) in connection.rows("SELECT oid::bigint FROM pg_largeobject_metadata ORDER BY 1")]
    total = 0
    for place in range(0, len(numbers), LARGE_OBJECTS_AT_ONCE):
        some = numbers[place:place + LARGE_OBJECTS_AT_ONCE]
        total += int(connection.value(LARGE_OBJECTS, (some[0], some[-1])))
    return {LARGE_OBJECTS_NAME: {"rows": len(numbers), "sum": str(total)}} if numbers else {}


def _table(connection: Connection, oid: int, schema: str, name: str) -> dict[str, Any]:
    """Rows, and a sum that does not depend on their order; columns by name, since a restored table may have them in another order."""
    columns = ", ".join(identifier("t", column) for (column,) in connection.rows(COLUMNS, (oid,)))
    rows, total = connection.rows(
        f"""SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text COLLATE "C", 0)::numeric), 0)::text FROM ONLY {identifier(schema, name)} AS t"""
    )[0]
    return {"rows": rows, "sum": total}


def _counted(connection: Connection, schema: str, name: str) -> dict[str, Any]:
    return {"rows": connection.value(f"SELECT count(*) FROM ONLY {identifier(schema, name)}"), "sum": None}
