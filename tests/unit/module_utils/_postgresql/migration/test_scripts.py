# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.sql import line_of, statements
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.dialect import POSTGRESQL
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.lock_wish import lock_wish
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.step import transaction_objection

ALLOWED = [
    "ALTER TABLE orders ADD COLUMN currency text",
    "-- COMMIT;\nSELECT 1",
    "/* BEGIN; /* nested */ COMMIT; */ SELECT 1",
    "SELECT 'COMMIT; BEGIN'; SELECT E'it\\'s; COMMIT'; SELECT \"commit\"",
    "DO $$ BEGIN PERFORM 1; END $$",
    "DO $body$ BEGIN PERFORM '$$; COMMIT'; END $body$",
    "CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN a > 0 THEN 1 ELSE 2 END; SELECT 3; END; SELECT 1",
    "SAVEPOINT s; INSERT INTO t VALUES (1); ROLLBACK TO s; RELEASE s",
    "ROLLBACK TO SAVEPOINT s",
    "SET LOCAL search_path TO shop; SET CONSTRAINTS ALL DEFERRED",
    "SET statement_timeout = '1h'",
    "UPDATE t SET lock_timeout = 5",
    "PREPARE p AS SELECT 1",
]
REFUSED = [
    ("", "no statement"),
    (" ; ;\n-- nothing\n/* at all */", "no statement"),
    ("BEGIN; SELECT 1; COMMIT", "BEGIN is in it"),
    ("SELECT 1; commit", "COMMIT is in it"),
    ("SELECT 1;\n-- done\nEnd;", "END is in it"),
    ("START TRANSACTION", "START is in it"),
    ("ROLLBACK", "ROLLBACK is in it"),
    ("ABORT", "ABORT is in it"),
    ("PREPARE TRANSACTION 'x'", "PREPARE is in it"),
    ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; COMMIT", "COMMIT is in it"),
    ("SET lock_timeout = 0", "lock_timeout"),
    ("set session LOCK_TIMEOUT to default", "lock_timeout"),
    ("SET LOCAL lock_timeout = '1h'", "lock_timeout"),
    ("RESET ALL", "lock_timeout"),
    ("RESET lock_timeout", "lock_timeout"),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "begins with the line: -- alwayson: concurrently"),
    ("SELECT 1; drop index concurrently i", "DROP INDEX cannot run in a transaction"),
    ("REINDEX TABLE CONCURRENTLY t", "REINDEX TABLE cannot run in a transaction"),
    ("VACUUM FULL t", "VACUUM FULL cannot run in a transaction"),
]


@pytest.mark.parametrize("script", ALLOWED)
def test_a_script_that_is_one_transaction_is_allowed(script):
    assert transaction_objection(script) is None


@pytest.mark.parametrize(("script", "why"), REFUSED)
def test_a_script_that_is_not_is_refused(script, why):
    assert why in transaction_objection(script)


@pytest.mark.parametrize(
    ("script", "verbs"),
    [
        ("SELECT ';' ; SELECT $a$;$a$;;", ["SELECT", "SELECT"]),
        ("select 1 -- ; not here\n; Update t set a = 1", ["SELECT", "UPDATE"]),
        ("SELECT $1; SELECT a$b$c; DELETE FROM x", ["SELECT", "SELECT", "DELETE"]),
        ("SELECT 'unfinished; SELECT 1", ["SELECT", "SELECT"]),
        ("/* unfinished ; SELECT 1", []),
        ("CREATE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); END; SELECT 1", ["CREATE", "SELECT"]),
    ],
)
def test_statements_are_told_apart(script, verbs):
    assert [statement.verb for statement in statements(script, POSTGRESQL)] == verbs


def test_who_is_locked_out():
    wish = lock_wish('ALTER TABLE Orders ADD c int; CREATE INDEX i ON "Mixed ""Case""" (a); INSERT INTO free VALUES (1); DROP TABLE shop.old')
    assert {"orders", "shop", "old"} <= wish.everybody
    assert {'Mixed "Case"', "i"} <= wish.writers
    assert not (wish.everybody | wish.writers) & {"free"}


def test_a_position_has_a_line():
    assert [line_of("ab\ncd\nef", position) for position in (1, 3, 4, 7)] == [1, 1, 2, 3]
