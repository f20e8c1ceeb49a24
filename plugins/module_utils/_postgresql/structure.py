# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The structure of a PostgreSQL database as sentences, one about each thing that a dump keeps.

Expressions (of defaults, checks, views, index predicates) are compared by where they are, not by their text, which PostgreSQL words differently after a
restore. Left out is what the proof of a dump does not restore: owners, privileges, security labels, publications, subscriptions, event triggers, comments on
extensions, and `EXISTING_ONCE`. Objects of extensions are left out too: a dump does not hold them, it creates the extension again.
"""

from __future__ import annotations

from .session import Connection

# Extensions that one database of a server can have, each with the schema of what it keeps. No copy beside the original can have them.
EXISTING_ONCE = {"pg_cron": "cron"}

OWN = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
NOT_OF_EXTENSION = "NOT EXISTS (SELECT FROM pg_depend AS x WHERE x.classid = '{catalog}'::regclass AND x.objid = {oid} AND x.deptype = 'e')"
RELATIONS = f"pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace AND {OWN} AND {NOT_OF_EXTENSION.format(catalog='pg_class', oid='c.oid')}"
# Of what belongs to such an extension's tables, without being the extension's itself.
NOT_ONCE = f"""NOT EXISTS (SELECT FROM pg_depend AS x JOIN pg_extension AS e ON e.oid = x.refobjid AND x.refclassid = 'pg_extension'::regclass
 WHERE x.classid = 'pg_class'::regclass AND x.objid = {{table}} AND x.deptype = 'e' AND e.extname IN ({', '.join(map(repr, EXISTING_ONCE))}))"""
FIRST_OF_USERS = 16384
# Columns that older servers do not have are read through JSON.
SORTED = "(SELECT string_agg(o, ', ' ORDER BY o) FROM unnest({options}) AS o)"
# PostgreSQL 15.20 keeps a `pg_attver` in each column, which differs in a copy: pg_dump leaves it out, and what a user sets it to is ignored.
COLUMN_OPTIONS = SORTED.format(options="array(SELECT own FROM unnest(a.attoptions) AS own WHERE split_part(own, '=', 1) <> 'pg_attver')")
PROPERTIES = f"""
concat_ws(', ', CASE WHEN c.relpersistence = 'u' THEN 'unlogged' END, CASE WHEN NOT c.relispopulated THEN 'not populated' END,
          CASE WHEN c.relrowsecurity THEN 'row security' END, CASE WHEN c.relforcerowsecurity THEN 'forced row security' END,
          CASE WHEN c.relkind IN ('r', 'p', 'm') THEN 'replica identity ' || c.relreplident::text END,
          'access method ' || (SELECT m.amname FROM pg_am AS m WHERE m.oid = c.relam), 'with ' || {SORTED.format(options='c.reloptions')},
          'toast with ' || (SELECT {SORTED.format(options='t.reloptions')} FROM pg_class AS t WHERE t.oid = c.reltoastrelid),
          'partitioned by ' || (SELECT p.partstrat::text || ' ' || p.partattrs::text FROM pg_partitioned_table AS p WHERE p.partrelid = c.oid),
          'below ' || (SELECT string_agg(h.inhparent::regclass::text, ', ' ORDER BY h.inhseqno) FROM pg_inherits AS h WHERE h.inhrelid = c.oid),
          pg_get_expr(c.relpartbound, c.oid),
          (SELECT concat_ws(' ', 'of server', s.srvname, array_to_string(f.ftoptions, ', '))
             FROM pg_foreign_table AS f JOIN pg_foreign_server AS s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid))
"""
# Objects that have no statement of their own below: by the catalog, with their other properties. `o` is the catalog's row.
OTHERS = {
    "pg_am": "NULL", "pg_cast": "o.castcontext::text || o.castmethod::text", "pg_collation": "o.collprovider::text || o.collisdeterministic::text",
    "pg_conversion": "NULL", "pg_extension": "NULL", "pg_foreign_data_wrapper": "md5(o.fdwoptions::text)", "pg_foreign_server": "md5(o.srvoptions::text)",
    "pg_language": "NULL", "pg_namespace": "NULL", "pg_opclass": "o.opcdefault::text", "pg_operator": "o.oprcode::text", "pg_opfamily": "NULL",
    "pg_policy": "o.polcmd::text || o.polpermissive::text", "pg_rewrite": "o.ev_type::text || o.ev_enabled::text", "pg_statistic_ext": "o.stxkind::text",
    "pg_transform": "NULL", "pg_ts_config": "NULL", "pg_ts_dict": "md5(o.dictinitoption)", "pg_ts_parser": "NULL", "pg_ts_template": "NULL",
}
# The schema public is in a new database already.
CONDITIONS = {"pg_rewrite": f"o.rulename <> '_RETURN' AND {NOT_ONCE.format(table='o.ev_class')}", "pg_policy": NOT_ONCE.format(table="o.polrelid"),
              "pg_namespace": "o.nspname <> 'public'",
              "pg_extension": f"o.extname NOT IN ({', '.join(map(repr, EXISTING_ONCE))})"}
IDENTIFIED = """
SELECT concat_ws(' ', i.type, i.identity, {detail}) FROM {catalog} AS o, pg_identify_object('{catalog}'::regclass, o.oid, 0) AS i
 WHERE o.oid >= {first} AND {condition} AND coalesce(i.schema, '') !~ '^pg_' AND i.identity !~ '^pg_(temp|toast)' AND {not_of_extension}
"""

# Each row is one sentence about one thing.
STRUCTURE = (
    f"""
SELECT format('%s %I.%I (%s)', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN
              'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type' END, n.nspname, c.relname, {PROPERTIES})
  FROM {RELATIONS} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relpersistence <> 't'
""",
    f"""
SELECT format('column %I.%I.%I %s', n.nspname, c.relname, a.attname,
              concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END, CASE WHEN a.atthasdef THEN 'default' END,
                        nullif('identity ' || a.attidentity::text, 'identity '), nullif('generated ' || a.attgenerated::text, 'generated '),
                        CASE WHEN a.attcollation <> t.typcollation THEN 'collate ' || a.attcollation::regcollation END,
                        CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
                        nullif('compression ' || coalesce(to_jsonb(a) ->> 'attcompression', ''), 'compression '),
                        'statistics ' || nullif(to_jsonb(a) ->> 'attstattarget', '-1'), {COLUMN_OPTIONS},
                        {SORTED.format(options='a.attfdwoptions')}))
  FROM {RELATIONS} JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't'
""",
    f"""
SELECT format('sequence %I.%I %s from %s by %s between %s and %s, cache %s%s', n.nspname, c.relname, s.seqtypid::regtype, s.seqstart, s.seqincrement,
              s.seqmin, s.seqmax, s.seqcache,
              concat(CASE WHEN s.seqcycle THEN ', cycles' END, ', of ' || (SELECT format('%s.%I', d.refobjid::regclass, a.attname)
              FROM pg_depend AS d JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0)))
  FROM {RELATIONS} JOIN pg_sequence AS s ON s.seqrelid = c.oid WHERE c.relpersistence <> 't'
""",
    # A dump leaves invalid indexes out.
    f"""
SELECT format('index %I.%I on %I (%s)%s%s%s using %s%s', n.nspname, c.relname, t.relname,
              (SELECT string_agg(CASE WHEN k.attnum = 0 THEN 'expression' ELSE pg_get_indexdef(i.indexrelid, k.place::int, false) END, ', ' ORDER BY k.place)
                 FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)),
              CASE WHEN i.indisunique THEN ' unique' END, CASE WHEN i.indisprimary THEN ' primary' END, CASE WHEN i.indpred IS NOT NULL THEN ' partial' END,
              m.amname,
              concat(' ', (SELECT string_agg(concat_ws(' ', p.opcname, l.collname, k.option::text), ', ' ORDER BY k.place)
                             FROM unnest(i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[]) WITH ORDINALITY AS k(class, collation_, option, place)
                             LEFT JOIN pg_opclass AS p ON p.oid = k.class LEFT JOIN pg_collation AS l ON l.oid = k.collation_),
                     CASE WHEN to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' THEN ', nulls not distinct' END,
                     CASE WHEN i.indisclustered THEN ', clustered' END, CASE WHEN i.indisreplident THEN ', replica identity' END,
                     ', with ' || {SORTED.format(options='c.reloptions')}))
  FROM {RELATIONS} JOIN pg_index AS i ON i.indexrelid = c.oid AND (i.indisvalid OR c.relkind = 'I') JOIN pg_class AS t ON t.oid = i.indrelid
  JOIN pg_am AS m ON m.oid = c.relam WHERE t.relpersistence <> 't' AND {NOT_ONCE.format(table='t.oid')}
""",
    # What a partition has from its parent (conparentid) has a name that the server makes up.
    f"""
SELECT format('constraint %I on %I.%I: %s%s', o.conname, n.nspname, c.relname,
              CASE WHEN o.contype = 'c' THEN 'CHECK' WHEN o.contype = 'x' THEN 'EXCLUDE' ELSE pg_get_constraintdef(o.oid) END,
              concat(CASE WHEN NOT o.convalidated THEN ' not validated' END, CASE WHEN o.condeferrable THEN ' deferrable' END,
                     CASE WHEN o.condeferred THEN ' deferred' END, CASE WHEN o.connoinherit AND o.contype = 'c' THEN ' no inherit' END))
  FROM {RELATIONS} JOIN pg_constraint AS o ON o.conrelid = c.oid AND o.conparentid = 0 AND o.contype IN ('c', 'f', 'p', 'u', 'x')
 WHERE c.relpersistence <> 't'
""",
    f"""
SELECT format('trigger %I on %I.%I %s', g.tgname, n.nspname, c.relname,
              concat_ws(' ', g.tgenabled::text, g.tgfoid::regproc::text, g.tgtype::text, g.tgattr::text, encode(g.tgargs, 'hex'), g.tgoldtable, g.tgnewtable,
                        CASE WHEN g.tgqual IS NOT NULL THEN 'when' END, CASE WHEN g.tgdeferrable THEN 'deferrable' END))
  FROM {RELATIONS} JOIN pg_trigger AS g ON g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0
""",
    f"""
SELECT format('routine %I.%I(%s) %s', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
              concat_ws(' ', md5(concat(p.prosrc, p.probin)), l.lanname, p.prokind::text, p.provolatile::text, p.proparallel::text, p.procost::text,
                        p.prorows::text, p.pronargdefaults::text, CASE WHEN p.prosecdef THEN 'security definer' END, CASE WHEN p.proisstrict THEN 'strict' END,
                        CASE WHEN p.proleakproof THEN 'leakproof' END, pg_get_function_result(p.oid), p.proconfig::text,
                        (SELECT concat_ws(' ', g.aggtransfn::text, g.aggfinalfn::text, g.agginitval) FROM pg_aggregate AS g WHERE g.aggfnoid = p.oid)))
  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
 WHERE {OWN} AND {NOT_OF_EXTENSION.format(catalog='pg_proc', oid='p.oid')}
""",
    f"""
SELECT format('type %I.%I: %s', n.nspname, t.typname,
              concat_ws(' ', t.typtype::text, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
                        CASE WHEN t.typnotnull THEN 'not null' END, CASE WHEN t.typdefault IS NOT NULL THEN 'default' END,
                        (SELECT format_type(r.rngsubtype, NULL) FROM pg_range AS r WHERE r.rngtypid = t.oid),
                        (SELECT string_agg(concat(o.conname, CASE WHEN NOT o.convalidated THEN ' not validated' END), ', ' ORDER BY o.conname)
                           FROM pg_constraint AS o WHERE o.contypid = t.oid AND o.contype = 'c'),
                        (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid)))
  FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
 WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm') AND t.typelem = 0 AND {OWN} AND {NOT_OF_EXTENSION.format(catalog='pg_type', oid='t.oid')}
""",
    "SELECT format('%s large objects', count(*)) FROM pg_largeobject_metadata",
    # Comments on what is not restored, or left out above, are not reported.
    """
SELECT format('comment on %s %s: %s', i.type, i.identity, md5(d.description))
  FROM pg_description AS d, pg_identify_object(d.classoid, d.objoid, d.objsubid) AS i
 WHERE d.objoid >= 16384 AND d.classoid NOT IN ('pg_extension'::regclass, 'pg_publication'::regclass, 'pg_event_trigger'::regclass)
   AND d.classoid <> 'pg_subscription'::regclass AND i.identity <> 'public' AND coalesce(i.schema, '') !~ '^pg_' AND i.identity !~ '^pg_(temp|toast)'
   AND NOT EXISTS (SELECT FROM pg_depend AS x WHERE x.classid = d.classoid AND x.objid = d.objoid AND x.deptype = 'e')
   AND NOT EXISTS (SELECT FROM pg_index AS x WHERE x.indexrelid = d.objoid AND d.classoid = 'pg_class'::regclass AND NOT x.indisvalid)
""",
    *(IDENTIFIED.format(catalog=catalog, detail=detail, first=FIRST_OF_USERS, condition=CONDITIONS.get(catalog, "true"),
                        not_of_extension=NOT_OF_EXTENSION.format(catalog=catalog, oid="o.oid")) for catalog, detail in OTHERS.items()),
)


def read(connection: Connection) -> frozenset[str]:
    """The sentences about the session's database."""
    return frozenset(sentence for query in STRUCTURE for (sentence,) in connection.rows(query))
