-- Copyright (c) 2026 The alwayson.upgrade maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- What makes naive comparisons of a database with its restored copy fail, although nothing is wrong.
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
CREATE DOMAIN percentage AS integer CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE pair AS (a integer, b text);
CREATE SCHEMA "Odd ""Schema"" %s";
CREATE SEQUENCE unused_sequence;
CREATE SEQUENCE downwards INCREMENT -2;
SELECT nextval('downwards');

-- A check on a list of varchar is worded differently after each restore.
CREATE TABLE worded (
    kind varchar(10) DEFAULT 'a' CHECK (kind IN ('a', 'b')),
    kinds varchar(10)[] DEFAULT ARRAY['a', 'b'],
    level integer GENERATED ALWAYS AS (length(kind::text)) STORED,
    id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX worded_partly ON worded (lower(kind::text), id) INCLUDE (level) WHERE kind IN ('a', 'b');
INSERT INTO worded (kind, kinds) VALUES ('a', '{a,b}'), ('b', NULL), (NULL, '{}');

CREATE TABLE "Odd ""Schema"" %s"."Odd Table %d" (
    "a column" real, d double precision, n numeric, m money, b bytea, t timestamptz, ts timestamp, dt date, i interval, j json, jb jsonb,
    u uuid, net inet, r int4range, h hstore, ar text[], mo mood, p percentage, pr pair, reg regclass, ltext text
);
INSERT INTO "Odd ""Schema"" %s"."Odd Table %d" VALUES
    (1.1, 0.1 + 0.2, 'NaN', 1234.56, '\x00ff41'::bytea, '2026-03-29 02:30:00+01', 'infinity', '0044-03-15 BC', '1 mon -3 days 04:05:06.789', '{"b": 1,  "a": 2}',
     '{"b": 1, "a": 2}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '192.0.2.0/24', '[1,5)', 'a=>1,b=>NULL', ARRAY['x,y', NULL, '"'], 'it''s ok', 7,
     ROW(1, 'z'), 'worded', E'line\nbreak\\ \t é 𝄞'),
    (NULL, 'Infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '');

-- A column that the parent got later stands elsewhere in the restored child.
CREATE TABLE parent (a integer);
CREATE TABLE child (b text) INHERITS (parent);
ALTER TABLE parent ADD COLUMN late integer DEFAULT 5;
INSERT INTO parent VALUES (1);
INSERT INTO child (a, b) VALUES (2, 'two');
CREATE TABLE dropped_column (a integer, gone integer, b integer);
INSERT INTO dropped_column SELECT n, n, n FROM generate_series(1, 5) AS n;
ALTER TABLE dropped_column DROP COLUMN gone, ADD COLUMN c text NOT NULL DEFAULT 'new';

CREATE TABLE measured (at date NOT NULL, host integer NOT NULL REFERENCES worded, value integer, PRIMARY KEY (at, host)) PARTITION BY RANGE (at);
CREATE TABLE measured_1 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE measured_rest PARTITION OF measured DEFAULT;
CREATE INDEX ON measured (value);
INSERT INTO measured VALUES ('2026-02-01', 1, 3), ('2027-01-01', 2, 4);
CREATE TABLE refers (at date, host integer, FOREIGN KEY (at, host) REFERENCES measured);
INSERT INTO refers VALUES ('2026-02-01', 1);

CREATE TABLE booked (room integer, during tsrange, EXCLUDE USING gist (during WITH &&));
INSERT INTO booked VALUES (1, '[2026-01-01, 2026-01-02)');
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE UNLOGGED TABLE unlogged_table (a integer UNIQUE);
INSERT INTO unlogged_table VALUES (1);
CREATE TABLE unchecked (a integer);
INSERT INTO unchecked VALUES (-1);
ALTER TABLE unchecked ADD CONSTRAINT positive CHECK (a > 0) NOT VALID;
CREATE TABLE searched (words text);
CREATE INDEX searched_words ON searched USING gin (words gin_trgm_ops);
INSERT INTO searched SELECT 'word ' || n FROM generate_series(1, 10) AS n;

CREATE VIEW shown AS SELECT kind, id FROM worded WHERE kind IN ('a', 'b');
CREATE MATERIALIZED VIEW stored AS SELECT kind, count(*) FROM worded GROUP BY kind;
INSERT INTO worded (kind) VALUES ('b');
CREATE FUNCTION modern(a integer) RETURNS integer BEGIN ATOMIC; SELECT CASE WHEN a > 0 THEN a END; END;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN RETURN NEW; END; $body$;
CREATE TRIGGER touch BEFORE UPDATE ON worded FOR EACH ROW EXECUTE FUNCTION touched();
CREATE TRIGGER touch_parts AFTER INSERT ON measured FOR EACH ROW EXECUTE FUNCTION touched();
ALTER TABLE worded DISABLE TRIGGER touch;
ALTER TABLE worded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON worded USING (kind = 'a');
CREATE PUBLICATION nobody_listens;
SELECT lo_from_bytea(0, '\x6c6f'::bytea);
COMMENT ON TABLE worded IS 'a comment';
