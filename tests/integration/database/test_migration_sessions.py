# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to the session of a runner: times that would end it, a lock that is lost, what a step leaves behind, a pooler on the way."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.command import command_step
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import MigrationError, Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import session as own
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.migration.engine import PostgresqlEngine
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login
from fleet import pooler
from fleet.ports import Ports
from fleet.postgres import NOBODY, accepted_prefixes
from integration.database.conftest import PASSWORD, ROLE

QUICK = Policy(attempts=3, retry_delay_ms=20, wait_seconds=5)
LEDGER = {"postgresql": "alwayson.migration", "mariadb": "alwayson_migration", "sqlite": "alwayson_migration"}
TEMPORARY = "CREATE TEMPORARY TABLE orders AS SELECT * FROM {0}orders WHERE id < 3;"
UNLOCK = {"postgresql": "SELECT pg_advisory_unlock_all()", "mariadb": "DO RELEASE_ALL_LOCKS()"}


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def place(request):
    return request.getfixturevalue(f"{request.param}_place")


def migrate(engine, name, *steps):
    planned = [*steps_of("2.0.0", "expand", [step for step in steps if isinstance(step, dict)], engine.step), *(s for s in steps if not isinstance(s, dict))]
    return Migrator(engine, planned, QUICK).migrate_all(survey(engine, [name], planned), 1)


def script(name, sql):
    return {"name": name, "sql": sql}


def test_no_time_of_the_database_ends_the_session_that_holds_the_lock(server, tenant, tmp_path):
    with server.connect() as admin:
        for setting in ("idle_session_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            admin.execute(f"ALTER DATABASE {tenant} SET {setting} = '700ms'")
    code = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(1.5)"
    tool = command_step("2.0.0", "expand", [sys.executable, "-c", code, str(tmp_path / "runs")], [], {}, None)
    for _run in range(2):
        assert report(migrate(server.engine, tenant, script("001_slow", "SELECT pg_sleep(1)"), tool)) == ""
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.parametrize("kind", sorted(UNLOCK))
def test_a_step_that_releases_the_runner_s_lock_is_not_recorded(request, kind):
    place = request.getfixturevalue(f"{kind}_place")
    (name,) = place.make(1)
    message = report(migrate(place.engine, name, script("001_sly", UNLOCK[kind]), script("002_seen", "INSERT INTO seen VALUES (1)")))
    assert f"the lock that keeps other runners out of database {name} is not held any more: a step has released it" in message
    assert place.value(f"SELECT count(*) FROM {LEDGER[kind]}", name) == place.value("SELECT count(*) FROM seen", name) == 0


def test_a_lock_file_that_was_removed_is_found_out(sqlite_place):
    (name,) = sqlite_place.make(1)
    tool = command_step("2.0.0", "expand", ["rm", name + "-alwayson.lock"], [], {}, None)
    assert "-alwayson.lock, which keeps other runners out, was removed while the tool was at work" in report(migrate(sqlite_place.engine, name, tool))
    assert sqlite_place.value("SELECT status FROM alwayson_migration", name) == "begun"


@pytest.mark.parametrize(("kind", "schema"), [("postgresql", "public."), ("sqlite", "main.")])
def test_a_temporary_table_ends_with_its_step(request, kind, schema):
    place = request.getfixturevalue(f"{kind}_place")
    (name,) = place.make(1)
    rows = place.value("SELECT count(*) FROM orders", name)
    assert report(migrate(place.engine, name, script("001_a", TEMPORARY.format(schema)), script("002_b", TEMPORARY.format(schema)),
                          script("003_c", "ALTER TABLE orders ADD COLUMN more integer"))) == ""
    assert place.value("SELECT count(more) + count(*) FROM orders", name) == rows > 3


def test_settings_and_prepared_statements_end_with_their_step(server, tenant):
    first = "SET search_path = nowhere; SET my.own = 'x'; PREPARE p AS SELECT 1; CREATE TABLE public.more (a int); LISTEN x; SELECT setseed(0)"
    second = "PREPARE p AS SELECT 2; DO $$BEGIN ASSERT coalesce(current_setting('my.own', true), '') = ''; END$$; ALTER TABLE orders ADD COLUMN more int"
    assert report(migrate(server.engine, tenant, script("001_a", first), script("002_b", second))) == ""


def test_what_a_script_keeps_in_mariadb_ends_with_it(mariadb_place):
    (name,) = mariadb_place.make(1)
    second = script("002_b", "INSERT INTO seen VALUES (coalesce(@a, @`b c`, 1))")
    assert report(migrate(mariadb_place.engine, name, script("001_a", "DO @a := 7, @`b c` := 8"), second)) == ""
    assert mariadb_place.value("SELECT n FROM seen", name) == 1


@contextlib.contextmanager
def pgbouncer(server, name, mode, size, extra=""):
    """A pooler in front of a tenant; the login for it."""
    folder = Path(tempfile.mkdtemp(prefix="alwayson-pooler-"))
    endpoint = Ports().endpoint("127.0.0.1")
    (folder / "users").write_text(f'"{ROLE}" "{PASSWORD}"\n', encoding="ascii")
    (folder / "ini").write_text(
        f"[databases]\n{name} = host=127.0.0.1 port={server.port}\npostgres = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
        f"listen_addr = {endpoint.address}\nlisten_port = {endpoint.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
        f"pool_mode = {mode}\ndefault_pool_size = {size}\n{extra}\n", encoding="ascii")
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    command = [*pooler.find_binary(Path(__file__).resolve().parents[3] / "build" / "cache" / "pgbouncer"), "--quiet", str(folder / "ini")]
    prefix = accepted_prefixes()[0] if os.geteuid() == 0 else []
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*prefix, *command], stdout=log, stderr=log, cwd=folder)
    login = Login(host=endpoint.address, port=endpoint.port, user=ROLE, password=PASSWORD)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                own.connect(login, name).close()
                break
            except own.PostgresqlError as error:
                assert time.monotonic() < deadline and process.poll() is None, error
                time.sleep(0.05)
        yield login
    finally:
        process.terminate()
        process.wait(15)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("mode", "size", "extra"), [("transaction", 1, ""), ("transaction", 4, ""), ("transaction", 4, "server_round_robin = 1"), ("statement", 2, "")])
def test_a_pooler_of_transactions_is_refused_before_anything_is_done(server, tenant, mode, size, extra):
    with pgbouncer(server, tenant, mode, size, extra) as login:
        why = f"nothing was applied anywhere. {tenant}: .* which pools transactions or statements.*server itself as login_host"
        with pytest.raises(MigrationError, match=why):
            migrate(PostgresqlEngine(login), tenant, script("001_a", "CREATE TABLE more (a int)"))
        assert server.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", tenant) == 0
        assert server.value("SELECT to_regnamespace('alwayson') IS NULL", tenant)


def test_a_pooler_of_sessions_is_taken_and_an_exhausted_one_is_refused(server, tenant, monkeypatch):
    monkeypatch.setattr(own, "OTHER_SECONDS", 3.0)
    with pgbouncer(server, tenant, "session", 3) as login:
        assert report(migrate(PostgresqlEngine(login), tenant, script("001_a", "CREATE TABLE more (a int)"))) == ""
        assert server.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", tenant) == 0
    with pgbouncer(server, tenant, "session", 1) as login, pytest.raises(MigrationError, match=r"is unknown: the session with database .* was lost"):
        migrate(PostgresqlEngine(login), tenant, script("002_b", "CREATE TABLE other (a int)"))
