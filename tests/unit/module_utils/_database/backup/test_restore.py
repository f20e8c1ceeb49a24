# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.record import BackupError
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.restore import Steps, Wanted, choose, the_only_server
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import PARTIAL, Store, digests
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.content import CONTENT, ROWS, STRUCTURES, Content, differences, reduced
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup import restore_settings as settings, restore_wal as log
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.restore_properties import entries, properties
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.restore_target import COPYING, RECORD, Place
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.scratch_server import Account

MANIFEST = {"format": 3, "sha256": "", "size_bytes": 4, "seconds_dump": 1.0, "contents": {}, "details": {}, "server_version": "18.1"}
WALDUMP = """\
rmgr: Heap len (rec/tot): 59/59, tx: 741, lsn: 0/030000A0, prev 0/03000060, desc: INSERT off: 5, blkref #0: rel 1663/16384/16399 blk 0
rmgr: LogicalMessage len (rec/tot): 90/90, tx: 742, lsn: 0/03000100, prev 0/030000A0, desc: MESSAGE transactional, prefix "alwayson.upgrade"; payload
rmgr: Transaction len (rec/tot):     34/    34, tx:        742, lsn: 0/03000160, prev 0/03000100, desc: COMMIT 2026-11-23 03:50:12.250000 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        741, lsn: 0/03000188, prev 0/03000160, desc: COMMIT 2026-11-23 03:50:12.500000 UTC; inval msgs
"""


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "backups"), ".dump")
    store.prepare()
    return store


def add(store, database, taken, system="1"):
    path = store.new_path(database, taken)
    with open(path + PARTIAL, "wb") as file:
        file.write(b"dump")
    store.keep(path, digests([path + PARTIAL]), {**MANIFEST, "database": database, "system_identifier": system, "taken": taken})
    return path


def taken_from(store, now=100.0, database="a", **wanted):
    return choose(store, database, lambda path: [path], Wanted(**wanted), now).path


def test_the_newest_backup_of_the_only_server_is_chosen_and_an_older_one_by_its_name(store):
    older, newer = add(store, "a", 10.0), add(store, "a", 20.0)
    add(store, "b/c", 30.0, "2")
    assert taken_from(store) == newer and taken_from(store, backup=os.path.basename(older)) == older and taken_from(store, max_age=80) == newer
    assert store.subjects() == ["a", "b/c"]
    assert the_only_server(store, ["a"], Wanted()) == "1" and the_only_server(store, ["a", "b/c"], Wanted("2")) == "2"
    with pytest.raises(BackupError, match="holds backups of 2 servers: set system_identifier to one of them"):
        the_only_server(store, ["a", "b/c"], Wanted())


@pytest.mark.parametrize(("changes", "reported"), [
    ({"max_age": 79}, "is 80 seconds old, and max_age is 79"),
    ({"max_age": 79, "now": -100.0}, "was taken 120 seconds in the future"),
    ({"system_identifier": "7"}, "there is no backup of a of the server 7"),
    ({"backup": "a-20260101T000000.000Z.dump"}, "there is no backup of a named a-2026"),
    ({"database": "b"}, "there is no backup of b in"),
])
def test_what_was_not_asked_for_is_refused(store, changes, reported):
    add(store, "a", 20.0)
    with pytest.raises(BackupError, match=reported):
        taken_from(store, **changes)


def test_a_newest_backup_that_is_injured_is_not_passed_over(store):
    older, newer = add(store, "a", 10.0), add(store, "a", 20.0)
    for name in (newer, f"{newer}.json", f"{newer}.sha256"):
        with open(name, "rb") as file:
            whole = file.read()
        os.unlink(name)
        with pytest.raises(BackupError, match=f"or name an older one as backup .there is {os.path.basename(older)}"):
            taken_from(store)
        with open(name, "wb") as file:
            file.write(whole)
    assert taken_from(store) == newer


def test_a_restored_server_keeps_no_setting_that_harms():
    before = "work_mem = '8MB'\nprimary_conninfo = 'host=old'\nSynchronous_Standby_Names = '*'\nport = '1'\n# a remark\n"
    given = settings.checked({"port": 5433, "archive_mode": True, "shared_buffers": "1GB", "search_path": "a'b\\c"})
    during, after = settings.recovering(before, given), settings.recovered(settings.recovering(before, given), given)
    assert "restore_command = 'false'" in during and "hot_standby = 'off'" in during
    lines = after.splitlines()
    assert lines[:2] == ["work_mem = '8MB'", "# a remark"] and "hot_standby" not in after and "old" not in after
    for line in ("port = '5433'", "archive_mode = 'on'", "restore_command = ''", "synchronous_standby_names = ''", "search_path = 'a''b\\\\c'"):
        assert lines.count(line) == 1
    assert settings.recovered(after, given) == after


@pytest.mark.parametrize("wrong", [{"restore_command": "x"}, {"Recovery_Target": "x"}, {"port": None}, {"port": [1]}, {"a b": 1}, {"port": "1\n2"}, {"": 1}])
def test_a_setting_that_cannot_be_given_is_refused(wrong):
    with pytest.raises(BackupError):
        settings.checked(wrong)


def test_what_the_log_adds_to_the_manifest():
    tail = log.tail_of(WALDUMP.splitlines(), [["0/3000160", ["quiet", "busy"]]], {"busy": 16384, "quiet": 16385})
    assert tail.later == {"quiet": 0, "busy": 1} and tail.last == 1795405812.5
    assert log.tail_of(WALDUMP.splitlines(), [["0/30001A0", ["busy"]]], {"busy": 16384}).later == {"busy": 0}
    assert log.tail_of(WALDUMP.splitlines()[3:], [["0/3000160", ["quiet"]]], {"quiet": 1}).later == {"quiet": 1}, "it may have changed anything"
    assert log.tail_of([], [["0/3000160", ["quiet"]]], {}).last is None
    assert log.end_of_history("1\t0/3000148\tno recovery target specified\n\n2\t0/5000000\tx\n") == "0/5000000"


def test_less_is_compared_where_less_is_read():
    original = Content({"public.a": {"rows": 2, "sum": "11"}}, frozenset({"table public.a"}), {})
    other = Content({"public.a": {"rows": 2, "sum": "12"}}, original.structure, {})
    fewer = Content({"public.a": {"rows": 1, "sum": "12"}}, original.structure, {})
    found = {depth: [len(differences(reduced(original, depth), reduced(copy, depth))) for copy in (other, fewer)] for depth in (STRUCTURES, ROWS, CONTENT)}
    assert found == {STRUCTURES: [0, 0], ROWS: [0, 1], CONTENT: [1, 1]}


def test_steps_are_timed_also_when_they_fail():
    times = iter((1.0, 3.0, 4.0, 4.5))
    steps = Steps(lambda: next(times))
    for _each in range(2):
        with pytest.raises(BackupError), steps.timed("copied"):
            raise BackupError("full")
    assert steps.seconds == {"copied": 2.5}


# As pg_restore writes it: psql's own commands, settings of the session, and constants over several lines.
OF_A_DATABASE = r"""
\restrict dV3Jbs
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
--
-- Name: my shop; Type: DATABASE; Schema: -; Owner: anna
--
CREATE DATABASE "my shop" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';
ALTER DATABASE "my shop" OWNER TO anna;
\connect -reuse-previous=on "dbname='my shop'"
COMMENT ON DATABASE "my shop" IS E'one;
\\restrict two';
ALTER DATABASE "my shop" CONNECTION LIMIT = 7;
ALTER DATABASE "my shop" IS_TEMPLATE = true;
ALTER DATABASE "my shop" SET work_mem TO '1MB';
ALTER ROLE anna IN DATABASE "my shop" SET search_path TO 'sales', 'a;
b';
REVOKE CONNECT ON DATABASE "my shop" FROM PUBLIC;
GRANT CONNECT ON DATABASE "my shop" TO anna;
"""


def test_every_property_of_a_database_is_taken_from_its_dump():
    found = properties(OF_A_DATABASE)
    assert found.clauses == "ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C'"
    assert [" ".join(statement.split())[:40] for statement in found.of_itself] == [
        "COMMENT ON DATABASE \"my shop\" IS E'one; ", 'ALTER DATABASE "my shop" CONNECTION LIMI', 'ALTER DATABASE "my shop" IS_TEMPLATE = t',
        "ALTER DATABASE \"my shop\" SET work_mem TO"]
    assert found.of_itself[0].endswith("IS E'one;\n\\\\restrict two'")
    assert [statement.split()[0] for statement in found.of_roles] == ["ALTER", "ALTER", "REVOKE", "GRANT"] and found.of_roles[1].endswith("'a;\nb'")


@pytest.mark.parametrize(("script", "reported"), [
    (OF_A_DATABASE + "ALTER TABLESPACE x RENAME TO y;", "a property of an unknown kind .ALTER TABLESPACE X RENAME."),
    ("SET lock_timeout = 0;", "does not say how its database is created"),
])
def test_a_property_that_is_not_understood_is_an_error(script, reported):
    with pytest.raises(BackupError, match=reported):
        properties(script)


def test_entries_of_a_dump_about_its_database():
    about = ["5; 1262 16384 DATABASE - shop anna", "6; 0 0 ACL - DATABASE shop anna", "7; 0 0 DATABASE PROPERTIES - shop anna",
             "8; 0 0 COMMENT - DATABASE shop anna"]
    assert entries([*about, "9; 1259 1 TABLE public t anna", "10; 0 0 ACL public TABLE t anna", "; Archive created"]) == about


def test_only_what_was_put_there_is_cleared(tmp_path):
    place = Place(str(tmp_path / "data"), Account(os.geteuid(), os.getegid()))
    place.require_free()
    with place.exclusive():
        place.require_free()
        with pytest.raises(BackupError, match="another run is filling"), Place(place.directory, place.account).exclusive():
            pass
        place.write_down(COPYING, {"backup": "x"})
        os.mkdir(place.path("base"))
        os.symlink("/", place.path("link"))
        place.require_free()
        assert place.record()["state"] == COPYING and place.server() is None
        place.clear()
        assert os.listdir(place.directory) == []
    assert not os.path.exists(place.directory)
    os.mkdir(place.directory)
    with open(place.path(RECORD), "w", encoding="utf-8") as file:
        file.write('{"tool": "another"}')
    with pytest.raises(BackupError, match=r"is not empty .alwayson_restore.json., and nothing is ever overwritten"):
        place.require_free()
    with open(place.path("postmaster.pid"), "w", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    assert place.server() is None, "a process that works elsewhere is a stranger"
