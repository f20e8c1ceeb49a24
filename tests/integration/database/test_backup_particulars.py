# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is MariaDB's alone, or SQLite's alone, about backups."""

from __future__ import annotations

import gzip
import sqlite3
import time

from ansible_collections.alwayson.upgrade.plugins.module_utils import _mariadb_backup
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_scratch import new_name
from integration.database.kinds import back_up

# Types whose text, bytes or order could come back otherwise.
UNFRIENDLY = (
    "CREATE TABLE `odd ``name` (`select` bigint PRIMARY KEY AUTO_INCREMENT, f float, d double, n decimal(30, 10), b bit(9), t timestamp(6) NULL, y year,"
    " e enum('a', 'b'), s set('x', 'y'), j json, g geometry, u uuid, i inet6, bin varbinary(20), txt longtext, twice double AS (d * 2) STORED)",
    "INSERT INTO `odd ``name` (f, d, n, b, t, y, e, s, j, g, u, i, bin, txt) VALUES (0.1, 1e100 / 3, 1.0000000001, b'101', now(6), 2026, 'b', 'x,y',"
    " '{\"a\": [1]}', point(1, 2), uuid(), '::1', x'00ff27', 'ж''\\\\\n-- events\n'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
    " NULL, NULL, '')",
    "CREATE TABLE parent (a int, b int, PRIMARY KEY (a, b))",
    "CREATE TABLE child (id int PRIMARY KEY, a int, b int, CONSTRAINT of_parent FOREIGN KEY (a, b) REFERENCES parent (a, b) ON DELETE CASCADE, CHECK (id > 0))",
    "INSERT INTO parent VALUES (1, 2)", "INSERT INTO child VALUES (1, 1, 2)",
    "CREATE TRIGGER counted BEFORE INSERT ON child FOR EACH ROW SET NEW.id = NEW.id + 1",
    "CREATE PROCEDURE ask() SELECT 1", "CREATE FUNCTION twice(a int) RETURNS int DETERMINISTIC RETURN a * 2", "CREATE SEQUENCE numbers",
)


def test_what_is_unfriendly_comes_back_as_it_was(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.run(database, *UNFRIENDLY)
    message, result = back_up(mariadb, tmp_path, database)
    assert message == ""
    assert (result["backups"][database]["tables"], result["backups"][database]["rows"]) == (5, 554)


def test_an_event_is_kept_and_never_runs_in_the_copy(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.run(database, "CREATE EVENT each_moment ON SCHEDULE EVERY 1 SECOND DO INSERT INTO orders (product, quantity) VALUES (1, 7777)")
    message, result = back_up(mariadb, tmp_path, database, check_queries=["SELECT count(*) = 0 FROM information_schema.events WHERE event_schema = database()"])
    assert message == ""
    assert "each_moment" in gzip.open(result["backups"][database]["path"], "rt", encoding="utf-8").read()


def test_a_table_without_snapshots_is_refused(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.run(database, "CREATE TABLE log (id int) ENGINE=Aria")
    message, _result = back_up(mariadb, tmp_path, database)
    assert f"log of {database} is not of the engine InnoDB" in message


def test_somebody_else_s_backup_is_waited_for_and_told(mariadb, tmp_path, monkeypatch):
    monkeypatch.setattr(_mariadb_backup, "STAGE_SECONDS", 1)
    database = mariadb.make()
    with mariadb.server.connect() as other, other.cursor() as cursor:
        cursor.execute("BACKUP STAGE START")
        message, _result = back_up(mariadb, tmp_path, database)
        assert "somebody else backs the server up" in message
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


def test_a_role_that_may_not_do_it_is_told(mariadb, tmp_path):
    database = mariadb.make()
    mariadb.server.run("CREATE USER reader@'%'", f"GRANT SELECT ON {database}.* TO reader@'%'")
    try:
        message, result = back_up(mariadb, tmp_path, database, login_user="reader", login_password="")
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
