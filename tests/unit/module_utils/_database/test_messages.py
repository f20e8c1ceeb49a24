# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database import messages
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.programs import ProgramError, Runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import session as mariadb
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import session as postgresql

SECRET = "anna@example.com"
# As PostgreSQL's and MariaDB's programs write them.
PROGRAMS = {
    "duplicate": (('pg_restore: error: could not execute query: ERROR:  could not create unique index "mail"\n'
                  f"DETAIL:  Key (mail)=({SECRET}) is duplicated.\nCommand was: CREATE UNIQUE INDEX mail ON t (mail);\n\n\n"),
                  'pg_restore: error: could not execute query: ERROR: could not create unique index "mail"'),
    "copy": ((f'pg_restore: error: COPY failed for table "t": ERROR:  invalid input syntax for type integer: "{SECRET}"\n'
             f'CONTEXT:  COPY t, line 1, column id: "{SECRET}"\npg_restore: warning: errors ignored on restore: 1\n'),
             ('pg_restore: error: COPY failed for table "t": ERROR: invalid input syntax for type integer: (hidden); '
             "pg_restore: warning: errors ignored on restore: 1")),
    "statement": ((f"--------------\nINSERT INTO `t` VALUES\n(1,'{SECRET}'),\n(2,'{SECRET}')\n--------------\n\n"
                  f"ERROR 1062 (23000) at line 40: Duplicate entry '{SECRET}' for key 'PRIMARY'\n"),
                  "ERROR 1062 (23000) at line 40: Duplicate entry (hidden) for key 'PRIMARY'"),
    "syntax": (f"ERROR 1064 (42000) at line 3: You have an error in your SQL syntax; check the manual for the right syntax to use near '{SECRET}' at line 1",
               "ERROR 1064 (42000) at line 3: You have an error in your SQL syntax; check the manual for the right syntax to use near (hidden) at line 1"),
    "cause": (('pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.\n'
              "pg_dump: detail: Error message from server: ERROR:  missing chunk number 0 for toast value 16390\n"
               f"pg_dump: detail: Command was: COPY t TO stdout WHERE mail = '{SECRET}'\n"),
              ('pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.; '
              "pg_dump: detail: Error message from server: ERROR: missing chunk number 0 for toast value 16390")),
    "plain": ("pg_basebackup: error: could not connect\n", "pg_basebackup: error: could not connect"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_program_says_holds_no_row(name):
    text, reported = PROGRAMS[name]
    assert messages.of_program(text) == reported and SECRET not in reported


def test_a_program_that_fails_is_reported_without_rows():
    with pytest.raises(ProgramError) as raised:
        Runner().run(["sh", "-c", f"echo 'pg_restore: error: it failed' >&2; echo 'DETAIL:  Key (mail)=({SECRET})' >&2; exit 3"], {})
    assert str(raised.value) == "sh ended with 3: pg_restore: error: it failed"


@pytest.mark.parametrize(("sqlstate", "primary", "detail", "reported"), [
    ("23505", 'duplicate key value violates unique constraint "mail"', f"Key (mail)=({SECRET}) already exists.",
     'duplicate key value violates unique constraint "mail"'),
    ("23502", 'null value in column "id" of relation "t" violates not-null constraint', f"Failing row contains (null, {SECRET}).",
     'null value in column "id" of relation "t" violates not-null constraint'),
    ("22P02", f'invalid input syntax for type integer: "{SECRET}"', None, "invalid input syntax for type integer: (hidden)"),
    ("22003", 'value "99999999999" is out of range for type integer', None, "value (hidden) is out of range for type integer"),
    ("P0001", "refused by a trigger", f"row: {SECRET}", "refused by a trigger"),
    ("55006", 'database "shop" is being accessed by other users', "There is 1 other session using the database.",
     'database "shop" is being accessed by other users (There is 1 other session using the database.)'),
    (None, "no code", "a detail", "no code"),
])
def test_an_error_of_postgresql_is_reported_without_rows(sqlstate, primary, detail, reported):
    assert postgresql.without_rows(sqlstate, primary, detail) == reported


@pytest.mark.parametrize(("number", "text", "reported"), [
    (1062, f"Duplicate entry '{SECRET}' for key 'mail'", "Duplicate entry (hidden) for key 'mail'"),
    (1366, f"Incorrect integer value: '{SECRET}' for column `s`.`t`.`id` at row 1", "Incorrect integer value: (hidden) for column `s`.`t`.`id` at row 1"),
    (1292, f"Truncated incorrect DOUBLE value: '{SECRET}'", "Truncated incorrect DOUBLE value: (hidden)"),
    (1146, "Table 'shop.t' doesn't exist", "Table 'shop.t' doesn't exist"),
])
def test_an_error_of_mariadb_is_reported_without_rows(number, text, reported):
    assert mariadb.without_rows(number, text) == reported
