# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import scratch_server as scratch

LIMITS = "max_connections setting:              100\nmax_worker_processes setting:         17\n"


@pytest.fixture
def settings(tmp_path):
    """The settings of a scratch server: `settings("pg_cron", version="17")` by name."""

    def configured(preload: str, version: str = "15") -> dict[str, str]:
        data = tmp_path / "data"
        data.mkdir(exist_ok=True)
        (data / "PG_VERSION").write_text(f"{version}\n")
        (data / "standby.signal").write_text("")
        (data / "postgresql.auto.conf").write_text("shared_preload_libraries = 'pg_cron'\n")
        runner = SimpleNamespace(run=lambda *_arguments: LIMITS)
        account = scratch.Account(os.geteuid(), os.getegid())
        scratch.ScratchServer(str(tmp_path), runner, {"pg_controldata": "x"}, account, "upgrade", scratch.allowed_libraries(preload))._configure("0/1")
        assert not (data / "standby.signal").exists() and (data / "postgresql.auto.conf").read_text() == ""
        lines = (tmp_path / "postgresql.conf").read_text().splitlines()
        return {name: value.strip("'") for name, value in (line.split(" = ", 1) for line in lines)}

    return configured


def test_nothing_that_acts_on_its_own_is_started(settings):
    found = settings("pg_cron, pg_stat_statements, '$libdir/citus'")
    quiet = {"shared_preload_libraries": "", "session_preload_libraries": "", "max_logical_replication_workers": "0", "archive_mode": "off",
             "autovacuum": "off", "listen_addresses": "", "primary_conninfo": ""}
    assert {name: found[name] for name in quiet} == quiet
    # A standby must have at least as much of these as its primary.
    assert (found["max_connections"], found["max_worker_processes"]) == ("100", "17")
    assert "event_triggers" not in found and settings("", "17")["event_triggers"] == "off"


def test_a_library_that_tables_need_is_loaded_without_its_workers(settings):
    assert scratch.allowed_libraries('pg_cron, "$libdir/timescaledb.so" ,auto_explain') == "$libdir/timescaledb.so"
    found = settings("timescaledb,pg_cron")
    assert (found["shared_preload_libraries"], found["timescaledb.max_background_workers"]) == ("timescaledb", "0")


def test_a_log_that_needs_a_library_is_reported_with_the_way_out(tmp_path):
    (tmp_path / "log").write_text("LOG:  x\nFATAL:  resource manager with ID 128 not registered\n")
    server = scratch.ScratchServer(str(tmp_path), None, {}, None, "upgrade", "")
    assert server._said().startswith("FATAL:  resource manager with ID 128 not registered. ") and server._said().endswith("use method=logical")


@pytest.mark.parametrize("is_link", [True, False])
def test_a_server_elsewhere_is_not_ended_by_a_link_to_its_data(tmp_path, is_link):
    """Whoever may write where copies are made could name any server so."""
    data, scratches = tmp_path / "data", tmp_path / "scratch"
    folder = scratches / f"{scratch.PREFIX}x"
    folder.mkdir(parents=True)
    data.mkdir()
    if is_link:
        (folder / "data").symlink_to(data)
    else:
        data = folder / "data"
        data.mkdir()
    with subprocess.Popen(["sleep", "60"], cwd=data) as server:
        (data / "postmaster.pid").write_text(f"{server.pid}\n", encoding="ascii")
        ended = threading.Thread(target=server.wait)
        ended.start()
        scratch.remove_left_behind(str(scratches))
        assert (server.poll() is None) is is_link and os.listdir(scratches) == []
        server.terminate()
        ended.join()
