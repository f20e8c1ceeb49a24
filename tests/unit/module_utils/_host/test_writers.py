# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else may write in a folder, and folders that nobody else may write in under any umask."""

from __future__ import annotations

import json
import os
import struct

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.small_files import ACCESS_LIST, PRIVATE_FOLDER, SmallFileError, make_folder
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.writers import other_writers, strangers
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.live_figures import LiveFigures
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.process import ProbeError, read_live, read_result
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.append_only import AppendOnlyFile

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077], ids="{:03o}".format)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize(("mode", "words"), [
    (0o700, ""), (0o755, ""), (0o707, "may be written by every account (mode 0707)"), (0o1777, "may be written by every account (mode 1777)"),
])
def test_everybody(tmp_path, mode, words):
    tmp_path.chmod(mode)
    assert other_writers(str(tmp_path)) == words and strangers(str(tmp_path)) == words
    tmp_path.chmod(0o700)


@AS_ROOT
def test_another_account_and_a_group_with_other_members(tmp_path):
    os.chown(tmp_path, 4711, 4712)
    assert other_writers(str(tmp_path)) == strangers(str(tmp_path)) == "belongs to uid 4711"
    os.chown(tmp_path, 0, 4712)
    assert other_writers(str(tmp_path)) == ""
    tmp_path.chmod(0o770)
    assert other_writers(str(tmp_path)) == "may be written by the group 4712 (mode 0770)" and strangers(str(tmp_path)) == ""
    os.chown(tmp_path, 0, 0)
    assert other_writers(str(tmp_path)) == ""


@pytest.mark.parametrize(("named", "words"), [
    ([(0x02, 7, 4711)], "may be written by uid 4711 (its access control list)"),
    ([(0x08, 7, 4712)], "may be written by the group 4712 (its access control list)"),
    ([(0x02, 5, 4711)], ""), ([(0x02, 7, os.geteuid())], ""),
])
def test_an_access_control_list_names_writers(tmp_path, named, words):
    """In the mode it has no more than a group's rights, of a group that may have nobody in it."""
    entries = sorted([(0x01, 7, 2**32 - 1), (0x04, 0, 2**32 - 1), (0x10, 7, 2**32 - 1), (0x20, 0, 2**32 - 1), *named])
    try:
        os.setxattr(tmp_path, ACCESS_LIST, struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries))
    except OSError as unsupported:
        pytest.skip(f"this disk has none: {unsupported}")
    if os.geteuid() == 0:
        os.chown(tmp_path, -1, 4713)
    assert tmp_path.stat().st_mode & 0o777 == 0o770 and other_writers(str(tmp_path)) == words
    tmp_path.chmod(0o700)
    assert other_writers(str(tmp_path)) == "", "the mode takes it all away"


@AS_ROOT
@pytest.mark.parametrize("name", ["result.json", "live.json"])
def test_what_another_account_has_left_is_not_trusted(tmp_path, name):
    """The folder may have been open to it when it did."""
    read = {"result.json": read_result, "live.json": read_live}[name]
    tmp_path.chmod(0o700)
    (tmp_path / name).write_text(json.dumps({"now": 5.0}), encoding="ascii")
    assert read(str(tmp_path)) == {"now": 5.0} and (name != "live.json" or LiveFigures(0.0, 0.0).newer(str(tmp_path), 9.0))
    os.chown(tmp_path / name, 4711, 4711)
    with pytest.raises(ProbeError, match=f"{name} is not trusted: it belongs to uid 4711. Remove it"):
        read(str(tmp_path))
    assert LiveFigures(0.0, 0.0).newer(str(tmp_path), 9.0) is None
    os.rename(tmp_path / name, tmp_path / "elsewhere")
    os.chown(tmp_path / "elsewhere", 0, 0)
    for make in (lambda path: path.symlink_to("elsewhere"), os.mkfifo):
        make(tmp_path / name)
        with pytest.raises(ProbeError, match=f"{name} is not trusted: .*Remove it"):
            read(str(tmp_path))
        (tmp_path / name).unlink()


@AS_ROOT
def test_a_link_that_another_account_has_made(tmp_path):
    """It leads where that account wants, such as into a folder of ours."""
    (tmp_path / "ours").mkdir(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    assert other_writers(str(tmp_path / "link")) == strangers(str(tmp_path / "link")) == ""
    os.chown(tmp_path / "link", 4711, 4711, follow_symlinks=False)
    assert other_writers(str(tmp_path / "link")) == strangers(str(tmp_path / "link")) == "is a link of uid 4711"


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        other_writers(str(tmp_path / "none"))
    assert strangers(str(tmp_path / "none")) == ""


def test_what_is_made_is_never_open_to_others(tmp_path, umask):
    make_folder(str(tmp_path / "a" / "b" / "c"), PRIVATE_FOLDER)
    make_folder(str(tmp_path / "d" / "e"))
    journal = AppendOnlyFile(str(tmp_path / "f" / "g" / "journal.jsonl"))
    with journal.locked():
        journal.unseen()
        journal.append(b"x\n")
    journal.close()
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"a": 0o755 & ~umask, "a/b": 0o755 & ~umask, "a/b/c": 0o700, "d": 0o755 & ~umask, "d/e": 0o755 & ~umask, "f": 0o755 & ~umask,
                     "f/g": 0o755 & ~umask, "f/g/journal.jsonl": 0o600}


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("", encoding="ascii")
    for kind in (SmallFileError, OSError):
        with pytest.raises(kind, match=f"^{tmp_path}/file is not a folder$"):
            make_folder(str(tmp_path / "file" / "a" / "b"))
