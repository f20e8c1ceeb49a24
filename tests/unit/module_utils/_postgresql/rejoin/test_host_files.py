# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a host in a data directory outlive a rewind, whatever they are called, and whenever it is interrupted."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import removal
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin import host_files
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin.host_files import HostFiles

# Each is the host's: nothing here knows what a configuration includes.
OWN = {"postgresql.conf": "include_dir 'conf.d'", "pg_hba.conf": "a", "conf.d/10.conf": "port = 1", "server.key": "secret", "log/monday.log": "m",
       "postmaster.opts": "postgres", ".pgpass": "p"}
DATA = {"PG_VERSION": "15", "base/1/1259": "data", "global/pg_control": "control", "standby.signal": ""}
# What the other server has: some of the same names, one more, and data.
THEIRS = {"postgresql.conf": "theirs", "conf.d/10.conf": "port = 2", "conf.d/20.conf": "theirs", "server.key": "their secret", "patch": "theirs"}
ARRIVING = sorted({name.partition("/")[0] for name in (*DATA, *THEIRS)})


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tree(folder):
    return {str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_text()
            for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


@pytest.fixture(name="data")
def _data(tmp_path):
    data = tmp_path / "data"
    write(data, {**OWN, **DATA})
    (data / "server.key").chmod(0o600)
    (data / "root.crt").symlink_to("/etc/ssl/root.crt")
    data.chmod(0o700)
    return data


@pytest.fixture(params=[False, True], ids=["renamed", "copied to another file system"])
def _elsewhere(request, monkeypatch):
    if request.param:
        rename = os.rename

        def refuse(source, target):
            if os.path.dirname(source) != os.path.dirname(target):
                raise OSError(errno.EXDEV, "another file system")
            rename(source, target)

        monkeypatch.setattr(host_files.os, "rename", refuse)


def test_they_are_away_during_the_rewind_and_their_own_afterwards(data, _elsewhere):
    before, files = tree(data), HostFiles(str(data))
    files.set_aside(ARRIVING)
    assert files.are_set_aside() and set(tree(data)) == set(DATA)
    write(data, {**THEIRS, "base/1/1259": "rewound"})
    files.put_back()
    assert tree(data) == {**before, "base/1/1259": "rewound"} and not files.are_set_aside() and not os.path.exists(files.store)
    assert stat.S_IMODE((data / "server.key").stat().st_mode) == 0o600


def test_a_run_that_is_killed_at_any_step_is_made_good_by_the_next_one(data, monkeypatch):
    before = tree(data)
    places, killed = ((host_files, "_move"), (removal, "remove")), 0
    for step in range(1, 40):
        files, calls = HostFiles(str(data)), 0

        def count(original, fatal=step):
            def call(*arguments):
                nonlocal calls
                calls += 1
                if calls == fatal:
                    raise KeyboardInterrupt
                return original(*arguments)
            return call

        with monkeypatch.context() as patched:
            for module, name in places:
                patched.setattr(module, name, count(getattr(module, name)))
            try:
                files.set_aside(ARRIVING)
                write(data, {"postgresql.conf": "theirs", "patch": "theirs"})
                files.put_back()
            except KeyboardInterrupt:
                killed += 1
        if files.are_set_aside():
            files.put_back()
        assert tree(data) == before, step
    assert 12 < killed < 39


def test_what_is_made_meanwhile_and_is_not_of_the_other_server_stays(data):
    files = HostFiles(str(data))
    files.set_aside(["patch"])
    write(data, {"patch": "theirs", "notes": "of an operator"})
    files.put_back()
    assert not (data / "patch").exists() and (data / "notes").read_text() == "of an operator"


def test_nothing_is_moved_where_something_is_mounted(data, monkeypatch):
    before = tree(data)
    (data.parent / "mountinfo").write_text(f"36 35 8:1 / {data}/postgresql.conf rw - ext4 /dev/sda1 rw\n", encoding="utf-8")
    monkeypatch.setattr(removal, "MOUNTS", str(data.parent / "mountinfo"))
    with pytest.raises(removal.MountedError, match="umount that first"):
        HostFiles(str(data)).set_aside(ARRIVING)
    assert tree(data) == before and not HostFiles(str(data)).are_set_aside()


@pytest.mark.parametrize("mode", [0o700, 0o750])
def test_barred_others_may_enter_which_postgresql_refuses(data, mode):
    data.chmod(mode)
    files = HostFiles(str(data))
    files.close()
    assert stat.S_IMODE(data.stat().st_mode) == mode | 0o001
    files.reopen()
    assert stat.S_IMODE(data.stat().st_mode) == mode
