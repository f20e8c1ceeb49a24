# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server is recovered and rewound by its programs: with its own configuration, wherever that is, and without this process's environment."""

from __future__ import annotations

import json
import os
import sys

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.data_directory import DataDirectory, DataDirectoryError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin import stopped_server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin.stopped_server import ProgramFailed, StoppedServer, environment, quoted, stub
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login

# Notes down how it was run, says what is not UTF-8, and fails when it is told to.
PROGRAM = """#!{python}
import json, os, sys
here = os.path.dirname(sys.argv[0])
with open(os.path.join(here, "runs"), "a") as file:
    json.dump([os.path.basename(sys.argv[0]), sys.argv[1:], dict(os.environ), os.path.exists({signal!r})], file)
    print(file=file)
sys.stdout.buffer.write(b"/archive/%f\\n")
sys.stderr.buffer.write("ung\\u00fcltig".encode("latin-1"))
sys.exit(os.path.exists(os.path.join(here, "fails")))
"""


@pytest.fixture(name="place")
def _place(tmp_path, monkeypatch):
    data, programs = tmp_path / "data", tmp_path / "bin"
    programs.mkdir()
    data.mkdir()
    (data / "PG_VERSION").write_text("15\n")
    for name in ("postgres", "pg_rewind", "pg_controldata"):
        (programs / name).write_text(PROGRAM.format(python=sys.executable, signal=str(data / "standby.signal")))
        (programs / name).chmod(0o755)
    monkeypatch.setattr(stopped_server, "DEBIAN", str(tmp_path / "etc" / "*" / "postgresql.conf"))
    return tmp_path


def server(place, *hints):
    return StoppedServer(DataDirectory(str(place / "data"), str(place / "bin")), str(place / "bin"), hints)


def runs(place):
    return [json.loads(line) for line in (place / "bin" / "runs").read_text().splitlines()]


def conf(place, folder, text=""):
    path = place / folder / "postgresql.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_its_configuration_is_found_where_it_is(place):
    assert server(place).configuration() is None
    other, debian = conf(place, "etc/other", "data_directory = '/elsewhere'\n"), conf(place, "etc/main", f"#x\ndata_directory = '{place}/data'\t# the data\n")
    assert server(place).configuration() == debian != other
    inside = conf(place, "data")
    assert server(place).configuration() == inside
    hinted = conf(place, "hinted")
    for words in (["-o", f"-c config_file={hinted} -c port=1"], [f"--config-file={hinted}"], ["-o", f"-c config_file='{hinted}'"]):
        assert server(place, "pg_ctl", *words).configuration() == hinted
    started = conf(place, "started")
    (place / "data" / "postmaster.opts").write_text(f'/bin/postgres "-D" "{place}/data" "-c" "config_file={started}" "-p" "6000"\n')
    assert server(place, f"config_file={hinted}").configuration() == started
    os.unlink(started)
    assert server(place, f"config_file={hinted}").configuration() == hinted


def test_a_crash_is_recovered_with_its_own_settings_and_it_is_fenced_afterwards(place, monkeypatch):
    started, data = conf(place, "started"), place / "data"
    (data / "postmaster.opts").write_text(f'/bin/postgres "-D" "{data}" "-c" "config_file={started}" "-c" "max_connections=500"\n')
    (data / "standby.signal").touch()
    for name, value in {"PGDATA": "/elsewhere", "PGSERVICE": "other", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "C"}.items():
        monkeypatch.setenv(name, value)
    server(place).recover(os.open(data, os.O_RDONLY))
    (name, argv, seen, had_signal), = runs(place)
    assert name == "postgres" and argv[:3] == ["--single", "-D", str(data)] and "max_connections=500" in argv and f"config_file={started}" in argv
    assert not had_signal and (data / "standby.signal").exists()
    assert seen["LC_ALL"] == "C" and not {"PGDATA", "PGSERVICE", "LANGUAGE"} & set(seen)
    (place / "bin" / "fails").touch()
    with pytest.raises(ProgramFailed, match="postgres ended with 1: /archive/%f\nung\ufffdltig"):
        server(place).recover(os.open(data, os.O_RDONLY))
    assert (data / "standby.signal").exists()


def test_the_rewind_fetches_from_the_archive_what_the_server_has_no_longer(place):
    lock = os.open(place / "data", os.O_RDONLY)
    for command, expected in (("", False), ("cp '/a\\b/%f' %p", True)):
        (place / "data" / "postgresql.conf").write_text(stub(command))
        assert server(place).rewind(Login(host="db2", password="geheim"), lock, "--dry-run").startswith("/archive/")
        name, argv, seen, _signal = runs(place)[-1]
        assert name == "pg_rewind" and ("--restore-target-wal" in argv) is expected and argv[-1] == "--dry-run" and "geheim" not in " ".join(argv)
        assert seen["PGPASSWORD"] == "geheim" and "password" not in " ".join(argv)
    assert stub("cp '/a\\b/%f' %p") == "restore_command = 'cp ''/a\\\\b/%f'' %p'\n" and quoted("") == "''"


def test_two_runs_do_not_work_on_one_directory(place):
    directory = DataDirectory(str(place / "data"), str(place / "bin"))
    with directory.locked(), pytest.raises(DataDirectoryError, match="another run works on"), directory.locked():
        pass
    with pytest.raises(BlockingIOError), directory.locked():
        raise BlockingIOError
    with directory.locked():
        pass


def test_the_home_is_that_of_the_account():
    assert environment(0)["HOME"] == "/root"
