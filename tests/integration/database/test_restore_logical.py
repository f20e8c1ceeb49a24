# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases come back from their dumps on a server that lacks them: whole and equal, or not at all."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import psycopg
import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.disk_space import Room
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.run import BackupRun
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import Store
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.programs import Runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import catalog, programs
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.logical import Logical
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import connect

from integration.database.restoring import begin, killed_when

RIGHTS = """
CREATE ROLE reader;
ALTER DATABASE {name} SET statement_timeout = '7s';
GRANT CONNECT ON DATABASE {name} TO reader;
REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC;
"""


@pytest.fixture
def backed_up(server, tenants, tmp_path):
    """Two tenants that were backed up and are gone: their names."""
    names = tenants(2)
    with server.connect() as session:
        session.execute(RIGHTS.format(name=names[0]))
    server.run("GRANT SELECT ON orders TO reader; COMMENT ON TABLE orders IS 'orders'", names[0])
    store = Store(str(tmp_path / "backups"), Logical.suffix)
    store.prepare()
    with connect(server.login) as session:
        identity = catalog.identity(session)
    found = programs.find(identity["version_number"] // 10000, str(server.binaries))
    results = BackupRun(Logical(server.login, identity, found, Runner(), Room(store.directory)), identity, store).back_up_all(names, 5, 2)
    assert [result["proven"] for result in results.values()] == [True, True], results
    for name in names:
        drop(server, name)
    yield names
    for name in names:
        drop(server, name)
    with server.connect() as session:
        session.execute("DROP ROLE reader")


def drop(server, name):
    with server.connect() as session:
        session.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def options(server, tmp_path, **changed) -> dict:
    login = server.login
    return {"method": "logical", "directory": str(tmp_path / "backups"), "login_host": "127.0.0.1", "login_port": server.port, "login_user": login.user,
            "login_password": login.password, "bin_dir": str(server.binaries), **changed}


def restore(server, tmp_path, check=False, **changed) -> dict:
    said, _nothing = begin({**options(server, tmp_path, **changed), "_ansible_check_mode": check}).communicate(timeout=120)
    return json.loads(said)


def half_done(server) -> list[str]:
    with server.connect() as session:
        return [name for (name,) in session.execute("SELECT datname FROM pg_database WHERE datname LIKE 'alwayson\\_restore\\_%'")]


def test_databases_that_are_missing_come_back_and_the_others_are_left_alone(server, backed_up, tmp_path):
    first, second = backed_up
    foreseen = restore(server, tmp_path, check=True)
    assert foreseen["changed"] and [row["restored"] for row in foreseen["databases"].values()] == [True, True]
    server.run(f"CREATE DATABASE {second}")
    result = restore(server, tmp_path)
    assert result.get("changed") and result["databases"][first]["restored"] and result["databases"][first]["rows"] == 550, result
    assert not result["databases"][second]["restored"] and "was left alone" in result["databases"][second]["why"]
    assert server.value("SELECT count(*) FROM pg_class WHERE relname = 'orders'", second) == 0
    assert result["data_of"] == result["databases"][first]["data_of"] and result["lost_seconds"] > 0
    assert server.value("SELECT count(*) FROM orders", first) == 500 and server.value("SHOW statement_timeout", first) == "7s"
    assert server.value("SELECT has_table_privilege('reader', 'orders', 'SELECT') AND obj_description('orders'::regclass) = 'orders'", first)
    rights = "SELECT has_database_privilege('reader', current_database(), 'CONNECT') AND NOT has_database_privilege('reader', current_database(), 'TEMPORARY')"
    assert server.value(rights, first)
    server.run("INSERT INTO orders (product, quantity) VALUES (1, 1)", first)
    again = restore(server, tmp_path)
    assert not again["changed"] and not any(row["restored"] for row in again["databases"].values())
    assert server.value("SELECT count(*) FROM orders", first) == 501


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_killed_and_run_again(server, backed_up, tmp_path, number):
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, act in (("pg_dump", ""), ("pg_restore", f'case "$*" in *dbname*) touch "{folder}/seen"; exec sleep 60;; esac')):
        (folder / name).write_text(f'#!/bin/sh\n{act}\nexec "{server.binaries / name}" "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    killed_when(begin(options(server, tmp_path, bin_dir=str(folder))), (folder / "seen").exists, number)
    assert bool(half_done(server)) == (number == signal.SIGKILL)
    result = restore(server, tmp_path)
    assert result.get("changed") and [row["restored"] for row in result["databases"].values()] == [True, True], result
    assert half_done(server) == [] and bool(result["dropped"]) == (number == signal.SIGKILL)


def test_what_is_injured_old_or_not_right_is_refused_and_nothing_is_left(server, backed_up, tmp_path):
    first, second = backed_up
    dump = next(path for path in (tmp_path / "backups").iterdir() if path.name.startswith(first) and path.suffix == ".dump")
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    result = restore(server, tmp_path)
    assert result["failed"] and f"not restored: {first}: {dump} is not complete: the checksum differs for {dump.name}" in result["msg"]
    assert f"Restored: {second}." in result["msg"]
    dump.write_bytes(whole)
    manifest = Path(f"{dump}.json")
    for changed, reported in (
        ({"max_age": 1}, "and max_age is 1"),
        ({"system_identifier": "7"}, "there is no backup of"),
        ({"databases": ["nowhere"]}, "there is no backup of nowhere"),
        ({"check_queries": ["SELECT count(*) = 1 FROM orders"]}, "answered False"),
        ({"backup": dump.name}, "give its name, and no other, as databases"),
    ):
        result = restore(server, tmp_path, **changed)
        assert result["failed"] and reported in result["msg"], reported
    text = manifest.read_text(encoding="utf-8")
    assert text.count('"rows": 500') == 1
    sums = Path(f"{dump}.sha256")
    seal(manifest, sums, text.replace('"rows": 500', '"rows": 501'))
    result = restore(server, tmp_path)
    assert "the restored copy is not what was backed up: public.orders has 500 rows instead of 501" in result["msg"]
    seal(manifest, sums, text.replace('"system_identifier": "', '"system_identifier": "9'))
    assert "holds backups of 2 servers" in restore(server, tmp_path)["msg"]
    assert half_done(server) == []
    with pytest.raises(psycopg.OperationalError):
        server.value("SELECT 1", first)


def seal(manifest: Path, sums: Path, text: str) -> None:
    """Change a manifest, and its checksum with it."""
    before = hashlib.sha256(manifest.read_bytes()).hexdigest()
    manifest.write_text(text, encoding="utf-8")
    sums.write_text(sums.read_text(encoding="utf-8").replace(before, hashlib.sha256(manifest.read_bytes()).hexdigest()), encoding="utf-8")
