# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that others may write: read once, and never waited for."""

from __future__ import annotations

import hashlib
import io
import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import private_copy as host_private_copy
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.config_file import ConfigFile
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.private_copy import copy, open_regular, private_copy
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.live_figures import LIVE_FILE, LiveFigures
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.process import ProbeError, _read_json
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.member_checks import _interpreter
from ansible_collections.alwayson.upgrade.plugins.module_utils._sqlite.session import SqliteError, require_database
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy import demands as haproxy_demands
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.operator_control import ABORT, GO, PAUSE, read_control

READERS = {
    "the operator's word": (read_control, PAUSE),
    "an interpreter": (_interpreter, ""),
}


@pytest.fixture(name="pipe")
def _pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


def test_a_copy_is_of_what_was_there(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 1_000_000)
    (tmp_path / "link").symlink_to("x")
    with private_copy(str(tmp_path / "link"), str(tmp_path)) as (stream, sha256):
        (tmp_path / "x").write_bytes(b"other")
        assert sha256 == hashlib.sha256(b"abc" * 1_000_000).hexdigest() and stream.read() == b"abc" * 1_000_000
    assert sorted(os.listdir(tmp_path)) == ["link", "x"]
    with pytest.raises(OSError, match="more than 4 bytes"):
        copy(str(tmp_path / "x"), io.BytesIO(), 4)
    with pytest.raises(FileNotFoundError):
        open_regular(str(tmp_path / "absent"))


@pytest.mark.parametrize(("read", "said"), READERS.values(), ids=READERS.keys())
def test_a_pipe_or_a_device_is_not_read(pipe, read, said):
    assert read(pipe) == said == read("/dev/zero")


def test_a_pipe_in_the_place_of_a_prober_s_or_a_database_s_file_is_no_file(pipe, tmp_path):
    os.rename(pipe, tmp_path / LIVE_FILE)
    assert LiveFigures(0.0).newer(str(tmp_path), 10.0) is None
    with pytest.raises(ProbeError, match="no regular file"):
        _read_json(str(tmp_path / LIVE_FILE))
    with pytest.raises(SqliteError, match="no regular file"):
        require_database(str(tmp_path / LIVE_FILE))


def test_a_pipe_in_the_place_of_a_configuration_is_an_error_that_names_the_load_balancer(pipe):
    with pytest.raises(LoadBalancerError, match=r"lb1 .*no regular file"):
        ConfigFile(pipe, lambda what: LoadBalancerError(f"lb1 {what}")).read()
    with pytest.raises(OSError, match="no regular file"):
        haproxy_demands._lines(pipe)


def test_the_operator_s_word_is_read(tmp_path):
    for word, said in (("abort\n", ABORT), ("", GO), ("\xff", PAUSE)):
        (tmp_path / "word").write_text(word, encoding="utf-8")
        assert read_control(str(tmp_path / "word")) == said


class Disk:
    """64 MB, of which 20 are free."""

    f_frsize, f_blocks, f_bavail = 1_000_000, 64, 20


def test_a_copy_is_not_begun_where_there_is_no_room_for_it(tmp_path, monkeypatch):
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir(), large.mkdir()
    with open(tmp_path / "x", "wb") as file:
        file.truncate(17_000_000)
    statvfs, copied = os.statvfs, []
    monkeypatch.setattr(os, "statvfs", lambda path: Disk if str(path) == str(small) else statvfs(path))
    monkeypatch.setattr(host_private_copy, "copy", lambda path, target, limit: copied.append(limit) or "")
    refusal = f"takes 17000000 bytes, but beside a reserve {small} has 16800000 bytes free: make room there"
    with pytest.raises(OSError, match=refusal) as error, private_copy(str(tmp_path / "x"), str(small)):
        pass
    assert error.value.errno == 28 and error.value.filename == str(tmp_path / "x") and copied == []
    with private_copy(str(tmp_path / "x"), str(small), str(large)):
        assert copied == [17_000_000]


def test_a_file_that_grows_as_it_is_copied_does_not_fill_the_disk(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"x" * 10)
    copied = host_private_copy.copy

    def grow(path, *given):
        with open(path, "ab") as file:
            file.write(b"more")
        return copied(path, *given)

    monkeypatch.setattr(host_private_copy, "copy", grow)
    with pytest.raises(OSError, match="more than 10 bytes"), private_copy(str(tmp_path / "x"), str(tmp_path)):
        pass
