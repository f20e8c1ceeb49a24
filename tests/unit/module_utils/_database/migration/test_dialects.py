# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.sql import statements
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import StepError, constant, steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration.dialect import MARIADB
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration.step import MariadbStep
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.migration.dialect import SQLITE
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.migration.step import SqliteStep

CURSOR = "-- alwayson: batch after 0\nSELECT id FROM t WHERE id > :after LIMIT 5 FOR UPDATE;\nUPDATE t SET a = 1 WHERE id > :after AND id <= :last;"


def mariadb(sql):
    (step,) = steps_of("2.0.0", "expand", [{"name": "001_a", "sql": sql}], MariadbStep)
    return step


def sqlite(sql):
    (step,) = steps_of("2.0.0", "expand", [{"name": "001_a", "sql": sql}], SqliteStep)
    return step


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("SELECT 'a\\'; b', \"c;\\\"\"; SELECT 2", 2),
        ("# one; two\nSELECT 1 -- three;\n; /* ; /* */ SELECT 2", 2),
        ("SELECT 1--1; SELECT `a``;b`", 2),
        (("CREATE TRIGGER t BEFORE INSERT ON o FOR EACH ROW BEGIN IF a THEN SET b = 1; END IF; WHILE a DO SET c = CASE a WHEN 1 THEN 2 END; END WHILE; END; "
         "SELECT 1"), 2),
        ("CREATE PROCEDURE p() BEGIN CASE a WHEN 1 THEN SELECT 1; END CASE; BEGIN SELECT 2; END; END", 1),
        ("CREATE TABLE shifts (begin datetime, end datetime); DROP TABLE x", 2),
    ],
)
def test_the_statements_of_mariadb(script, count):
    assert len(statements(script, MARIADB)) == count


def test_the_statements_of_sqlite_with_their_lines():
    script = "-- first\nSELECT 'it''s; ';\nCREATE TRIGGER t AFTER INSERT ON [o;] BEGIN\n UPDATE o SET a = 1;\n SELECT 2; END;\n\nSELECT (1);"
    assert [(text.split()[0], line) for text, line in sqlite(script).parts()] == [("SELECT", 2), ("CREATE", 3), ("SELECT", 7)]
    assert sqlite(script).parts()[1][0].endswith("END") and "o;" in statements(script, SQLITE)[1].names


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("INSERT INTO t VALUES (1); UPDATE t SET a = 2; DO @a := 1", "transaction"),
        ("ALTER TABLE t ADD a int;", "statement"),
        ("-- why\nDROP INDEX i ON t", "statement"),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", "statement"),
        ("RENAME TABLE a TO b, c TO d", "statement"),
        ("CREATE UNIQUE INDEX i ON t (a)", "statement"),
        ("CREATE DEFINER=`a`@`b` FUNCTION f() RETURNS int BEGIN DELETE FROM t; RETURN 1; END", "statement"),
        ("-- alwayson: batch\nDELETE FROM t WHERE a LIMIT 5", "batch"),
        (CURSOR, "batch"),
    ],
)
def test_what_a_step_is_in_mariadb(script, kind):
    assert mariadb(script).kind == kind


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("# nothing", "it has no statement"),
        ("INSERT INTO t VALUES (1); CREATE TABLE u (a int)", "a change of the schema, which MariaDB commits, together with the statements before"),
        ("ALTER TABLE t ADD a int; INSERT INTO t VALUES (1)", "a step with one is that one statement alone"),
        ("START TRANSACTION", "START TRANSACTION is in it"),
        ("INSERT INTO t VALUES (1); COMMIT", "COMMIT is in it"),
        ("SET sql_mode = ''", "SET SQL_MODE is in it"),
        ("TRUNCATE t", "TRUNCATE leaves no trace"),
        ("LOCK TABLES t WRITE", "LOCK TABLES is in it"),
        ("DELIMITER //\nCREATE TRIGGER t", "DELIMITER is a command of the client"),
        ("/*! COMMIT */; SELECT 1", "is run by the server"),
        ("/*M!100100 COMMIT */; SELECT 1", "is run by the server"),
        ("CREATE OR REPLACE TABLE t (a int)", "drops the old one first"),
        ("DROP TABLE a, b", "drops them one after the other"),
        ("DROP DATABASE shop", "no change that a step can make to its database"),
        ("CREATE TEMPORARY TABLE t (a int)", "no change that a step can make to its database"),
        ("CREATE USER a", "no change that a step can make to its database"),
        ("ALTER TABLE t ADD PARTITION (PARTITION p VALUES LESS THAN (5))", "blocking-alter: the server cannot run this"),
        ("ALTER TABLE t ADD a int, LOCK=SHARED", "blocking-alter: the server cannot run this"),
        ("-- alwayson: concurrently\nCREATE INDEX i ON t (a)", "remove the line with concurrently"),
        ("-- alwayson: batch\nUPDATE t SET a = 1", "nothing bounds its batches"),
        ("-- alwayson: batch\nSELECT 1 LIMIT 1", "a batch step is one statement that changes rows"),
        ("-- alwayson: batch\nSELECT id FROM t WHERE id > :after LIMIT 1", "a cursor needs both"),
        ("-- alwayson: batch after 0\nDELETE FROM t LIMIT 1", "a cursor needs both"),
        (CURSOR.replace(":last", "9"), "a batch with :after has two statements"),
        (CURSOR.partition("UPDATE")[0], "a batch with :after has two statements"),
        (CURSOR.replace("FOR UPDATE", "FOR UPDATE SKIP LOCKED"), "SKIP LOCKED is in it"),
    ],
)
def test_what_cannot_be_a_step_in_mariadb(script, why):
    with pytest.raises(StepError) as refused:
        mariadb(script)
    assert str(refused.value).startswith("expand step 001_a of 2.0.0: ") and why in str(refused.value)


@pytest.mark.parametrize(
    ("script", "sent"),
    [
        ("-- why\nALTER TABLE t ADD a int; -- so\n", "-- why\nALTER TABLE t ADD a int, LOCK=NONE"),
        ("CREATE FULLTEXT INDEX i ON t (a)", "CREATE FULLTEXT INDEX i ON t (a) LOCK=NONE"),
        ("ALTER TABLE t ADD a int, LOCK=NONE", "ALTER TABLE t ADD a int, LOCK=NONE"),
        ("DROP INDEX i ON t", "DROP INDEX i ON t"),
        ("ALTER VIEW v AS SELECT 1", "ALTER VIEW v AS SELECT 1"),
        ("-- alwayson: accept blocking-alter\nALTER TABLE t MODIFY a bigint", "-- alwayson: accept blocking-alter\nALTER TABLE t MODIFY a bigint"),
    ],
)
def test_how_a_change_of_the_schema_is_sent(script, sent):
    assert mariadb(script).runnable() == sent


def test_how_a_cursor_s_value_is_written():
    assert [constant(value) for value in ("-1.50", "1e5", "it's")] == ["-1.50", "'1e5'", "'it''s'"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("-- nothing", "it has no statement"),
        ("BEGIN; SELECT 1", "BEGIN is in it"),
        ("SELECT 1; end", "END is in it"),
        ("ROLLBACK", "ROLLBACK is in it"),
        ("ATTACH 'x' AS y", "ATTACH is in it, but a step changes its own database only"),
        ("VACUUM", "VACUUM is in it"),
        ("PRAGMA foreign_keys = OFF", "PRAGMA is in it"),
        ("-- alwayson: concurrently\nCREATE INDEX i ON t (a)", "remove the line with concurrently"),
        ("-- alwayson: batch\nDELETE FROM t", "nothing bounds its batches"),
    ],
)
def test_what_cannot_be_a_step_in_sqlite(script, why):
    with pytest.raises(StepError) as refused:
        sqlite(script)
    assert why in str(refused.value)


def test_what_sqlite_takes():
    assert sqlite("SAVEPOINT s; INSERT INTO t VALUES (1); ROLLBACK TO s").kind == "transaction"
    assert sqlite("DELETE FROM t").changes_schema is False and sqlite("SELECT 1; DROP TABLE t").changes_schema is True
