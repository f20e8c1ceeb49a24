# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is proven when, and only when, what comes back is what was there: on a real server, with real dumps."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database import scratch_names
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.disk_space import Room
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.run import BackupRun
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import LOCK, Store, StoreError
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.programs import Runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import catalog, programs, scratch_database as scratch
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.logical import Logical
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError, connect

UNFRIENDLY = Path(__file__).with_name("unfriendly.sql")


@pytest.fixture
def backups(server, tmp_path):
    """Makes a run with a class of Logical into an empty folder. Afterwards no scratch database is left on the server, whatever the test did."""

    def make(kind: type[Logical] = Logical, **options) -> BackupRun:
        store = Store(str(tmp_path / "backups"), ".dump")
        store.prepare()
        with connect(server.login) as session:
            identity = catalog.identity(session)
        found = programs.find(identity["version_number"] // 10000, str(server.binaries))
        return BackupRun(kind(server.login, identity, found, Runner(), Room(store.directory), **options), identity, store)

    yield make
    assert server.scratch_databases() == []


def back_up(run: BackupRun, *databases: str, keep: int = 5, parallel: int = 1) -> dict:
    with run.store.exclusive():
        return run.back_up_all(databases, keep, parallel)


def files(run: BackupRun) -> list[str]:
    return sorted(name for name in os.listdir(run.store.directory) if name != LOCK)


def test_a_proven_backup_is_complete_and_private(backups, server, tenant):
    run = backups()
    result = back_up(run, tenant)[tenant]
    assert result["proven"], result["why"]
    path = Path(result["path"])
    assert (result["tables"], result["rows"]) == (2, 550)
    assert files(run) == [path.name, f"{path.name}.json", f"{path.name}.sha256"]
    assert stat.S_IMODE(os.stat(run.store.directory).st_mode) == 0o700
    assert {stat.S_IMODE((path.parent / name).stat().st_mode) for name in files(run)} == {0o600}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    of_manifest = hashlib.sha256((path.parent / f"{path.name}.json").read_bytes()).hexdigest()
    assert result["sha256"] == digest and (path.parent / f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n{of_manifest}  {path.name}.json\n"
    manifest = json.loads((path.parent / f"{path.name}.json").read_text())
    assert manifest["database"] == tenant and manifest["contents"][tenant]["tables"]["public.orders"]["rows"] == 500
    assert manifest["system_identifier"] == str(server.value("SELECT system_identifier FROM pg_control_system()"))
    assert abs(manifest["taken"] - time.time()) < 60


class WritesBetween(Logical):
    """Every table changes after it was summed up and before it is dumped."""

    change = "UPDATE orders SET quantity = quantity + 1; DELETE FROM orders WHERE id % 7 = 0; INSERT INTO orders (product, quantity) VALUES (1, 1)"

    def dump(self, database, snapshot, path):
        with connect(self.login, database) as writer:
            writer.run(self.change)
        super().dump(database, snapshot, path)


class DumpsNow(WritesBetween):
    """Dumps what is there after the change."""

    def dump(self, database, snapshot, path):
        with connect(self.login, database) as session:
            session.run(self.change)
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            Logical.dump(self, database, session.value("SELECT pg_export_snapshot()"), path)


def test_others_write_while_the_backup_is_taken(backups, server, tenant):
    before = server.value("SELECT sum(quantity) FROM orders", tenant)
    result = back_up(backups(WritesBetween), tenant)[tenant]
    assert server.value("SELECT sum(quantity) FROM orders", tenant) != before
    assert result["proven"], result["why"]
    assert result["rows"] == 550


def test_a_dump_of_another_moment_is_refused(backups, tenant):
    run = backups(DumpsNow)
    result = back_up(run, tenant)[tenant]
    assert not result["proven"] and "public.orders has" in result["why"]
    assert files(run) == []


class CutAfterDump(Logical):
    """20 bytes of the file are lost between dump and restore."""

    def take(self, subject, databases, path, taken):
        record = super().take(subject, databases, path, taken)
        os.truncate(path, record.size_bytes - 20)
        return record


class CutWhileDumping(Logical):
    """The disk loses 20 bytes, and pg_dump does not notice."""

    def dump(self, database, snapshot, path):
        super().dump(database, snapshot, path)
        os.truncate(path, os.path.getsize(path) - 20)


@pytest.mark.parametrize(("kind", "why"), [(CutAfterDump, "SHA-256"), (CutWhileDumping, "pg_restore ended with 1")])
def test_a_truncated_dump_is_refused(backups, tenant, kind, why):
    run = backups(kind)
    result = back_up(run, tenant)[tenant]
    assert not result["proven"] and why in result["why"]
    assert result["path"] is None and files(run) == []


class ChangesCopy(Logical):
    """What comes back is not what was there."""

    change = ""

    def restore(self, copy, path):
        super().restore(copy, path)
        with connect(self.login, copy.database) as session:
            session.run(self.change)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE orders SET quantity = 7 WHERE id = 3", "public.orders has as many rows (500), but their content differs"),
        ("DELETE FROM orders WHERE id = 3", "public.orders has 499 rows instead of 500"),
        ("TRUNCATE products CASCADE", "public.products has 0 rows instead of 50"),
        ("DROP INDEX orders_by_time", "is missing: index public.orders_by_time"),
        ("ALTER TABLE orders DROP CONSTRAINT orders_product_fkey", "is missing: constraint orders_product_fkey on public.orders"),
        ("ALTER TABLE orders ADD note text", "is not in the original: column public.orders.note text"),
        ("ALTER TABLE orders ALTER quantity TYPE bigint", "is missing: column public.orders.quantity integer not null"),
        ("SELECT setval('orders_id_seq', 3)", "the sequence public.orders_id_seq stands at 3 instead of 500"),
        ("SELECT setval('orders_id_seq', 500, false)", "the sequence public.orders_id_seq stands at 500, not called instead of 500"),
        ("ALTER SEQUENCE orders_id_seq CYCLE", "is missing: sequence public.orders_id_seq bigint from 1 by 1"),
        ("COMMENT ON TABLE orders IS 'x'", "is not in the original: comment on table public.orders: "),
        ("ALTER TABLE orders SET (fillfactor = 50)", "with fillfactor=50"),
        ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", "is not in the original: table public.orders (row security"),
        ("ALTER TABLE orders ALTER taken SET STATISTICS 5", "statistics 5"),
        ("CREATE STATISTICS spread ON product, quantity FROM orders", "is not in the original: statistics object public.spread"),
        ("CREATE DOMAIN d AS int", "is not in the original: type public.d: d integer"),
        ("SELECT lo_from_bytea(0, 'x')", "is not in the original: 1 large objects"),
    ],
)
def test_a_copy_that_differs_is_refused(backups, tenant, change, why):
    run = backups(type("Changed", (ChangesCopy,), {"change": change}))
    result = back_up(run, tenant)[tenant]
    assert not result["proven"] and why in result["why"]
    assert files(run) == []


def test_whatever_a_database_holds_an_unharmed_backup_is_proven(backups, server, tenants):
    (tenant,) = tenants(script=UNFRIENDLY.read_text(encoding="utf-8"))
    server.run(f"ALTER DATABASE {tenant} SET timezone = 'Asia/Kathmandu'; ALTER DATABASE {tenant} SET datestyle = 'SQL, DMY'")
    server.run(f"ALTER DATABASE {tenant} SET client_encoding = 'LATIN1'")
    server.run(f"ALTER DATABASE {tenant} SET bytea_output = 'escape'; ALTER DATABASE {tenant} SET default_transaction_isolation = 'serializable'")
    result = back_up(backups(), tenant)[tenant]
    assert result["proven"], result["why"]
    assert result["tables"] >= 12 and result["rows"] > 20


FOREIGN = {"PGOPTIONS": "-c statement_timeout=1", "PGHOSTADDR": "192.0.2.1", "PGSERVICE": "none", "PGCLIENTENCODING": "SQL_ASCII"}
IMPATIENT = ("statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout")
# An index that takes some time, so that sessions wait; rows that a restore puts into other partitions; a sequence that somebody alters.
SLOW_AND_STRANGE = """
CREATE FUNCTION slow(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.005); RETURN t; END';
CREATE TABLE notes AS SELECT n::text AS t FROM generate_series(1, 60) AS n;
CREATE INDEX ON notes (slow(t));
CREATE TYPE kind AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
CREATE TABLE parts (k kind, n int) PARTITION BY HASH (k);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT (enum_range(NULL::kind))[1 + n % 8], n FROM generate_series(1, 80) AS n;
CREATE SEQUENCE numbers;
SELECT lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex')), lo_from_bytea(0, '');
"""


def test_what_ends_other_sessions_or_holds_a_sequence_does_not_end_a_proof(backups, server, tenants, monkeypatch):
    (tenant,) = tenants(script=SLOW_AND_STRANGE)
    with server.connect() as admin:
        for name in IMPATIENT:
            admin.execute(f"ALTER ROLE upgrade SET {name} = '100ms'")
    try:
        with server.connect(tenant) as other, other.transaction():
            other.execute("ALTER SEQUENCE numbers RESTART 7")
            with monkeypatch.context() as surroundings:
                for name, value in FOREIGN.items():
                    surroundings.setenv(name, value)
                result = back_up(backups(), tenant)[tenant]
    finally:
        with server.connect() as admin:
            for name in IMPATIENT:
                admin.execute(f"ALTER ROLE upgrade RESET {name}")
    assert result["proven"], result["why"]
    assert (result["tables"], result["rows"]) == (3, 60 + 80 + 2)


def test_an_encoding_and_a_locale_of_its_own(backups, server):
    server.run("CREATE DATABASE \"Old 'n' odd/%\" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        server.run("CREATE TABLE \"a %s \"\"b\"\"\" (\"ö\" text); INSERT INTO \"a %s \"\"b\"\"\" VALUES ('Käse')", "Old 'n' odd/%")
        result = back_up(backups(), "Old 'n' odd/%")["Old 'n' odd/%"]
    finally:
        server.run("DROP DATABASE \"Old 'n' odd/%\"")
    assert result["proven"], result["why"]
    assert (result["tables"], result["rows"]) == (1, 1)


def test_what_killed_runs_left_is_dropped_and_nothing_else(server):
    now = int(time.time())
    old, used, young = (scratch_names.new_name("shop", made) for made in (now - 3600, now - 3600, now))
    users = ["alwayson_proof_of_concept", old[:-1] + ("0" if old[-1] != "0" else "1")]
    for name in (old, used, young, *users):
        server.run(f'CREATE DATABASE "{name}"')
    try:
        with server.connect(used), connect(server.login) as session:
            assert scratch.drop_left_behind(session) == ([old], [])
            assert not set(catalog.user_databases(session)) & {used, young}
            assert set(users) <= set(catalog.user_databases(session))
        assert set(server.scratch_databases()) == {used, young, *users}
    finally:
        for name in (old, used, young, *users):
            server.run(f'DROP DATABASE IF EXISTS "{name}"')


def test_a_disk_that_is_full_is_a_failure_and_nothing_is_left(backups, server, tenant, tmp_path):
    run = backups(limited_programs(tmp_path, server.binaries))
    result = back_up(run, tenant)[tenant]
    assert not result["proven"] and "pg_dump ended with 1" in result["why"] and "could not" in result["why"]
    assert files(run) == []
    assert server.value("SELECT count(*) FROM orders", tenant) == 500


def limited_programs(folder: Path, binaries: Path) -> type[Logical]:
    """A method whose pg_dump can write no file of more than 1024 bytes."""
    wrapper = folder / "pg_dump"
    wrapper.write_text(f'#!/bin/bash\ntrap "" XFSZ\nulimit -f 1\nexec "{binaries}/pg_dump" "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)

    class Limited(Logical):
        def __init__(self, login, server, found, runner, room):
            super().__init__(login, server, programs.Programs(str(wrapper), found.pg_restore, found.major), runner, room)

    return Limited


def test_a_table_that_the_role_may_not_read_is_a_failure(backups, server, tenant):
    with server.connect(tenant) as admin:
        admin.execute("CREATE TABLE secret (x int)")
    result = back_up(backups(), tenant)[tenant]
    assert not result["proven"] and "permission denied for table secret" in result["why"]


def test_only_the_newest_backups_of_a_database_stay(backups, tenants):
    first, second = tenants(2)
    run = backups()
    paths = [back_up(run, first, second, keep=2, parallel=2)[first]["path"] for _time in range(2)]
    foreign = Path(run.store.directory) / f"{first}-20200101T000000.000Z.dump"
    foreign.write_text("not one of ours: it has no manifest")
    last = back_up(run, first, keep=2)[first]
    dumps = [name for name in files(run) if name.endswith(".dump")]
    assert last["removed"] == [paths[0]]
    assert foreign.name in dumps and os.path.basename(paths[1]) in dumps and os.path.basename(last["path"]) in dumps
    assert sum(name.startswith(second) for name in dumps) == 2 and len(dumps) == 5


def test_one_failing_database_does_not_hold_up_the_others(backups, server, tenants):
    good, bad = tenants(2)
    with server.connect(bad) as admin:
        admin.execute("CREATE TABLE secret (x int)")
    result = back_up(backups(), bad, good)
    assert [name for name in result if result[name]["proven"]] == [good]


def test_two_runs_into_one_folder_are_refused(backups):
    run = backups()
    with run.store.exclusive(), pytest.raises(StoreError, match=f"{os.getpid()}"), run.store.exclusive():
        pass


def test_a_database_that_is_not_there_is_named(server, tenant):
    with connect(server.login) as session, pytest.raises(PostgresqlError, match=f"sessions: nowhere; there are: .*{tenant}"):
        catalog.choose_databases(session, [tenant, "nowhere"])
