# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of a load balancer's configuration: whole at every moment, taken back when it cannot be applied, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import struct
import tempfile
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import config_file
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.config_file import ConfigFile, cure_of, put, replace_alike
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.control_error import UntouchedError
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.flock import LockError, exclusive
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.small_files import ACCESS_LIST
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.json_text import with_values_of

BEFORE, AFTER = "s1 in\ns2 in\n", "s1 out\ns2 in\n"


def error(what):
    return LoadBalancerError(f"lb1 {what}")


def taken_out(text):
    return text.replace("s1 in", "s1 out")


@pytest.fixture(name="path")
def _path(tmp_path):
    path = tmp_path / "pool.conf"
    path.write_text(BEFORE, encoding="utf-8")
    path.chmod(0o640)
    return path


@pytest.fixture(name="file")
def _file(path):
    return ConfigFile(str(path), error)


def mode(path):
    return path.stat().st_mode & 0o7777


def test_it_is_read_as_it_is(file, path):
    path.write_text("Größe\n", encoding="utf-8")
    assert file.read() == "Größe\n"


def test_a_file_that_is_not_there_is_said_with_what_to_do(tmp_path):
    with pytest.raises(LoadBalancerError) as raised:
        ConfigFile(str(tmp_path / "none"), error).read()
    assert str(raised.value).startswith(f"lb1 is configured in {tmp_path}/none, which cannot be read here: ")
    assert str(raised.value).endswith("Run this on the load balancer itself, as an account that may")


def test_what_is_no_text_is_an_error(file, path):
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LoadBalancerError, match="which cannot be read here: it is no text in UTF-8"):
        file.read()


@pytest.mark.parametrize("rights", [0o600, 0o640, 0o644, 0o444])
def test_it_is_changed_and_keeps_its_rights(file, path, rights):
    path.chmod(rights)
    file.rewrite(taken_out)
    assert (file.read(), mode(path)) == (AFTER, rights)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_it_keeps_its_owner(file, path):
    os.chown(path, 4711, 4712)
    file.rewrite(taken_out)
    assert (path.stat().st_uid, path.stat().st_gid, file.read()) == (4711, 4712, AFTER)


def test_who_reads_it_at_that_moment_sees_all_of_the_old_text(file, path):
    with open(path, encoding="utf-8") as reader:
        first = reader.read(3)
        file.rewrite(taken_out)
        assert first + reader.read() == BEFORE
    assert file.read() == AFTER


def test_nothing_is_left_beside_it_but_the_hidden_lock(file, path):
    file.rewrite(taken_out)
    assert sorted(os.listdir(path.parent)) == [".pool.conf.lock", "pool.conf"] and file.hidden("lock") == str(path.parent / ".pool.conf.lock")


def test_it_is_applied_once_and_when_it_stands_there(file):
    seen = []
    file.rewrite(taken_out, lambda: seen.append(file.read()))
    assert seen == [AFTER]


def test_what_is_there_already_is_not_written_but_applied(file, path):
    """Whoever wrote it may have ended before it was applied."""
    was, seen = path.stat(), []
    file.rewrite(lambda text: text, lambda: seen.append(file.read()))
    assert seen == [BEFORE] and (path.stat().st_ino, path.stat().st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


@pytest.mark.parametrize("failure", [LoadBalancerError("lb1 did not take it"), KeyboardInterrupt(), ValueError("a defect")])
def test_what_cannot_be_applied_is_taken_back(file, path, failure):
    def applied():
        assert file.read() == AFTER
        raise failure
    with pytest.raises(type(failure)) as raised:
        file.rewrite(taken_out, applied)
    assert raised.value is failure and (file.read(), mode(path)) == (BEFORE, 0o640)


@pytest.mark.parametrize("failure", [LoadBalancerError("lb1 did not take it"), KeyboardInterrupt()])
def test_what_another_program_has_written_since_is_not_lost(file, path, failure):
    reported = []

    def applied():
        path.write_text(f"{AFTER}s3 in\n", encoding="utf-8")
        raise failure
    with pytest.raises(type(failure)) as raised:
        file.rewrite(taken_out, applied, taken_back=lambda: reported.append(file.read()))
    assert reported == [file.read()] == [f"{AFTER}s3 in\n"] and not isinstance(raised.value, UntouchedError)
    if isinstance(failure, LoadBalancerError):
        assert str(raised.value) == f"lb1 did not take it. Another program has changed {path} meanwhile, so its previous text was not restored"


def test_a_change_that_cannot_be_made_leaves_the_file_alone(file, path):
    was, applied = path.stat(), []

    def change(text):
        raise error("has no s9")
    with pytest.raises(UntouchedError, match="lb1 has no s9"):
        file.rewrite(change, lambda: applied.append(1))
    assert (applied, file.read(), path.stat().st_ino) == ([], BEFORE, was.st_ino)


def test_another_writer_waits_until_the_change_is_applied(file, path):
    attempts = []

    def applied():
        with pytest.raises(LockError, match=f"process {os.getpid()} holds {path.parent}/.pool.conf.lock"), exclusive(file.hidden("lock"), 0):
            attempts.append("inside")
    file.rewrite(taken_out, applied)
    with exclusive(file.hidden("lock"), 0):
        attempts.append("after")
    assert attempts == ["after"]


def test_the_lock_is_free_again_after_a_failure(file):
    def applied():
        raise error("did not take it")
    with pytest.raises(LoadBalancerError):
        file.rewrite(taken_out, applied)
    with exclusive(file.hidden("lock"), 0):
        assert file.read() == BEFORE


def test_changes_at_the_same_time_are_made_on_top_of_one_another(file, path):
    path.write_text("", encoding="utf-8")
    writers = [threading.Thread(target=ConfigFile(str(path), error).rewrite, args=(lambda text, word=word: f"{text}{word}\n",)) for word in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert sorted(file.read().split()) == ["a", "b", "c", "d"]


def test_a_change_that_does_not_end_is_named_with_its_process(file, monkeypatch):
    monkeypatch.setattr(config_file, "LOCK_SECONDS", 0.1)
    with exclusive(file.hidden("lock"), 0), pytest.raises(LoadBalancerError) as raised:
        file.rewrite(taken_out)
    assert str(raised.value).startswith(f"lb1 has another change under way: another run is at work: process {os.getpid()} holds {file.hidden('lock')}")
    assert file.read() == BEFORE


def test_a_folder_that_cannot_be_written_is_said_with_what_to_do(tmp_path):
    path = tmp_path / "none" / "pool.conf"
    with pytest.raises(LoadBalancerError) as raised:
        ConfigFile(str(path), error).rewrite(taken_out)
    assert str(raised.value) == (f"lb1 is configured in {path}, which cannot be written here: No such file or directory. "
                                 "Let this account write in that folder")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_its_rights_do_not_depend_on_those_that_the_account_gives_its_own_files(file, path, umask):
    path.chmod(0o664)
    before = os.umask(umask)
    try:
        file.rewrite(taken_out)
    finally:
        os.umask(before)
    assert mode(path) == 0o664


def test_a_link_stays_one(path, tmp_path):
    link = tmp_path / "link.conf"
    link.symlink_to(path)
    ConfigFile(str(link), error).rewrite(taken_out)
    assert link.is_symlink() and path.read_text(encoding="utf-8") == AFTER


def test_what_comes_after_the_check_is_not_taken_back(file, path):
    def fail():
        raise LoadBalancerError("too late")
    with pytest.raises(LoadBalancerError, match="too late"):
        file.rewrite(taken_out, then=fail)
    assert path.read_text(encoding="utf-8") == AFTER


@pytest.mark.parametrize("content", [b"s1 in\r\ns2 in\r\n", b"# gr\xfcn\ns1 in\n", b"\xef\xbb\xbfs1 in\rs2 in", b"s1 in\x0b\xe2\x80\xa8s2 in\n"])
def test_line_ends_and_other_encodings_stay(file, path, content):
    path.write_bytes(content)
    file.rewrite(taken_out)
    assert path.read_bytes() == content.replace(b"s1 in", b"s1 out")
    file.rewrite(lambda text: text.replace("s1 out", "s1 in"))
    assert path.read_bytes() == content


def test_a_text_that_is_written_anew_has_the_line_ends_of_the_file(file, path):
    path.write_bytes(b"{\r\n}\r\n")
    file.rewrite(lambda text: '{\n"a": 1}\n')
    assert path.read_bytes() == b'{\r\n"a": 1}\r\n'
    path.write_bytes(b"{\n}\r\n")
    file.rewrite(lambda text: '{\n"a": 1}\n')
    assert path.read_bytes() == b'{\n"a": 1}\n'


def test_a_document_keeps_its_letters(file, path):
    """Also those of another encoding than UTF-8."""
    for word in ("Gr\u00f6\u00dfe".encode("utf-8"), b"Gr\xf6\xdfe"):
        path.write_bytes(b'{\n  "name": "' + word + b'"\n}\n')
        before = path.read_bytes()
        file.rewrite(lambda text: with_values_of(text, {**json.loads(text), "weight": 0}))
        assert word in path.read_bytes()
        file.rewrite(lambda text: with_values_of(text, {name: value for name, value in json.loads(text).items() if name != "weight"}))
        assert path.read_bytes() == before


def test_a_link_stays_one_and_its_file_has_one_writer(path, tmp_path):
    link = tmp_path / "elsewhere" / "link.conf"
    link.parent.mkdir()
    link.symlink_to(path)
    replace_alike(str(link), AFTER)
    assert link.is_symlink() and path.read_text(encoding="utf-8") == AFTER and mode(path) == 0o640
    put(str(link), BEFORE)
    assert link.is_symlink() and path.read_text(encoding="utf-8") == BEFORE and mode(path) == 0o640
    before = os.lstat(link)
    ConfigFile(str(link), error).rewrite(taken_out)
    assert os.readlink(link) == str(path) and path.read_text(encoding="utf-8") == AFTER and os.listdir(link.parent) == ["link.conf"]
    assert os.lstat(link).st_ino != before.st_ino, "who watches the link's folder sees that it has changed"
    with config_file.one_writer(str(link), error):
        assert sorted(os.listdir(tmp_path)) == [".pool.conf.lock", "elsewhere", "pool.conf"]


def access_list(*named):
    """An access control list of rw for the owner, r for the group, and what is named: tag, rights and id, see acl(5)."""
    entries = [(0x01, 6, -1), *named, (0x04, 4, -1), (0x10, 6, -1), (0x20, 0, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in sorted(entries))


def test_it_keeps_its_access_control_list_and_gets_no_other(file, path):
    try:
        os.setxattr(path, "user.note", b"ours")
        os.setxattr(path, ACCESS_LIST, access_list((0x02, 4, 4711)))
    except OSError as unsupported:
        pytest.skip(f"this disk has none: {unsupported}")
    before = os.getxattr(path, ACCESS_LIST), mode(path)
    os.setxattr(path.parent, "system.posix_acl_default", access_list((0x02, 6, 4712)))
    file.rewrite(taken_out)
    assert (os.getxattr(path, ACCESS_LIST), mode(path)) == before and os.getxattr(path, "user.note") == b"ours" and file.read() == AFTER
    os.removexattr(path, ACCESS_LIST)
    path.chmod(0o640)
    file.rewrite(lambda text: BEFORE)
    assert (os.listxattr(path), mode(path)) == (["user.note"], 0o640)


@pytest.fixture(name="shared")
def _shared():
    """A map of root's in a folder of a group, as an administrator gives it to operators."""
    folder = tempfile.mkdtemp(dir="/tmp")
    path = os.path.join(folder, "m.map")
    with open(path, "w", encoding="ascii") as made:
        made.write(BEFORE)
    for place, rights in ((folder, 0o2775), (path, 0o664)):
        os.chown(place, 0, 4712)
        os.chmod(place, rights)
    yield path
    shutil.rmtree(folder)


@contextlib.contextmanager
def account(uid, *groups):
    """This process as another account; its groups are those that are named."""
    before = os.getgroups(), os.getegid()
    os.setgroups(groups)
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before[1])
        os.setgroups(before[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is another account")
def test_a_groups_operator_may_change_the_file_beside_root(shared, monkeypatch):
    file = ConfigFile(shared, error)
    file.rewrite(taken_out)
    with account(4711, 4712):
        file.rewrite(lambda text: BEFORE)
    found = os.stat(shared)
    assert file.read() == BEFORE and (found.st_gid, found.st_mode & 0o7777) == (4712, 0o664)
    file.rewrite(taken_out)
    assert os.stat(shared).st_uid == 4711, "root leaves its owner alone"
    # Nobody knows the groups of 4711, which has no name: it might lose its file.
    with account(4713, 4712), pytest.raises(LoadBalancerError, match=r"Operation not permitted. This account may not give the new file to the owner"):
        file.rewrite(lambda text: BEFORE)
    assert file.read() == AFTER
    monkeypatch.setattr(config_file.pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name=str(uid), pw_gid=uid))
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 4712])
    with account(4713, 4712):
        file.rewrite(lambda text: BEFORE)
    assert (file.read(), os.stat(shared).st_uid) == (BEFORE, 4713)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is another account")
def test_a_file_that_the_account_may_not_write_stays_roots(shared):
    os.chmod(shared, 0o644)
    with account(4711, 4712), pytest.raises(LoadBalancerError, match="run this as root or as that owner"):
        ConfigFile(shared, error).rewrite(taken_out)
    assert (os.stat(shared).st_uid, ConfigFile(shared, error).read()) == (0, BEFORE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is another account")
def test_a_lock_of_a_former_version_is_named(shared):
    lock = os.path.join(os.path.dirname(shared), ".m.map.lock")
    os.close(os.open(lock, os.O_CREAT, 0o600))
    with account(4711, 4712), pytest.raises(LoadBalancerError, match=f"Let this account write {lock}, which another one has made"):
        ConfigFile(shared, error).rewrite(taken_out)


def test_a_file_that_is_not_there_is_made_readable_also_where_a_link_leads_to(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "state")
    put(str(tmp_path / "link"), "1\n")
    assert (tmp_path / "link").is_symlink() and mode(tmp_path / "state") == 0o644


def test_a_mount_is_said_with_what_to_do():
    assert cure_of(OSError(errno.EBUSY, "Device or resource busy")).startswith("It is a mount of its own")
    assert cure_of(PermissionError(errno.EACCES, "Permission denied")) == "Let this account write in that folder"
