# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import removal
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.removal import MountedError, remove, remove_tree, require_nothing_mounted

LINE = "36 35 8:1 /uploads {} rw,relatime shared:1 - ext4 /dev/sda1 rw\n"


@pytest.fixture(name="tree")
def _tree(tmp_path):
    """A folder with files, links and folders, and one beside it that a link in it leads to."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "photo").write_text("precious", encoding="ascii")
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    for name in ("x", "a/x", "a/b/x"):
        (tmp_path / "tree" / name).write_text("x", encoding="ascii")
    (tmp_path / "tree" / "a" / "out").symlink_to(tmp_path / "beside")
    return tmp_path / "tree"


@pytest.fixture(name="mounted")
def _mounted(tmp_path, monkeypatch):
    """Have something be mounted at a path, as the kernel would tell it; the disk is the same, as with a bind mount."""
    def mount(*paths):
        (tmp_path / "mountinfo").write_text("".join(LINE.format(str(path).replace(" ", "\\040")) for path in ("/", *paths)), encoding="utf-8")
        monkeypatch.setattr(removal, "MOUNTS", str(tmp_path / "mountinfo"))
    return mount


def files_of(folder):
    return sorted(path for path in folder.rglob("*"))


def test_a_folder_goes_with_what_is_in_it_and_not_with_what_its_links_lead_to(tree):
    assert remove_tree(str(tree)) == []
    assert not tree.exists() and (tree.parent / "beside" / "photo").exists()
    assert remove_tree(str(tree)) == []
    remove(str(tree))


@pytest.mark.parametrize("place", [".", "a/b", "a/b/x", "name with spaces"])
def test_nothing_goes_while_something_is_mounted_in_it(tree, mounted, place):
    mounted(tree.parent / "elsewhere", tree / place)
    before = files_of(tree)
    with pytest.raises(MountedError, match="umount that first") as error:
        remove_tree(str(tree))
    assert os.path.normpath(tree / place) in str(error.value)
    assert files_of(tree) == before


def test_a_mount_is_found_through_links_to_the_folder_and_beside_it_is_none(tree, mounted):
    (tree.parent / "link").symlink_to(tree.parent)
    mounted(f"{tree}-2", tree.parent / "beside")
    require_nothing_mounted(str(tree))
    mounted(tree / "a")
    with pytest.raises(MountedError):
        require_nothing_mounted(str(tree.parent / "link" / "tree"))


def test_what_is_mounted_after_the_look_is_not_entered(tree, mounted, monkeypatch):
    mounted()
    inside = os.stat(tree / "a").st_ino
    monkeypatch.setattr(removal, "_mount_of", lambda handle: (1, b"77" if os.fstat(handle).st_ino == inside else b"36"))
    errors = remove_tree(str(tree))
    assert [error.filename for error in errors] == [str(tree / "a")] and isinstance(errors[0], MountedError)
    assert (tree / "a" / "b" / "x").exists() and not (tree / "x").exists()


def test_what_cannot_be_removed_is_reported_with_its_path_and_all_else_goes(tree, mounted, monkeypatch):
    mounted()
    unlink = os.unlink

    def refuse(name, **where):
        if name == "x" and where and os.path.realpath(f"/proc/self/fd/{where['dir_fd']}").endswith("/a/b"):
            raise PermissionError(13, "Permission denied", name)
        unlink(name, **where)

    monkeypatch.setattr(os, "unlink", refuse)
    errors = remove_tree(str(tree))
    assert [(error.filename, error.strerror) for error in errors] == [(str(tree / "a" / "b" / "x"), "Permission denied")]
    assert files_of(tree) == [tree / "a", tree / "a" / "b", tree / "a" / "b" / "x"]
    with pytest.raises(PermissionError):
        remove(str(tree))


def test_a_folder_that_is_exchanged_for_a_link_is_not_followed(tree, mounted, monkeypatch):
    """A process that may write in the tree may do that at any moment; here between the look at a folder and its opening."""
    mounted()
    enter = removal._enter

    def exchange(name, folder):
        if folder is not None and name == "a":
            os.rename(tree / "a", tree.parent / "moved")
            (tree / "a").symlink_to(tree.parent / "beside")
        return enter(name, folder)

    monkeypatch.setattr(removal, "_enter", exchange)
    assert [error.filename for error in remove_tree(str(tree))] == [str(tree / "a")]
    assert (tree.parent / "beside" / "photo").exists()


def test_without_proc_another_device_is_a_mount(tree, monkeypatch):
    monkeypatch.setattr(removal, "MOUNTS", "/nowhere")
    require_nothing_mounted(str(tree))
    lstat = os.lstat

    def on_another_device(path):
        found = lstat(path)
        return os.stat_result([*found[:2], 99, *found[3:]]) if os.fsencode(path).endswith(b"/b") else found

    monkeypatch.setattr(os, "lstat", on_another_device)
    with pytest.raises(MountedError, match="/a/b"):
        require_nothing_mounted(str(tree))


def test_too_many_open_files_are_no_mount(tree, mounted, monkeypatch):
    def full(path, *more, **options):
        raise OSError(24, "Too many open files", path)

    mounted()
    monkeypatch.setattr(removal, "open", lambda path, *more: full(path) if "fdinfo" in path else open(path, *more), raising=False)
    [error] = remove_tree(str(tree))
    assert (error.filename, error.strerror) == (str(tree), "Too many open files") and not isinstance(error, MountedError)
    monkeypatch.setattr(removal, "open", full, raising=False)
    with pytest.raises(OSError, match="Too many open files"):
        remove_tree(str(tree))
    assert (tree / "x").exists()


def test_nobody_removes_folders_in_another_way():
    """Uploads, logs and disks of their own are mounted into releases, data directories and backups alike."""
    files = sorted(Path(removal.__file__).parents[2].rglob("*.py"))
    assert len(files) > 200
    assert [path.name for path in files if "rmtree" in path.read_text(encoding="utf-8")] == []
