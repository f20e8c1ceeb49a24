# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of a whole server is proven when, and only when, what a scratch server restores from it is what was there: with real programs, under load."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.disk_space import Room
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import LOCK

from integration.database.conftest import Writer


def test_others_write_while_a_server_is_copied(run, server, tenants):
    names = tenants(3)
    with Writer(server, names) as writer:
        results = run(check_queries=["SELECT count(*) >= 500 FROM orders"]).back_up_all(names, 5, 1)
        assert writer.changes > 100
    assert {name: result["proven"] for name, result in results.items()} == dict.fromkeys(names, True), results
    assert all(result["rows"] > 550 and result["tables"] == 2 for result in results.values()), "the writers' rows are in it"
    again = run(check_queries=["SELECT count(*) >= 500 FROM orders"]).verify_all(names, 3600, 1)
    assert all(result["proven"] and result["rows"] == results[name]["rows"] for name, result in again.items()), again
    refused = run(check_queries=["SELECT count(*) = 500 FROM orders"]).verify_all(names, 3600, 1)
    assert not any(result["proven"] for result in refused.values()) and "answered False" in refused[names[0]]["why"]


QUIET = ("SELECT string_agg(current_setting(name), ',' ORDER BY name) = 'off,off,0,' FROM pg_settings"
         " WHERE name IN ('archive_mode', 'autovacuum', 'max_logical_replication_workers', 'shared_preload_libraries')")
WORKERS = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('logical replication launcher', 'archiver', 'autovacuum launcher')"


def test_nothing_in_the_copy_acts_on_its_own(run, server, tenant):
    server.run("CREATE FUNCTION ran() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''an event trigger ran''; END'", tenant)
    with server.connect(tenant) as session:
        session.execute("CREATE EVENT TRIGGER looks ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION ran()")
    result = run(check_queries=[QUIET, WORKERS]).back_up_all([tenant], 5, 1)[tenant]
    assert result["proven"], result["why"]


def test_log_behind_the_copy_is_kept_until_it_is_fetched(run, server, tenant, monkeypatch):
    """The server would remove it: more is written than it keeps, while the first databases are summed up."""
    slots = []
    used = run()
    cover = used.method._cover

    def cover_later(*arguments):
        slots.append(server.value("SELECT count(*) FROM pg_replication_slots WHERE temporary AND restart_lsn IS NOT NULL"))
        return cover(*arguments)

    monkeypatch.setattr(used.method, "_cover", cover_later)
    result = used.back_up_all([tenant], 5, 1)[tenant]
    assert result["proven"], result["why"]
    assert slots == [1] and server.value("SELECT count(*) FROM pg_replication_slots") == 0


def injuries(base: Path) -> dict[str, Path]:
    heap = max((path for path in base.glob("base/*/*") if path.name.isdigit()), key=lambda path: path.stat().st_size)
    log = sorted(path for path in (base / "pg_wal").iterdir() if path.is_file())
    return {"heap": heap, "first of the log": log[0], "last of the log": log[-1], "manifest": base / "backup_manifest",
            "control": base / "global" / "pg_control", "record": Path(f"{base}.json"), "checksums": Path(f"{base}.sha256")}


def test_a_byte_that_changed_and_a_file_that_is_missing_are_refused(run, tenant):
    result = run().back_up_all([tenant], 5, 1)[tenant]
    assert result["proven"], result["why"]
    base = Path(result["path"])
    refused = 0
    for name, path in injuries(base).items():
        whole = path.read_bytes()
        for injured in (whole[:-1] + bytes([whole[-1] ^ 1]), None):
            path.unlink() if injured is None else path.write_bytes(injured)
            result = run().verify_all([tenant], 0, 1)[tenant]
            assert not result["proven"] and result["why"], name
            refused += 1
        path.write_bytes(whole)
    assert refused == 14
    assert run().verify_all([tenant], 0, 1)[tenant]["proven"]


def test_a_copy_that_differs_is_refused(run, server, tenant):
    """The manifest's content is of another moment: only the comparison tells."""
    used = run()
    take = used.method.take

    def take_and_change(*arguments):
        record = take(*arguments)
        tables = record.contents[tenant].tables
        tables["public.orders"] = {**tables["public.orders"], "sum": "1"}
        return record

    used.method.take = take_and_change
    result = used.back_up_all([tenant], 5, 1)[tenant]
    assert not result["proven"] and "public.orders has as many rows (500), but their content differs" in result["why"]
    assert [name for name in os.listdir(used.store.directory) if name != LOCK] == []


def test_only_the_newest_stay_and_no_room_is_refused(run, tenant):
    paths = [run().back_up_all([tenant], 1, 1)[tenant]["path"] for _time in range(2)]
    assert not Path(paths[0]).exists() and Path(paths[1]).is_dir()
    assert sorted(os.listdir(run().store.directory)) == sorted(os.path.basename(paths[1]) + end for end in ("", ".json", ".sha256"))
    full = run()
    full.method.room = Room(full.store.directory, lambda _folder: 1_000_000)
    assert "not enough disk space for a copy of the server" in full.back_up_all([tenant], 1, 1)[tenant]["why"]
