# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database holds: its structure, the rows of every table and a sum over their content. Two databases are equal when these are.

Objects that belong to extensions are left out: a dump does not hold them, it creates the extension anew.
Expressions (of defaults, checks, index predicates) are compared by where they are, not by their text, which PostgreSQL words differently after a restore.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Mapping

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, identifier

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
# A large table, and a dump that waits, take their time.
PATIENCE = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "transaction_timeout": "0", "lock_timeout": "30s"}

DIFFERENCES_TOLD = 5
# How much is read: the structure alone, the rows of each table too, and a sum of their content.
DEPTHS = STRUCTURES, ROWS, CONTENT = "structure", "rows", "content"

OWN = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
NOT_OF_EXTENSION = "NOT EXISTS (SELECT FROM pg_depend AS x WHERE x.classid = '{catalog}'::regclass AND x.objid = {oid} AND x.deptype = 'e')"
RELATIONS = f"pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace AND {OWN} AND {NOT_OF_EXTENSION.format(catalog='pg_class', oid='c.oid')}"

TABLES = f"""
SELECT c.oid::bigint, n.nspname, c.relname FROM {RELATIONS}
 WHERE c.relkind = 'r' AND strpos(%s, c.relpersistence::text) > 0 ORDER BY 2, 3
"""
COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attname"

SEQUENCES = f"""
SELECT format('%I.%I', n.nspname, c.relname), s.last_value FROM {RELATIONS} JOIN pg_sequences AS s ON s.schemaname = n.nspname AND s.sequencename = c.relname
 WHERE c.relkind = 'S'
"""

# Each row is one sentence about one thing.
STRUCTURE = (
    f"""
SELECT format('%s %I.%I', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
              WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type' END, n.nspname, c.relname)
  FROM {RELATIONS} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relpersistence <> 't'
""",
    f"""
SELECT format('column %I.%I.%I %s', n.nspname, c.relname, a.attname,
              concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END, CASE WHEN a.atthasdef THEN 'default' END,
                        nullif('identity ' || a.attidentity::text, 'identity '), nullif('generated ' || a.attgenerated::text, 'generated ')))
  FROM {RELATIONS} JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't'
""",
    # A dump leaves invalid indexes out.
    f"""
SELECT format('index %I.%I on %I (%s)%s%s%s using %s', n.nspname, c.relname, t.relname,
              (SELECT string_agg(CASE WHEN k.attnum = 0 THEN 'expression' ELSE pg_get_indexdef(i.indexrelid, k.place::int, false) END, ', ' ORDER BY k.place)
                 FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)),
              CASE WHEN i.indisunique THEN ' unique' END, CASE WHEN i.indisprimary THEN ' primary' END, CASE WHEN i.indpred IS NOT NULL THEN ' partial' END,
              m.amname)
  FROM {RELATIONS} JOIN pg_index AS i ON i.indexrelid = c.oid AND (i.indisvalid OR c.relkind = 'I') JOIN pg_class AS t ON t.oid = i.indrelid
  JOIN pg_am AS m ON m.oid = c.relam WHERE t.relpersistence <> 't'
""",
    # What a partition has from its parent (conparentid) has a name that the server makes up.
    f"""
SELECT format('constraint %I on %I.%I: %s%s', o.conname, n.nspname, c.relname,
              CASE WHEN o.contype = 'c' THEN 'CHECK' WHEN o.contype = 'x' THEN 'EXCLUDE' ELSE pg_get_constraintdef(o.oid) END,
              CASE WHEN NOT o.convalidated THEN ' not validated' END)
  FROM {RELATIONS} JOIN pg_constraint AS o ON o.conrelid = c.oid AND o.conparentid = 0 AND o.contype IN ('c', 'f', 'p', 'u', 'x')
 WHERE c.relpersistence <> 't'
""",
    f"""
SELECT format('trigger %I on %I.%I %s', g.tgname, n.nspname, c.relname, g.tgenabled)
  FROM {RELATIONS} JOIN pg_trigger AS g ON g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0
""",
    f"""
SELECT format('routine %I.%I(%s) %s', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), md5(p.prosrc))
  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {OWN} AND {NOT_OF_EXTENSION.format(catalog='pg_proc', oid='p.oid')}
""",
    f"""
SELECT format('enum %I.%I (%s)', n.nspname, t.typname, (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
              FROM pg_enum AS e WHERE e.enumtypid = t.oid))
  FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
 WHERE t.typtype = 'e' AND {OWN} AND {NOT_OF_EXTENSION.format(catalog='pg_type', oid='t.oid')}
""",
    "SELECT format('%s large objects', count(*)) FROM pg_largeobject_metadata",
)


@dataclass(frozen=True)
class Content:
    """`tables`: qualified name to `{rows, sum}`; `structure`: a sentence per object; `sequences`: qualified name to its last value."""

    tables: Mapping[str, Mapping]
    structure: frozenset[str]
    sequences: Mapping[str, int | None]

    @property
    def rows(self) -> int:
        """The rows of all tables together."""
        return sum(facts["rows"] for facts in self.tables.values())

    def as_json(self) -> dict:
        """The content as JSON can hold it, and `of_json` reads it again."""
        return {"tables": dict(self.tables), "structure": sorted(self.structure), "sequences": dict(self.sequences)}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Content:
        """What `as_json` wrote; KeyError or TypeError when it did not write this."""
        return cls(tables=content["tables"], structure=frozenset(content["structure"]), sequences=content["sequences"])


def settle_session(connection: Connection) -> None:
    """Give a session the settings under which equal values are equal texts, on every server and for every role."""
    connection.rows(
        "SELECT set_config(s.name, wanted.value, false)"
        " FROM json_each_text(%s::json) AS wanted(name, value) JOIN pg_settings AS s ON lower(s.name) = wanted.name",
        (json.dumps({**TEXT_SETTINGS, **PATIENCE}),),
    )


def read(connection: Connection) -> Content:
    """The content of the session's database, in the session's snapshot. Every table stays locked against changes of its structure until that ends."""
    return replace(_read(connection, "pu"), sequences=read_sequences(connection))


def read_logged(connection: Connection, depth: str = CONTENT) -> Content:
    """The same of what the write-ahead log holds exactly: unlogged tables come back empty, and sequences ahead of where they stood.

    :param depth: one of `DEPTHS`; what is not read is left out, as by `reduced`.
    """
    return _read(connection, "p", depth)


def reduced(content: Content, depth: str) -> Content:
    """The content without what is deeper: without the sums, or with the structure alone."""
    if depth == CONTENT:
        return content
    return replace(content, tables={} if depth == STRUCTURES else {name: {"rows": facts["rows"], "sum": None} for name, facts in content.tables.items()})


def _read(connection: Connection, persistences: str, depth: str = CONTENT) -> Content:
    tables = {}
    for oid, schema, name in connection.rows(TABLES, (persistences,)) if depth != STRUCTURES else ():
        tables[f"{schema}.{name}"] = _table(connection, oid, schema, name) if depth == CONTENT else _counted(connection, schema, name)
    return Content(tables=tables, structure=_structure(connection), sequences={})


def read_sequences(connection: Connection) -> dict[str, int | None]:
    """The last value of every sequence: as of now, a snapshot does not hold them."""
    return dict(connection.rows(SEQUENCES))


def steady(content: Content, sequences_after: Mapping[str, int | None]) -> Content:
    """The content with those sequences only that still stand where they stood: the others moved while the backup was taken, and cannot be judged."""
    return replace(content, sequences={name: value for name, value in content.sequences.items() if value == sequences_after.get(name, object())})


def differences(original: Content, copy: Content) -> list[str]:
    """What is not the same in the copy: one sentence each, none when all is equal. Only the sequences that `original` names are judged."""
    found = [f"is missing: {thing}" for thing in sorted(original.structure - copy.structure)]
    found += [f"is not in the original: {thing}" for thing in sorted(copy.structure - original.structure)]
    for name in sorted(original.tables.keys() & copy.tables.keys()):
        expected, got = original.tables[name], copy.tables[name]
        if expected["rows"] != got["rows"]:
            found.append(f"{name} has {got['rows']} rows instead of {expected['rows']}")
        elif expected["sum"] != got["sum"]:
            found.append(f"{name} has as many rows ({got['rows']}), but their content differs")
    for name in sorted(original.sequences.keys() & copy.sequences.keys()):
        if copy.sequences[name] != original.sequences[name]:
            found.append(f"the sequence {name} stands at {copy.sequences[name]} instead of {original.sequences[name]}")
    return found


def told(found: list[str]) -> str:
    """The first differences as one line, and how many more there are."""
    more = len(found) - DIFFERENCES_TOLD
    return "; ".join(found[:DIFFERENCES_TOLD]) + (f"; and {more} more" if more > 0 else "")


def _table(connection: Connection, oid: int, schema: str, name: str) -> dict:
    """Rows, and a sum that does not depend on their order; columns by name, since a restored table may have them in another order."""
    columns = ", ".join(identifier("t", column) for (column,) in connection.rows(COLUMNS, (oid,)))
    rows, total = connection.rows(
        f"""SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text COLLATE "C", 0)::numeric), 0)::text FROM ONLY {identifier(schema, name)} AS t"""
    )[0]
    return {"rows": rows, "sum": total}


def _counted(connection: Connection, schema: str, name: str) -> dict:
    return {"rows": connection.value(f"SELECT count(*) FROM ONLY {identifier(schema, name)}"), "sum": None}


def _structure(connection: Connection) -> frozenset[str]:
    return frozenset(sentence for query in STRUCTURE for (sentence,) in connection.rows(query))
