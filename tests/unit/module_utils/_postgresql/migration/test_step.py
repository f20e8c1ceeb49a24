# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.index_statement import IndexStatement
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import BATCH, INDEX, TRANSACTION, cursor_positions, with_cursor
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.dialect import POSTGRESQL
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.index_statement import index_statement
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.step import PostgresqlStep

SOME = "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL LIMIT 10)"
NEXT = "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE id > :after ORDER BY id LIMIT 10) RETURNING id"


def step(script):
    return PostgresqlStep("2.0.0", "expand", "001_a", script)


@pytest.mark.parametrize(
    ("script", "kind", "after", "accepted"),
    [
        ("SELECT 1", TRANSACTION, None, set()),
        ("-- alwayson.migration holds it\nSELECT 1", TRANSACTION, None, set()),
        ("/* licence */ -- alwayson: batch\n" + SOME, BATCH, None, set()),
        ("--alwayson:  batch  after  -5\n" + NEXT, BATCH, "-5", set()),
        ("-- alwayson: batch after 0\n" + NEXT.replace(" RETURNING id", ""), BATCH, "0", set()),
        ("-- alwayson: batch\n" + SOME.replace("LIMIT 10", "LIMIT 10 FOR UPDATE SKIP LOCKED"), BATCH, None, set()),
        ("-- alwayson: batch after 0\nSELECT id FROM t WHERE id > :after ORDER BY id LIMIT 5; DELETE FROM t WHERE id > :after AND id <= :last;", BATCH,
         "0", set()),
        ("\n-- why\n-- alwayson: concurrently\nDROP INDEX CONCURRENTLY i", INDEX, None, set()),
        ("-- alwayson: accept lock-table, ban-x\n-- alwayson: accept other\nLOCK TABLE t", TRANSACTION, None, {"lock-table", "ban-x", "other"}),
        ("SELECT '-- alwayson: batch'", TRANSACTION, None, set()),
    ],
)
def test_a_script_says_how_it_is_applied(script, kind, after, accepted):
    found = step(script).directives
    assert (found.kind, found.after, found.accepted, found.objection) == (kind, after, accepted, "")
    assert step(script).objection() is None


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("-- alwayson: batches\n" + SOME, "line 1 says '-- alwayson: batches', which is none of: batch"),
        ("-- alwayson: accept\nSELECT 1", "which is none of"),
        ("SELECT 1;\n-- alwayson: batch\n", "line 2 says '-- alwayson: batch', which is only valid before the first statement"),
        ("-- alwayson: batch\n-- alwayson: concurrently\n" + SOME, "it has several directives"),
        ("-- alwayson: batch\n" + SOME + "; SELECT 1", "a batch step is one statement that changes rows"),
        ("-- alwayson: batch\nSELECT 1 LIMIT 1", "a batch step is one statement that changes rows"),
        ("-- alwayson: batch\nUPDATE t SET a = 1", "nothing bounds its batches"),
        ("-- alwayson: batch after 0\n" + NEXT.replace("LIMIT 10", "LIMIT 10 FOR UPDATE SKIP LOCKED"), "SKIP LOCKED is in it"),
        ("-- alwayson: batch after 0\nSELECT id FROM t WHERE id > :after LIMIT 1; DELETE FROM t", "a batch step is one statement that changes rows"),
        ("-- alwayson: batch\nSELECT id FROM t LIMIT 1; DELETE FROM t WHERE id <= :last", "a batch step is one statement that changes rows"),
        ("-- alwayson: batch\n" + NEXT, "a cursor needs both"),
        ("-- alwayson: batch after 0\n" + SOME, "a cursor needs both"),
        ("-- alwayson: concurrently\nCREATE INDEX i ON t (a)", "has one of the forms: CREATE"),
        ("-- alwayson: concurrently\nCREATE INDEX CONCURRENTLY ON t (a)", "has one of the forms"),
        ("-- alwayson: concurrently\nDROP INDEX CONCURRENTLY a, b", "has one of the forms"),
        ("-- alwayson: concurrently\nREINDEX DATABASE CONCURRENTLY d", "has one of the forms"),
        ("-- alwayson: concurrently\nDROP INDEX CONCURRENTLY a; SELECT 1", "is one statement"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "begins with the line: -- alwayson: concurrently"),
    ],
)
def test_misuse_is_reported(script, why):
    assert why in step(script).objection()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY I ON ONLY shop.Orders USING btree (a) WHERE b;", IndexStatement("CREATE", ("i",), ("shop", "orders"))),
        ('create unique index concurrently if not exists "My ""I" on "T x"(a)', IndexStatement("CREATE", ('My "I',), ("T x",), True)),
        ("CREATE INDEX CONCURRENTLY Größe_ÄÖ ON Ünder (a)", IndexStatement("CREATE", ("größe_ÄÖ",), ("Ünder",))),
        ("DROP INDEX CONCURRENTLY IF EXISTS shop.i RESTRICT", IndexStatement("DROP", ("shop", "i"), (), True)),
        ("DROP INDEX CONCURRENTLY i /* gone */ ;", IndexStatement("DROP", ("i",))),
        ("REINDEX (VERBOSE, TABLESPACE x) INDEX CONCURRENTLY i", IndexStatement("REINDEX", ("i",))),
        ("REINDEX TABLE CONCURRENTLY s.t", IndexStatement("REINDEX", (), ("s", "t"))),
        ("CREATE INDEX CONCURRENTLY", None),
        ("DROP INDEX CONCURRENTLY i CASCADE", None),
        ("", None),
    ],
)
def test_an_index_statement_is_understood(script, expected):
    assert index_statement(script) == expected


def test_the_same_index_can_be_built_elsewhere():
    statement = index_statement("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY shop.o /* ; */ USING gin (a, (b || ' ON ')) WHERE c;\n")
    assert statement.on("x.y") == "CREATE UNIQUE INDEX ON x.y  /* ; */ USING gin (a, (b || ' ON ')) WHERE c"


def test_the_cursor_is_replaced_where_it_is_one():
    script = "SELECT ':after', x::after -- :after\n FROM t WHERE a > :after AND b > :AFTER AND c = :afterwards"
    assert len(cursor_positions(script, POSTGRESQL)) == 2
    assert with_cursor(script, "'7'", POSTGRESQL) == script.replace("> :after", "> '7'").replace("> :AFTER", "> '7'")
