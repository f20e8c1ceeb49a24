# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strange but healthy databases of MariaDB and SQLite: each feature is a function that returns statements. Pure: a seed in, statements out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from schema_makers import MARIADB_TYPES, SQLITE_TYPES, Names, inserted, quoted, some, ticked

CHARACTERS = ("utf8mb4", "latin1", "utf8mb3", "utf8mb4 COLLATE utf8mb4_bin")
# Session settings of the one who made the database.
MODES = ("", "ANSI_QUOTES", "PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES", "ORACLE")


class Maker:
    """Draws one database with a seed. `tables`: those that later features refer to."""

    def __init__(self, engine: str, seed: int) -> None:
        self.chance = random.Random(f"{engine} {seed}")
        self.names = Names(self.chance)
        self.engine = engine
        self.tables: list[str] = []
        self.characters = self.chance.choice(CHARACTERS)

    def name(self) -> str:
        if self.engine == "sqlite":
            return quoted(self.names.new())
        # Names in MariaDB have no characters beyond the basic plane.
        return ticked("".join(character for character in self.names.new() if ord(character) < 0x10000).strip())

    def statements(self) -> list[str]:
        """All of the database, in the order in which it is made."""
        features, first = (MARIADB, mariadb_tables) if self.engine == "mariadb" else (SQLITE, sqlite_tables)
        found = list(first(self))
        for feature in some(self.chance, features, len(features)):
            found += list(feature(self))
        return found


def mariadb_tables(maker: Maker) -> Iterator[str]:
    keys = ("int AUTO_INCREMENT PRIMARY KEY", "bigint unsigned AUTO_INCREMENT UNIQUE", "int")
    options = ("", " ROW_FORMAT=COMPRESSED", " ROW_FORMAT=REDUNDANT COMMENT='it''s; a `comment`'", " AUTO_INCREMENT=1000 DEFAULT CHARSET=utf8mb4")
    for _each in range(maker.chance.randint(1, 3)):
        table, key = maker.name(), maker.name()
        columns = [(maker.name(), kind, values) for kind, values in some(maker.chance, MARIADB_TYPES, 14)]
        listed = ", ".join([f"{key} {maker.chance.choice(keys)}", *(f"{name} {kind}{'' if 'NULL' in kind else ' NULL'}" for name, kind, _values in columns)])
        yield f"CREATE TABLE {table} ({listed}){maker.chance.choice(options)}"
        yield from inserted(maker.chance, table, columns, maker.chance.randint(0, 12), key)
        maker.tables.append(table)


def zero_key(maker: Maker) -> Iterator[str]:
    table = maker.name()
    yield f"CREATE TABLE {table} (id int AUTO_INCREMENT PRIMARY KEY, n int DEFAULT (1 + 1), t timestamp DEFAULT current_timestamp ON UPDATE current_timestamp)"
    yield f"SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; INSERT INTO {table} (id) VALUES (0), (77); DELETE FROM {table} WHERE id = 77; SET sql_mode = ''"


def mariadb_generated(maker: Maker) -> Iterator[str]:
    table = maker.name()
    yield f"CREATE TABLE {table} (a int, b int AS (a * 2) VIRTUAL, c varchar(30) AS (concat('<', a, '>')) STORED, d int INVISIBLE DEFAULT 9, INDEX (b))"
    yield f"INSERT INTO {table} (a, d) VALUES (1, 2), (NULL, 3)"


def mariadb_partitions(maker: Maker) -> Iterator[str]:
    for clause in ("RANGE (a) (PARTITION p0 VALUES LESS THAN (10), PARTITION `p 1` VALUES LESS THAN MAXVALUE)", "HASH (a) PARTITIONS 3", "KEY (a) PARTITIONS 2",
                   "LIST (a % 2) (PARTITION even VALUES IN (0), PARTITION odd VALUES IN (1))"):
        table = maker.name()
        yield f"CREATE TABLE {table} (a int NOT NULL, t text) PARTITION BY {clause}"
        yield f"INSERT INTO {table} SELECT seq, seq FROM seq_1_to_20"


def history(maker: Maker) -> Iterator[str]:
    one, other, parts = maker.name(), maker.name(), maker.name()
    yield f"CREATE TABLE {one} (id int PRIMARY KEY, n int, w int WITHOUT SYSTEM VERSIONING) WITH SYSTEM VERSIONING"
    yield (f"CREATE TABLE {other} (id int, s timestamp(6) GENERATED ALWAYS AS ROW START, e timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE, "
           "PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING")
    yield f"CREATE TABLE {parts} (id int) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME (PARTITION h HISTORY, PARTITION n CURRENT)"
    for table in (one, other, parts):
        yield f"INSERT INTO {table} (id) VALUES (1), (2)"
        yield f"UPDATE {table} SET id = id + 10"
        yield f"DELETE FROM {table} WHERE id = 11"


def periods(maker: Maker) -> Iterator[str]:
    table = maker.name()
    yield f"CREATE TABLE {table} (id int, s date, e date, PERIOD FOR p (s, e), UNIQUE (id, p WITHOUT OVERLAPS))"
    yield f"INSERT INTO {table} VALUES (1, '2024-01-01', '2025-01-01')"


def mariadb_indexes(maker: Maker) -> Iterator[str]:
    table = maker.name()
    yield (f"CREATE TABLE {table} (a int, t text, v varchar(200), g point NOT NULL, UNIQUE (t), INDEX (v(7) , a DESC), FULLTEXT (t, v), SPATIAL INDEX (g), "
           "INDEX i (a) IGNORED COMMENT 'it''s')")
    yield f"INSERT INTO {table} VALUES (1, repeat('x', 5000), 'ж', point(1, 2)), (2, '', NULL, point(0, 0))"


def mariadb_constraints(maker: Maker) -> Iterator[str]:
    one, other = maker.name(), maker.name()
    yield (f"CREATE TABLE {one} (id int PRIMARY KEY, of int, n int, CONSTRAINT {maker.name()} CHECK (n > 0), "
           f"FOREIGN KEY (of) REFERENCES {one} (id) ON DELETE SET NULL)")
    yield f"CREATE TABLE {other} (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {one} (id) ON UPDATE CASCADE)"
    yield (f"SET check_constraint_checks = 0, foreign_key_checks = 0; INSERT INTO {one} VALUES (1, NULL, -5), (2, 99, 1); INSERT INTO {other} VALUES (5); "
           "SET check_constraint_checks = 1, foreign_key_checks = 1")


def mariadb_views(maker: Maker) -> Iterator[str]:
    # The names of a view's columns sort before those of what it is made of.
    last, first = maker.name(), maker.name()
    yield f"CREATE ALGORITHM = TEMPTABLE SQL SECURITY INVOKER VIEW {last} AS SELECT 'it''s' AS `a b`, t.* FROM {maker.tables[0]} AS t"
    yield f"CREATE VIEW {first} AS SELECT `a b` FROM {last} WHERE `a b` <> '' "


def mariadb_routines(maker: Maker) -> Iterator[str]:
    table = maker.tables[0]
    for mode in maker.chance.sample(MODES, 2):
        if mode == "ORACLE":
            package = maker.name()
            yield f"SET sql_mode = 'ORACLE'; CREATE PACKAGE {package} AS FUNCTION f RETURN int; END; SET sql_mode = ''"
            yield f"SET sql_mode = 'ORACLE'; CREATE PACKAGE BODY {package} AS FUNCTION f RETURN int IS BEGIN RETURN 1; END; END; SET sql_mode = ''"
            continue
        yield (f"SET sql_mode = '{mode}'; CREATE PROCEDURE {maker.name()} (INOUT a int, b varchar(20) CHARACTER SET latin1) COMMENT 'it''s' "
               "BEGIN SELECT 'x' || a; /* ; */ END; SET sql_mode = ''")
        yield f"SET sql_mode = '{mode}'; CREATE TRIGGER {maker.name()} BEFORE INSERT ON {table} FOR EACH ROW SET @ran = 'x' || 1; SET sql_mode = ''"
    yield f"CREATE FUNCTION {maker.name()} (a int) RETURNS int DETERMINISTIC SQL SECURITY INVOKER RETURN a * 2"
    yield (f"CREATE AGGREGATE FUNCTION {maker.name()} (a int) RETURNS int BEGIN DECLARE t int DEFAULT 0; DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN t; "
           "LOOP FETCH GROUP NEXT ROW; SET t = t + a; END LOOP; END")
    yield f"CREATE TRIGGER {maker.name()} AFTER DELETE ON {table} FOR EACH ROW BEGIN DELETE FROM {table}; END"


def mariadb_sequences(maker: Maker) -> Iterator[str]:
    one, other = maker.name(), maker.name()
    yield f"CREATE SEQUENCE {one} START 5 INCREMENT 3 MAXVALUE 900000 CACHE 10 CYCLE"
    yield f"CREATE SEQUENCE {other} START -1 INCREMENT -1 MINVALUE -100 MAXVALUE -1 NOCACHE"
    yield f"DO nextval({one}), nextval({one}), nextval({other})"


def events(maker: Maker) -> Iterator[str]:
    yield f"CREATE EVENT {maker.name()} ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DISABLE COMMENT 'it''s' DO DELETE FROM {maker.tables[0]}"


def long_rows(maker: Maker) -> Iterator[str]:
    table = maker.name()
    yield f"CREATE TABLE {table} (id int PRIMARY KEY, b longblob, t longtext)"
    yield f"INSERT INTO {table} VALUES (1, repeat(x'41', 9000000), NULL), (2, NULL, repeat('ж', 100000))"


MARIADB: tuple[Callable[[Maker], Iterator[str]], ...] = (
    zero_key, mariadb_generated, mariadb_partitions, history, periods, mariadb_indexes, mariadb_constraints, mariadb_views, mariadb_routines, mariadb_sequences,
    events, long_rows,
)


def sqlite_tables(maker: Maker) -> Iterator[str]:
    # Before the first table.
    for pragma, values in (("page_size", (512, 4096, 65536)), ("encoding", ("'UTF-8'", "'UTF-16le'", "'UTF-16be'")), ("auto_vacuum", (0, 1, 2)),
                           ("journal_mode", ("wal", "delete", "truncate", "persist")), ("application_id", (0, 77)), ("user_version", (0, -1, 2024))):
        yield f"PRAGMA {pragma} = {maker.chance.choice(values)}"
    for _each in range(maker.chance.randint(1, 3)):
        table, key = maker.name(), maker.name()
        columns = [(maker.name(), kind, values) for kind, values in some(maker.chance, SQLITE_TYPES, 8)]
        kind = maker.chance.choice(("INTEGER PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT", "INT PRIMARY KEY DESC", "integer"))
        end = " WITHOUT ROWID" if "INT PRIMARY" in kind and maker.chance.random() < 0.5 else ""
        yield f"CREATE TABLE {table} ({', '.join([f'{key} {kind}', *(f'{name} {of}' for name, of, _values in columns)])}){end}"
        yield from inserted(maker.chance, table, columns, maker.chance.randint(0, 12), key)
        maker.tables.append(table)


def row_numbers(maker: Maker) -> Iterator[str]:
    one, other = maker.name(), maker.name()
    yield f"CREATE TABLE {one} (rowid TEXT, n)"
    yield f"INSERT INTO {one} (_rowid_, rowid, n) VALUES (-9223372036854775808, 'x', 1), (9223372036854775807, NULL, 2)"
    yield f"CREATE TABLE {other} (rowid, _rowid_, oid)"
    yield f"INSERT INTO {other} VALUES (1, 2, 3), (NULL, 'a', x'00')"


def own_functions(maker: Maker) -> Iterator[str]:
    table = maker.name()
    yield f"CREATE TABLE {table} (k TEXT COLLATE own PRIMARY KEY, n, u AS (own(n)), s AS (own(n)) STORED, CHECK (own(n) IS NOT 'BAD')) WITHOUT ROWID"
    yield f"INSERT INTO {table} (k, n) VALUES ('b', 'x'), ('A', 'y')"
    yield f"CREATE INDEX {maker.name()} ON {table} (own(n)) WHERE own(n) IS NOT NULL"
    yield f"CREATE UNIQUE INDEX {maker.name()} ON {table} (n COLLATE own DESC)"


def sqlite_virtual(maker: Maker) -> Iterator[str]:
    text, boxes = maker.name(), maker.name()
    yield f"CREATE VIRTUAL TABLE {text} USING fts5(a, b, tokenize = 'porter')"
    yield f"INSERT INTO {text} VALUES ('words and words', 'ж')"
    yield f"CREATE VIRTUAL TABLE {boxes} USING rtree(id, x0, x1)"
    yield f"INSERT INTO {boxes} VALUES (1, 0.5, 1.5)"


def sqlite_objects(maker: Maker) -> Iterator[str]:
    table = maker.tables[0]
    yield f"CREATE VIEW {maker.name()} AS SELECT * FROM {table} WHERE 'it''s' <> ''"
    yield f"CREATE TRIGGER {maker.name()} AFTER DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'it''s; not'); END"
    child = maker.name()
    yield f"CREATE TABLE {child} (of REFERENCES {table} ON DELETE CASCADE, j, CHECK (json_valid(j)))"
    yield f"INSERT INTO {child} VALUES (987654, '[1]')"
    yield f"CREATE INDEX {maker.name()} ON {child} (json_extract(j, '$[0]'), of DESC) WHERE of > 0"
    yield "ANALYZE"


def strict(maker: Maker) -> Iterator[str]:
    table = maker.name()
    yield f"CREATE TABLE {table} (a INT, b ANY, c BLOB) STRICT"
    yield f"INSERT INTO {table} VALUES (1, '1', x'31'), (NULL, 1.5, NULL)"


SQLITE: tuple[Callable[[Maker], Iterator[str]], ...] = (row_numbers, own_functions, sqlite_virtual, sqlite_objects, strict)
