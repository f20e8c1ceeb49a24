# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is MariaDB's alone, or SQLite's alone, about backups."""

from __future__ import annotations

import gzip
import sqlite3
import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.content import differences
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.scratch_names import new_name
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import backup
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.content import read
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.session import connect
from integration.database.kinds import back_up

# Types whose text, bytes or order could come back otherwise.
UNFRIENDLY = (
    ("CREATE TABLE `odd ``name` (`select` bigint PRIMARY KEY AUTO_INCREMENT, f float, d double, n decimal(30, 10), b bit(9), t timestamp(6) NULL, y year,"
     " e enum('a', 'b'), s set('x', 'y'), j json, g geometry, u uuid, i inet6, bin varbinary(20), txt longtext, twice double AS (d * 2) STORED)"),
    ("INSERT INTO `odd ``name` (f, d, n, b, t, y, e, s, j, g, u, i, bin, txt) VALUES (0.1, 1e100 / 3, 1.0000000001, b'101', now(6), 2026, 'b', 'x,y',"
     " '{\"a\": [1]}', point(1, 2), uuid(), '::1', x'00ff27', 'ж''\\\\\n-- events\n'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
     " NULL, NULL, '')"),
    "CREATE TABLE parent (a int, b int, PRIMARY KEY (a, b))",
    "CREATE TABLE child (id int PRIMARY KEY, a int, b int, CONSTRAINT of_parent FOREIGN KEY (a, b) REFERENCES parent (a, b) ON DELETE CASCADE, CHECK (id > 0))",
    "INSERT INTO parent VALUES (1, 2)", "INSERT INTO child VALUES (1, 1, 2)",
    "CREATE TRIGGER counted BEFORE INSERT ON child FOR EACH ROW SET NEW.id = NEW.id + 1",
    "CREATE PROCEDURE ask() SELECT 1", "CREATE FUNCTION twice(a int) RETURNS int DETERMINISTIC RETURN a * 2", "CREATE SEQUENCE numbers",
)


def text_of(path):
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        return file.read()


def test_what_is_unfriendly_comes_back_as_it_was(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.run(database, *UNFRIENDLY)
    message, result = back_up(mariadb, tmp_path, database)
    assert message == ""
    assert (result["backups"][database]["tables"], result["backups"][database]["rows"]) == (5, 554)


def test_history_sequences_long_rows_and_rows_that_break_a_check_come_back(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.run(
        database, "CREATE TABLE price (id int PRIMARY KEY, cents int) WITH SYSTEM VERSIONING", "INSERT INTO price VALUES (1, 100)",
        "UPDATE price SET cents = 200", "DELETE FROM price", "CREATE SEQUENCE numbers START 5 CACHE 10", "DO nextval(numbers)",
        "CREATE TABLE blobs (id int, b longblob)", "INSERT INTO blobs VALUES (1, repeat('x', 9 * 1024 * 1024))", "CREATE TABLE checked (n int, CHECK (n > 0))",
        "SET check_constraint_checks = 0",
        "INSERT INTO checked VALUES (-1)", "SET GLOBAL wait_timeout = 1, GLOBAL max_statement_time = 0.5",
    )
    try:
        message, result = back_up(mariadb, tmp_path, database)
    finally:
        mariadb.run(database, "SET GLOBAL wait_timeout = DEFAULT, GLOBAL max_statement_time = DEFAULT")
    assert message == "" and result["backups"][database]["rows"] == 550 + 2 + 1 + 1
    text = text_of(result["backups"][database]["path"])
    assert "system_versioning_insert_history" in text and "SETVAL(`numbers`, 15, 0)" in text


@pytest.mark.parametrize(("statements", "reported"), [
    (("CREATE TABLE measured (f float, d double)", "INSERT INTO measured VALUES (0.010516252390057362, 0.1)"),
     "fewer than measured.f holds: ALTER TABLE ... MODIFY ... DOUBLE keeps every number"),
    ((("CREATE TABLE moved (x int, s bigint unsigned GENERATED ALWAYS AS ROW START, e bigint unsigned GENERATED ALWAYS AS ROW END,"
      " PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING"),), "keeps its history by numbers of transactions, which no dump can hold"),
])
def test_what_no_dump_can_hold_is_refused_by_name(mariadb, tmp_path, statements, reported):
    database = mariadb.make()
    mariadb.run(database, *statements)
    message, _result = back_up(mariadb, tmp_path, database)
    assert reported in message and "0.0105" not in message


def test_numbers_of_six_digits_are_proven(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.run(database, "CREATE TABLE measured (f float, d double)", "INSERT INTO measured VALUES (0.5, 0.1e0 + 0.2e0), (123456, 1e308 / 3), (NULL, 5e-324)")
    assert back_up(mariadb, tmp_path, database)[0] == ""


def test_an_event_is_kept_and_never_runs_in_the_copy(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.run(database, "CREATE EVENT each_moment ON SCHEDULE EVERY 1 SECOND DO INSERT INTO orders (product, quantity) VALUES (1, 7777)")
    message, result = back_up(mariadb, tmp_path, database, check_queries=["SELECT count(*) = 0 FROM information_schema.events WHERE event_schema = database()"])
    assert message == ""
    assert "each_moment" in text_of(result["backups"][database]["path"])


def test_a_table_without_snapshots_is_refused(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.run(database, "CREATE TABLE log (id int) ENGINE=Aria")
    message, _result = back_up(mariadb, tmp_path, database)
    assert f"log of {database} is not of the engine InnoDB" in message


def test_somebody_else_s_backup_is_waited_for_and_reported(mariadb, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "STAGE_SECONDS", 1)
    database = mariadb.make()
    with mariadb.server.connect() as other, other.cursor() as cursor:
        cursor.execute("BACKUP STAGE START")
        message, _result = back_up(mariadb, tmp_path, database)
        assert "another backup is running" in message
        mariadb.run(database, "INSERT INTO orders (product, quantity) VALUES (1, 1)")
        cursor.execute("BACKUP STAGE END")
    assert back_up(mariadb, tmp_path, database)[1]["backups"][database]["rows"] == 551


def test_a_copy_that_was_left_is_dropped_and_one_that_is_new_is_not(mariadb, tmp_path):
    database, now = mariadb.make(), int(time.time())
    old, new = new_name(database, now - 100), new_name(database, now)
    mariadb.server.run(f"CREATE DATABASE {old}", f"CREATE DATABASE {new}")
    message, result = back_up(mariadb, tmp_path, database)
    assert message == "" and result["dropped"] == [old]
    assert mariadb.scratch() == [new]
    mariadb.server.run(f"DROP DATABASE {new}")


def test_all_databases_of_a_server_are_backed_up_when_none_is_named(mariadb, tmp_path):
    names = sorted([mariadb.make(), mariadb.make()])
    message, result = back_up(mariadb, tmp_path)
    assert message == "" and sorted(result["backups"]) == names and result["created_meanwhile"] == []


def test_a_role_that_may_not_do_it_is_reported(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.server.run("CREATE USER reader@'%'", f"GRANT SELECT ON {database}.* TO reader@'%'")
    try:
        message, _result = back_up(mariadb, tmp_path, database, login_user="reader", login_password="")
    finally:
        mariadb.server.run("DROP USER reader@'%'")
    assert "Access denied" in message and "RELOAD" in message


def test_what_is_only_in_the_log_of_a_database_is_in_its_backup(sqlite, tmp_path):
    database = sqlite.make()
    session = sqlite3.connect(database, isolation_level=None)
    session.execute("PRAGMA wal_autocheckpoint = 0")
    session.execute("INSERT INTO orders (product, quantity) VALUES (1, 12345)")
    try:
        message, result = back_up(sqlite, tmp_path, database, check_queries=["SELECT count(*) = 1 FROM orders WHERE quantity = 12345"])
    finally:
        session.close()
    assert message == "" and result["backups"][database]["rows"] == 551


def test_a_file_that_is_no_database_is_refused(sqlite, tmp_path):
    other = tmp_path / "notes.db"
    other.write_text("a text, and no database")
    message, _result = back_up(sqlite, tmp_path, str(other))
    assert f"{other} is no SQLite database" in message
    message, _result = back_up(sqlite, tmp_path)
    assert "name their files as databases" in message


def test_a_database_that_is_damaged_itself_has_no_proven_backup(sqlite, tmp_path):
    database = sqlite.make()
    sqlite.run(database, "PRAGMA journal_mode = delete", "PRAGMA writable_schema = on", "UPDATE sqlite_master SET rootpage = 2 WHERE type = 'index'")
    message, _result = back_up(sqlite, tmp_path, database)
    assert "no proven backup" in message


def test_what_is_the_application_s_own_in_an_index_does_not_hinder_the_proof(sqlite, tmp_path):
    database = sqlite.make()
    session = sqlite3.connect(database, isolation_level=None)
    session.create_collation("unicase", lambda one, other: (one.lower() > other.lower()) - (one.lower() < other.lower()))
    session.create_function("own", 1, lambda value: str(value).upper(), deterministic=True)
    for statement in ("CREATE TABLE decks (k TEXT COLLATE unicase PRIMARY KEY, n, u AS (own(n)), CHECK (own(n) <> 'BAD')) WITHOUT ROWID",
                      "INSERT INTO decks VALUES ('b', 'x'), ('A', 'y')", "CREATE INDEX by_own ON decks (own(n), k)"):
        session.execute(statement)
    session.close()
    message, result = back_up(sqlite, tmp_path, database)
    assert message == "" and result["backups"][database]["rows"] == 552
    assert "the collation unicase, the function own of its application's own is not known here" in result["backups"][database]["why"]
    path = result["backups"][database]["path"]
    copy = sqlite3.connect(path)
    assert copy.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    copy.close()


def test_row_numbers_and_the_file_s_header_are_compared(sqlite):
    one, other = sqlite.make(), sqlite.make()
    statements = ("CREATE TABLE notes (t)", "PRAGMA user_version = 3")
    sqlite.run(one, *statements, "INSERT INTO notes (rowid, t) VALUES (7, 'x')")
    sqlite.run(other, *statements, "INSERT INTO notes (rowid, t) VALUES (8, 'x')", "PRAGMA journal_mode = delete")
    with connect(one) as first, connect(other) as second:
        found = differences(read(first), read(second))
    assert [sentence for sentence in found if "orders" not in sentence] == [
        "is missing: journal 0202", "is not in the original: journal 0101", "notes has as many rows (1), but their content differs"]
