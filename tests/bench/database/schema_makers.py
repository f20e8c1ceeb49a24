# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strange but healthy schemas: names, types, partitions, extensions, settings, drawn with a seed. Pure: a seed in, statements out."""

from __future__ import annotations

import random

WORDS = ("order", "select", "Üser Größe", "a\"b", "tab\tle", "x'y", "per%cent", "back\\slash", "日本語", "UPPER", "with.dot", "semi;colon", "dollar$1", " lead",
         "emoji 😀", "`tick`", "--dash", "{brace}", "%s", "cron", "public")
TEXTS = ("", "NULL", "\\N", "it''s", "tab\tnew\nline", "ж日😀", "\\\\x00", "{1,2}", "\"quoted\"", "  blanks  ", "-- no comment", "a;b", "'||'")


class Names:
    """Names that no other thing of the schema has, of 63 bytes at most."""

    def __init__(self, chance: random.Random, longest: int = 60) -> None:
        self.chance, self.longest, self.given = chance, longest, 0

    def new(self) -> str:
        self.given += 1
        name = f"{self.chance.choice(WORDS)}{self.given}"
        while len(name.encode()) < 50 and self.chance.random() < 0.1:
            name += self.chance.choice(WORDS).replace("%s", "x")
        return name.encode()[:self.longest].decode("utf-8", "ignore").strip() or f"n{self.given}"


def quoted(name: str) -> str:
    """A name in SQL of PostgreSQL and SQLite."""
    return '"{}"'.format(name.replace('"', '""'))


def ticked(name: str) -> str:
    """A name in SQL of MariaDB."""
    return "`{}`".format(name.replace("`", "``"))


# Type, and values of it in SQL.
POSTGRESQL_TYPES = (
    ("integer", ("0", "-2147483648", "2147483647")), ("bigint", ("9223372036854775807", "-1")), ("smallint", ("1", "2")),
    ("real", ("'NaN'", "'-Infinity'", "0.010516252390057362", "16777215", "'-0'")),
    ("double precision", ("'Infinity'", "0.1::float8+0.2", "1e-320", "1e308/3")),
    ("numeric", ("'NaN'", "1e100/3", "0.00000000000000000001")), ("numeric(30,10)", ("1.0000000001", "-3.5")), ("money", ("12.34", "-1")),
    ("text", tuple(f"'{text}'" for text in TEXTS)), ("varchar(40)", ("'ж'", "''")), ("char(5)", ("'a'", "''")), ("name", ("'n'", "'m'")),
    ("text COLLATE \"C\"", ("'b'", "'A'")), ("bytea", ("'\\x00ff27'", "decode(repeat('00ff', 3000), 'hex')", "''")), ("boolean", ("true", "false")),
    ("timestamptz", ("'2024-02-29 12:00:00.123456+05:30'", "'infinity'", "'4713-01-01 BC'")), ("timestamp(3)", ("'1999-12-31 23:59:59.9996'", "'-infinity'")),
    ("date", ("'0001-01-01'", "'infinity'")), ("time", ("'24:00'", "'00:00:00.000001'")), ("timetz", ("'12:00+14'",)),
    ("interval", ("'-1 mon 3 days -04:05'",)),
    ("interval day to second(2)", ("'1 02:03:04.567'",)), ("uuid", ("gen_random_uuid()",)), ("json", ("'{\"a\": 1,  \"a\": 2}'", "'null'")),
    ("jsonb", ("'{\"b\": [1.0, 1.10]}'", "'\"\\u00e9\"'")), ("xml", ("'<a> </a>'", "'text'")), ("inet", ("'::1/64'", "'10.0.0.1/8'")),
    ("cidr", ("'10.0.0.0/8'",)),
    ("macaddr", ("'08:00:2b:01:02:03'",)), ("bit(5)", ("B'10101'",)), ("bit varying(9)", ("B'1'", "B''")), ("point", ("'(0.1,-0)'",)),
    ("polygon", ("'((0,0),(1,1),(1,0))'",)),
    ("box", ("'((1,1),(0,0))'",)), ("circle", ("'<(0.1,0.2),3>'",)), ("tsvector", ("'a:1A b:2'", "'''it''''s'''")), ("tsquery", ("'a & !b'",)),
    ("int4range", ("'[1,5)'", "'empty'")), ("tstzrange", ("'(,infinity)'",)), ("nummultirange", ("'{[1.10,2),(3,)}'",)),
    ("integer[]", ("'{1,NULL,3}'", "'{}'", "'[0:1]={5,6}'")),
    ("text[]", ("ARRAY['NULL', NULL, '', 'a\"b']", "'{{a,b},{c,d}}'")), ("regclass", ("'pg_class'",)), ("regtype", ("'integer'",)), ("oid", ("4294967295",)),
    ("pg_lsn", ("'16/B374D848'",)), ("xid", ("'7'",)), ("\"char\"", ("'a'",)), ("jsonpath", ("'$.a[*] ? (@ > 1)'",)), ("bpchar", ("'x  '",)),
)
MARIADB_TYPES = (
    ("int", ("0", "-2147483648")), ("bigint unsigned", ("18446744073709551615",)), ("tinyint(1)", ("1", "0")), ("mediumint zerofill", ("42",)),
    ("decimal(65,30)", ("12345678901234567890.123456789012345678901234567890",)), ("double", ("0.1e0+0.2e0", "1e308/3", "5e-324", "-0.0e0")),
    ("float", ("0.5", "1024", "123456")),
    ("float(7,2)", ("12345.67",)), ("double(20,5)", ("1.23456",)), ("varchar(60)", tuple(f"'{text}'" for text in TEXTS)),
    ("char(9) CHARACTER SET latin1", ("'é'", "''")),
    ("text CHARACTER SET utf16", ("'ж😀'", "''")), ("varchar(20) COLLATE utf8mb4_bin", ("'A'", "'a'")), ("longtext", ("repeat('x', 70000)", "'\\\\'")),
    ("json", ("'{\"a\": [1.10]}'",)),
    ("blob", ("x'00ff270a0d1a5c22'", "repeat(x'0027', 40000)", "''")), ("varbinary(40)", ("x'00ff'", "x'c3'")), ("binary(8)", ("x'00'", "'a'")),
    ("bit(9)", ("b'101000001'", "b'0'")),
    ("date", ("'0000-00-00'", "'2024-02-00'", "'9999-12-31'")), ("datetime(6)", ("'2024-02-29 12:00:00.123456'", "'0000-00-00'")),
    ("timestamp(6) NULL", ("'2024-02-29 12:00:00.123456'", "'0000-00-00 00:00:00'")), ("time(3)", ("'-838:59:59'", "'12:00:00.123'")), ("year", ("2155", "0")),
    ("enum('a','b''c','ж')", ("'ж'", "''", "'b''c'")), ("set('x','y z')", ("'x,y z'", "''")), ("uuid", ("uuid()",)), ("inet6", ("'::1'",)),
    ("point", ("point(0.1, -0.0)",)),
    ("geometry", ("st_geomfromtext('LINESTRING(0 0,1 1)')",)),
)
SQLITE_TYPES = (
    ("INTEGER", ("9223372036854775807", "-1", "'text'")),
    ("TEXT", (*tuple(f"'{text}'" for text in TEXTS), "CAST(x'c328' AS TEXT)", "'a' || char(0) || 'b'")), ("", ("1.0", "1", "'1'", "x'31'")),
    ("REAL", ("0.1 + 0.2", "9e999", "-9e999", "-0.0", "5e-324")), ("BLOB", ("x'00ff'", "zeroblob(70000)", "randomblob(20)")),
    ("NUMERIC", ("1e100", "'12'", "'x'")),
    ("TEXT COLLATE NOCASE", ("'A'", "'b'")), ("strange type(1, 2)", ("1", "NULL")),
)


def some(chance: random.Random, pool: tuple, most: int) -> list:
    return chance.sample(pool, chance.randint(1, min(most, len(pool))))


def inserted(chance: random.Random, table: str, columns: list[tuple[str, str, tuple]], rows: int, key: str | None = None) -> list[str]:
    """Statements that fill a table; every fifth value is null. A key counts up."""
    statements = []
    for number in range(rows):
        values = ["NULL" if chance.random() < 0.2 else chance.choice(values) for _name, _kind, values in columns]
        named = [name for name, _kind, _values in columns]
        if key:
            named, values = [key, *named], [str(number * 3 + 1), *values]
        statements.append(f"INSERT INTO {table} ({', '.join(named)}) VALUES ({', '.join(values)})")
    return statements
