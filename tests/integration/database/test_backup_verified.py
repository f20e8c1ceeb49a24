# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that are there are proven once more: every injured, foreign, old or missing one is refused with a reason, an unharmed one never."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.disk_space import Room
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.run import BackupRun
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import PARTIAL, Store, digests
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.programs import Runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import catalog, programs
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.logical import Logical
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import connect


@pytest.fixture
def run(server, tmp_path):
    """Makes a run into one folder; afterwards no scratch database is left on the server."""

    def make(free=None, clock=None, **options) -> BackupRun:
        store = Store(str(tmp_path / "backups"), ".dump")
        store.prepare()
        with connect(server.login) as session:
            identity = catalog.identity(session)
        found = programs.find(identity["version_number"] // 10000, str(server.binaries))
        room = Room(store.directory, free) if free else Room(store.directory)
        return BackupRun(Logical(server.login, identity, found, Runner(), room, **options), identity, store, **({"clock": clock} if clock else {}))

    yield make
    assert server.scratch_databases() == []


def verify(run: BackupRun, database: str, max_age: float = 0) -> dict:
    return run.verify_all([database], max_age, 1)[database]


@pytest.fixture
def backup(run, tenant) -> Path:
    """The path of a proven backup of `tenant`."""
    result = run().back_up_all([tenant], 5, 1)[tenant]
    assert result["proven"], result["why"]
    return Path(result["path"])


def test_an_unharmed_backup_is_proven_again_whatever_the_original_is_now(run, server, tenant, backup):
    server.run("TRUNCATE orders", tenant)
    before = sorted((path.name, path.read_bytes()) for path in backup.parent.iterdir())
    result = verify(run(), tenant, 3600)
    assert result["proven"], result["why"]
    assert (result["path"], result["tables"], result["rows"], result["removed"]) == (str(backup), 2, 550, [])
    assert sorted((path.name, path.read_bytes()) for path in backup.parent.iterdir()) == before


def test_every_byte_of_the_three_files_counts(run, tenant, backup):
    refused = 0
    for end in ("", ".json", ".sha256"):
        path = Path(f"{backup}{end}")
        whole = path.read_bytes()
        for place in random.Random(7).sample(range(len(whole)), 6):
            injured = bytearray(whole)
            injured[place] ^= 1 << place % 8
            path.write_bytes(injured)
            result = verify(run(), tenant)
            assert not result["proven"] and "checksum" in result["why"], (end, place)
            refused += 1
        path.write_bytes(whole[:-1])
        refused += not verify(run(), tenant)["proven"]
        path.unlink()
        result = verify(run(), tenant)
        assert not result["proven"] and (f"{path} is missing" in result["why"]), result["why"]
        path.write_bytes(whole)
    assert refused == 3 * 7
    assert verify(run(), tenant)["proven"]


def test_another_databases_backup_under_this_name(run, tenants):
    mine, other = tenants(2)
    paths = {name: Path(run().back_up_all([name], 5, 1)[name]["path"]) for name in (mine, other)}
    for end in ("", ".json", ".sha256"):
        shutil.copy(f"{paths[other]}{end}", f"{paths[mine]}{end}")
    assert not verify(run(), mine)["proven"]
    # The names in the list of checksums are put right, and the manifest is not.
    listed = Path(f"{paths[mine]}.sha256")
    listed.write_text(listed.read_text().replace(paths[other].name, paths[mine].name))
    result = verify(run(), mine)
    assert not result["proven"] and f"proven under another name, {paths[other].name}" in result["why"]
    assert verify(run(), other)["proven"]


def test_a_dump_of_an_emptied_table_with_right_checksums(run, server, tenant, backup):
    manifest = Path(f"{backup}.json").read_text()
    server.run("TRUNCATE orders", tenant)
    emptied = Path(run().back_up_all([tenant], 5, 1)[tenant]["path"])
    # The older manifest over the newer dump, everything signed again: only the content tells.
    Path(f"{emptied}.json").write_text(manifest.replace(backup.name, emptied.name))
    store = run().store
    Path(f"{emptied}.sha256").write_text(store._lines(digests([str(emptied), f"{emptied}.json"])))
    result = verify(run(), tenant)
    assert not result["proven"] and "public.orders has 0 rows instead of 500" in result["why"]


def test_an_old_a_future_and_a_foreign_backup(run, tenant, backup):
    taken = run().store.backups(tenant, run().server["system_identifier"])[0].taken
    assert "max_age is 60" in verify(run(clock=lambda: taken + 61), tenant, 60)["why"]
    assert "in the future" in verify(run(clock=lambda: taken - 3600), tenant, 60)["why"]
    assert verify(run(clock=lambda: taken + 59), tenant, 60)["proven"]
    stranger = run()
    stranger.server = {**stranger.server, "system_identifier": "1"}
    assert "is of another server" in verify(stranger, tenant)["why"]


def test_without_a_backup_and_after_a_killed_run(run, tenant, backup):
    assert "there is no backup of nowhere" in verify(run(), "nowhere")["why"]
    half = run().store.new_path(tenant, 4_000_000_000.0)
    for end in (PARTIAL, ".json", ".sha256"):
        Path(half + end).write_text("x")
    assert verify(run(), tenant)["proven"]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT count(*) = 500 FROM orders", None),
        ("SELECT count(*) = 501 FROM orders", "answered False"),
        ("SELECT NULL::boolean", "answered None"),
        ("SELECT 1", "answered 1"),
        ("SELECT true FROM products", "answered 50 rows"),
        ("SELECT true, true", "answered 2 columns"),
        ("SELECT true FROM nowhere", 'relation "nowhere" does not exist'),
        ("DELETE FROM orders RETURNING true", "read-only transaction"),
    ],
)
def test_a_users_own_question_is_part_of_the_proof(run, tenant, backup, query, why):
    result = verify(run(check_queries=["SELECT true", query]), tenant)
    assert result["proven"] if why is None else (not result["proven"] and why in result["why"]), result["why"]


def test_a_disk_without_room_is_refused_before_anything_is_written(run, tenant):
    used = run(free=lambda _folder: 1_000_000)
    result = used.back_up_all([tenant], 5, 1)[tenant]
    assert not result["proven"] and f"not enough disk space for a dump of {tenant}" in result["why"] and "below" in result["why"]
    assert os.listdir(used.store.directory) == []
