# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database import scratch_names as scratch
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.disk_space import Room
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import LOCK, PARTIAL, Store, StoreError, digests
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.content import Content, describe, differences, steady
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.programs import ProgramError, Runner
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.logical import NOT_RESTORED, Logical, exists_once
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.physical import PROGRAMS, Physical
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.programs import Programs
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.scratch_server import Account
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login
from hypothesis import given
from hypothesis import strategies as st

TABLE = {"rows": 2, "sum": "11"}
ORIGINAL = Content({"public.a": TABLE}, frozenset({"table public.a"}), {"public.s": 5})


@given(st.text(min_size=1, max_size=80), st.integers(0, 2**32 - 1))
def test_a_scratch_name_fits_and_is_recognised(original, made):
    name = scratch.new_name(original, made)
    assert len(name.encode()) <= 63 and scratch.is_scratch(name)
    assert scratch.left_behind([name], made + 59) == [] and scratch.left_behind([name], made + 60) == [name]


@given(st.from_regex(r"alwayson_proof_[a-z0-9_]{0,48}", fullmatch=True))
def test_no_other_name_is_taken_for_one(name):
    assert not scratch.is_scratch(name)


def test_a_name_that_was_changed_is_no_scratch_name():
    name = scratch.new_name("shop", 1_800_000_000, "beef")
    assert scratch.is_scratch(name)
    changed = {name[:at] + other + name[at + 1:] for at in range(len(name)) for other in "0a" if other != name[at]}
    assert len(changed) > 60 and not any(scratch.is_scratch(other) for other in changed)
    assert not scratch.is_scratch(name + "0") and not scratch.is_scratch("x" + name)


@pytest.mark.parametrize(
    ("copy", "found"),
    [
        (ORIGINAL, []),
        (Content({"public.a": {"rows": 1, "sum": "11"}}, ORIGINAL.structure, ORIGINAL.sequences), ["public.a has 1 rows instead of 2"]),
        (Content({"public.a": {"rows": 2, "sum": "12"}}, ORIGINAL.structure, ORIGINAL.sequences), ["public.a has as many rows (2), but their content differs"]),
        (Content({}, frozenset(), {}), ["is missing: table public.a"]),
        (Content({"public.a": TABLE}, frozenset({"table public.a", "table public.b"}), {"public.s": 5}), ["is not in the original: table public.b"]),
        (Content({"public.a": TABLE}, ORIGINAL.structure, {"public.s": None}), ["the sequence public.s stands at None instead of 5"]),
    ],
)
def test_differences_are_reported(copy, found):
    assert differences(ORIGINAL, copy) == found


def test_a_sequence_that_moved_meanwhile_is_not_judged():
    copy = Content(ORIGINAL.tables, ORIGINAL.structure, {"public.s": 6})
    assert differences(ORIGINAL, copy) != [] and differences(steady(ORIGINAL, {"public.s": 7}), copy) == []
    assert describe([str(number) for number in range(7)]) == "0; 1; 2; 3; 4; and 2 more"


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "below" / "backups"), ".dump")
    store.prepare()
    return store


def add(store, database, taken, system="1"):
    path = store.new_path(database, taken)
    with open(path + PARTIAL, "wb") as file:
        file.write(b"dump")
    store.keep(path, digests([path + PARTIAL]), {"database": database, "system_identifier": system, "taken": taken})
    return path


@pytest.mark.parametrize("database", ["shop", "a/../b", "..", "Ünïcode x%", "shop-20260101T000000.000Z"])
def test_every_database_has_files_of_its_own(store, database):
    paths = [add(store, database, taken) for taken in (1.0, 2.001, 3.5)]
    add(store, "other", 4.0)
    assert all(os.path.dirname(path) == store.directory for path in paths)
    assert [backup.path for backup in store.backups(database, "1")] == paths[::-1]
    assert store.retain(database, "1", 2) == paths[:1]
    assert len(os.listdir(store.directory)) == 3 * 3


def test_only_own_backups_of_the_same_server_are_removed(store):
    kept = [add(store, "shop", 1.0, system="2"), add(store, "shop", 2.0), add(store, "shop", 3.0)]
    torn = store.new_path("shop", 4.0)
    for end, text in (("", "x"), (".json", '{"tool": "alwayson.upgrade", ')):
        with open(torn + end, "w", encoding="utf-8") as file:
            file.write(text)
    assert store.retain("shop", "1", 1) == [kept[1]]
    assert store.retain("shop", "1", 0) == []
    assert {os.path.basename(path) for path in (kept[0], kept[2], torn)} <= set(os.listdir(store.directory))


def test_what_a_killed_run_left_is_removed(store):
    path = add(store, "shop", 1.0)
    half = store.new_path("shop", 2.0)
    for name in (half + PARTIAL, half + ".sha256", half + ".json" + PARTIAL, os.path.join(store.directory, "notes.txt" + PARTIAL)):
        with open(name, "w", encoding="utf-8") as file:
            file.write("x")
    with store.exclusive():
        left = set(os.listdir(store.directory))
    assert left == {LOCK, "notes.txt" + PARTIAL, *(os.path.basename(path) + end for end in ("", ".json", ".sha256"))}


def test_the_manifest_names_its_file(store):
    path = add(store, "shop", 1.0)
    with open(path + ".json", encoding="utf-8") as file:
        assert json.load(file)["file"] == os.path.basename(path) == "shop-19700101T000001.000Z.dump"


def test_a_folder_that_others_can_read_is_refused(tmp_path):
    tmp_path.chmod(0o750)
    with pytest.raises(StoreError, match=r"open to others.*0750"):
        Store(str(tmp_path), ".dump").prepare()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a folder"):
        Store(str(tmp_path / "file"), ".dump").prepare()


@pytest.mark.parametrize(("major", "remark"), [(18, "; pg_restore is of version 18 and the server of 15: install postgresql-client-15"), (15, "")])
def test_a_restore_that_fails_with_newer_programs_says_so(major, remark):
    run = Logical(Login(), {"version_number": 150004}, Programs("/bin/false", "/bin/false", major), Runner(), Room("/"))
    with pytest.raises(ProgramError) as raised:
        run.restore(SimpleNamespace(database="scratch", server_version=150004), "nowhere")
    assert str(raised.value).partition(", or give")[0] == f"false ended with 1: no output{remark}"


LISTED = ["; Archive", "1; 2615 1 SCHEMA - cron anna", "2; 3079 2 EXTENSION - pg_cron ", "3; 0 0 COMMENT - EXTENSION pg_cron ",
          "4; 0 9 TABLE DATA cron job anna", "5; 0 0 SEQUENCE SET cron jobid_seq anna", "6; 1259 3 TABLE public cron anna",
          "7; 3466 4 EVENT TRIGGER - ddl anna", "8; 0 0 COMMENT public TABLE t anna", "9; 0 0 COMMENT - EXTENSION citext ",
          "10; 0 0 COMMENT - SCHEMA public anna"]


def test_what_a_server_has_once_and_what_would_run_is_not_restored():
    assert [entry[0] for entry in LISTED if exists_once(entry, LISTED)] == ["2", "3", "4", "5"]
    without = [entry for entry in LISTED if "pg_cron" not in entry]
    assert [entry for entry in without if exists_once(entry, without)] == [], "a schema of the same name is the user's own"
    assert [entry.partition(";")[0] for entry in LISTED if NOT_RESTORED.match(entry)] == ["3", "7", "9", "10"]


@pytest.mark.parametrize(("rate", "options"), [(0, {"--checkpoint=fast"}), (512, {"--checkpoint=spread", "--max-rate=512"})])
def test_a_server_is_copied_without_a_slot_and_no_faster_than_allowed(rate, options):
    runner = Runner()
    commands = []
    runner.run = lambda command, environment: commands.append((command, environment))
    login = Login(password="s3cret")
    Physical(login, {name: f"/bin/{name}" for name in PROGRAMS}, runner, Room("/"), "/nowhere", Account(1, 1), max_rate=rate)._copy("/backups/copy")
    ((command, environment),) = commands
    given = {option for option in command if option.startswith(("--max-rate", "--checkpoint"))}
    assert command[0] == "/bin/pg_basebackup" and {"--no-slot", "--manifest-checksums=SHA256", "--wal-method=stream"} < set(command) and given == options
    assert "s3cret" not in " ".join(command) and environment["PGPASSWORD"] == "s3cret"
