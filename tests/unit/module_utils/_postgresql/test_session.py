# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.programs import ProgramError, Runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import programs, session as postgresql
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login, PostgresqlError, identifier, literal

OPTIONS = {
    "login_host": None, "login_unix_socket": None, "login_port": 5432, "login_user": "upgrade", "login_password": "s'e\\c ret", "login_db": "postgres",
    "ssl_mode": "prefer", "ca_cert": None,
}


def test_names_and_texts_are_quoted():
    assert identifier('a"b', "c.d") == '"a""b"."c.d"'
    assert literal("it's") == "'it''s'" and literal("a\\'b") == " E'a\\\\''b'"
    for quote in (identifier, literal):
        with pytest.raises(PostgresqlError, match="null character"):
            quote("a\0b")


def test_the_password_is_never_on_a_command_line():
    login = Login.of(OPTIONS)
    assert "s'e" not in login.conninfo("shop") and "s'e" not in repr(login)
    assert login.environment()["PGPASSWORD"] == "s'e\\c ret"
    assert "dbname='it\\'s \\\\ me'" in login.conninfo("it's \\ me")


@pytest.mark.parametrize(
    ("host", "socket", "local"),
    [(None, None, True), (None, "/run/postgresql", True), ("127.0.0.7", None, True), ("db1.example", None, False), ("localhost", None, True)],
)
def test_where_the_server_is(host, socket, local):
    login = Login.of({**OPTIONS, "login_host": host, "login_unix_socket": socket})
    assert login.is_local is local and login.host == (socket or host)


def test_without_a_driver_the_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(PostgresqlError, match="python3-psycopg2"):
        postgresql.connect(Login())


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(PostgresqlError, match=r"no session with database shop on 127.0.0.1, port 1 as postgres"):
        postgresql.connect(Login(host="127.0.0.1", port=1), "shop")


@pytest.fixture
def install(tmp_path):
    """Installs pretended programs: `install("name", "15.3")` returns their folder."""

    def make(name, version, *only):
        folder = tmp_path / name / "bin"
        folder.mkdir(parents=True)
        for program in only or programs.PROGRAMS:
            (folder / program).write_text(f'#!/bin/sh\necho "{program} (PostgreSQL) {version} (Pretended 9.9-1)"\n', encoding="utf-8")
            (folder / program).chmod(0o755)
        return str(folder)

    return make


def test_the_programs_of_the_servers_version_come_first(install, monkeypatch, tmp_path):
    monkeypatch.setattr(programs, "VERSION_FOLDERS", (str(tmp_path / "postgresql" / "*" / "bin"),))
    on_path = install("path", "18.1")
    folders = {major: install(f"postgresql/{major}", f"{major}.2") for major in (9, 15, 17)}
    monkeypatch.setenv("PATH", on_path)
    assert programs.find(18).pg_dump == os.path.join(on_path, "pg_dump")
    assert programs.find(17).pg_dump == os.path.join(folders[17], "pg_dump")
    # None of that version: the first that is newer.
    assert programs.find(16).pg_restore == os.path.join(on_path, "pg_restore")


def test_programs_older_than_the_server_are_refused(install, monkeypatch):
    monkeypatch.setattr(programs, "VERSION_FOLDERS", ())
    old = install("old", "15.3")
    monkeypatch.setenv("PATH", old)
    with pytest.raises(ProgramError, match=r"older than the server, which is 18; found .*pg_dump of 15; install postgresql-client-18"):
        programs.find(18)
    with pytest.raises(ProgramError, match="older than the server"):
        programs.find(16, old)


@pytest.mark.parametrize("only", [["pg_dump"], ["pg_restore"]])
def test_programs_that_are_not_both_there_are_refused(install, only):
    folder = install("half", "18.1", *only)
    with pytest.raises(ProgramError, match=f"no pg_dump and pg_restore of one version in {folder}"):
        programs.find(18, folder)


def test_a_program_that_fails_says_why():
    with pytest.raises(ProgramError, match=r"^sh ended with 3: no room; none at all$"):
        Runner().run(["/bin/sh", "-c", "echo 'no room\n none at all' >&2; exit 3"], os.environ)
    with pytest.raises(ProgramError, match="could not be started"):
        Runner().run(["/nowhere/pg_dump"], os.environ)


def test_a_stopped_runner_starts_nothing():
    runner = Runner()
    runner.run(["/bin/true"], os.environ)
    runner.stop()
    with pytest.raises(ProgramError, match="stopped"):
        runner.run(["/bin/true"], os.environ)
