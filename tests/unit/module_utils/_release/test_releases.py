# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shutil
import tarfile

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._release import archive, releases
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.releases import Marker, ReleaseError, State, needs_staging, observe, stage, superfluous
from archives import folder, member, symlink, write_archive, write_release

LIMITS = archive.Limits(members=100, size=1_000_000)
EVIL = {
    "traversal": [member("../../x", b"x")],
    "absolute name": [member("/x", b"x")],
    "link out": [symlink("x", "../../..")],
    "absolute link": [symlink("x", "/etc")],
    "device": [member("x", type=tarfile.CHRTYPE)],
    "named pipe": [member("x", type=tarfile.FIFOTYPE)],
    "setuid": [member("x", b"x", mode=0o4755)],
    "setgid": [folder("x", mode=0o2755)],
    "sticky": [folder("x", mode=0o1755)],
    "twice": [member("x", b"x"), member("x", b"y")],
    "through a link": [symlink("x", "bin"), member("x/y", b"x")],
    "marker": [member(".release.json", b"{}")],
    "too large": [member("x", b"\0" * 1_000_001)],
    "too many": [folder(str(number)) for number in range(101)],
}


class Host:
    """A release root on a disk, and the artifacts to stage into it."""

    def __init__(self, tmp_path):
        self.artifacts = tmp_path
        self.root = str(tmp_path / "shop")
        releases.prepare(self.root)

    def staged(self, version, *more, now=1.0):
        sha256 = write_release(self.artifacts / f"{version}.tar.gz", version, *more)
        stage(self.root, version, str(self.artifacts / f"{version}.tar.gz"), sha256, LIMITS, now)
        return sha256

    def path(self, *names):
        return os.path.join(self.root, *names)

    def tree(self):
        return sorted(os.path.join(where, name) for where, folders, files in os.walk(self.root) for name in folders + files)


@pytest.fixture(name="host")
def _host(tmp_path):
    return Host(tmp_path)


def test_a_host_without_releases_is_empty(tmp_path):
    assert observe(str(tmp_path / "nowhere")) == State(None, None, {})


def test_a_staged_release_is_whole_and_marked(host):
    sha256 = host.staged("1.0.0", now=42.5)
    assert observe(host.root) == State(None, None, {"1.0.0": Marker(sha256=sha256, staged=42.5, files=2, size=5 + 21)})
    assert sorted(os.listdir(host.path("releases"))) == ["1.0.0"]
    assert sorted(os.listdir(host.path("releases", "1.0.0"))) == [".release.json", "VERSION", "bin"]
    assert oct(os.stat(host.path("releases", "1.0.0")).st_mode) == "0o40755"


@pytest.mark.parametrize("more", EVIL.values(), ids=EVIL.keys())
def test_an_evil_artifact_leaves_nothing(host, more):
    before = host.tree()
    with pytest.raises(ReleaseError, match=r"of release 2.0.0 is refused, nothing of it was kept"):
        host.staged("2.0.0", *more)
    assert host.tree() == before
    assert sorted(os.listdir(host.artifacts)) == ["2.0.0.tar.gz", "shop"]


def test_there_are_enough_kinds_of_evil():
    assert len(EVIL) >= 10


def test_a_wrong_checksum_is_refused_before_anything_is_unpacked(host):
    path = host.artifacts / "a.tar.gz"
    found = write_release(path, "1.0.0")
    with pytest.raises(ReleaseError, match=f"has sha256 {found}, but {'0' * 64} is wanted"):
        stage(host.root, "1.0.0", str(path), "0" * 64, LIMITS, 1.0)
    assert os.listdir(host.path("releases")) == []


@pytest.mark.parametrize("moment", ["_validate", "unpack"])
def test_an_artifact_that_is_exchanged_after_its_checksum_was_taken_is_staged_as_it_was(host, monkeypatch, moment):
    """An account that may write to the artifact can put it back before a second look."""
    path = host.artifacts / "a.tar.gz"
    sha256 = write_release(path, "1.0.0")
    good, act = path.read_bytes(), getattr(archive, moment)

    def exchange_and_act(*given):
        write_release(path, "EVIL")
        try:
            return act(*given)
        finally:
            path.write_bytes(good)

    monkeypatch.setattr(archive, moment, exchange_and_act)
    stage(host.root, "1.0.0", str(path), sha256, LIMITS, 1.0)
    with open(host.path("releases", "1.0.0", "VERSION"), encoding="utf-8") as file:
        assert file.read() == "1.0.0"


def test_a_pipe_or_a_device_in_the_place_of_the_artifact_is_refused_and_not_waited_for(host, monkeypatch):
    os.mkfifo(host.artifacts / "pipe")
    for path, reason in ((str(host.artifacts / "pipe"), "is no file"), ("/dev/zero", "is no file")):
        with pytest.raises(ReleaseError, match=reason):
            stage(host.root, "1.0.0", path, "0" * 64, LIMITS, 1.0)
    # It took the file's place in between.
    monkeypatch.setattr(os.path, "isfile", lambda path: True)
    with pytest.raises(OSError, match="no regular file"):
        stage(host.root, "1.0.0", str(host.artifacts / "pipe"), "0" * 64, LIMITS, 1.0)


@pytest.mark.parametrize(("artifact", "reason"), [(None, "no artifact is given"), ("/nowhere/a.tar.gz", "is no file"), ("/", "is no file")])
def test_a_missing_artifact_is_named(host, artifact, reason):
    with pytest.raises(ReleaseError, match=reason):
        stage(host.root, "1.0.0", artifact, "0" * 64, LIMITS, 1.0)


def test_a_full_disk_is_seen_before_anything_is_unpacked(host, monkeypatch):
    class Disk:
        f_bavail, f_frsize, f_blocks = 2, 10, 0

    # The copy of the artifact has taken the rest.
    disks = iter([os.statvfs(host.root)])
    monkeypatch.setattr(os, "statvfs", lambda path: next(disks, Disk))
    with pytest.raises(ReleaseError, match=r"takes 26 bytes, but .* has 20 bytes free"):
        host.staged("1.0.0")
    assert os.listdir(host.path("releases")) == []


def test_a_disk_that_fails_midway_leaves_nothing(host, monkeypatch):
    def fail(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "flush", fail)
    with pytest.raises(OSError, match="No space"):
        host.staged("1.0.0")
    assert os.listdir(host.path("releases")) == []


def test_leftovers_of_a_killed_staging_are_swept_away_by_the_next(host):
    os.makedirs(host.path("releases", ".staging-abc", "deep"))
    host.staged("1.0.0")
    assert os.listdir(host.path("releases")) == ["1.0.0"]


def test_a_staged_release_needs_no_staging_again(host):
    sha256 = host.staged("1.0.0")
    assert not needs_staging(observe(host.root), "1.0.0", sha256)
    assert needs_staging(observe(host.root), "2.0.0", sha256)


def test_another_build_replaces_a_release_that_is_not_in_use(host):
    first = host.staged("1.0.0")
    second = host.staged("1.0.0", member("more", b"x"))
    assert first != second
    assert observe(host.root).available["1.0.0"].sha256 == second
    assert os.path.exists(host.path("releases", "1.0.0", "more"))
    assert os.listdir(host.path("releases")) == ["1.0.0"]


def test_another_build_never_replaces_the_current_release(host):
    sha256 = host.staged("1.0.0")
    releases.switch(host.root, "1.0.0", None)
    with pytest.raises(ReleaseError, match=f"is current with sha256 {sha256}, but sha256 {'1' * 64} is wanted"):
        needs_staging(observe(host.root), "1.0.0", "1" * 64)


def test_the_switch_keeps_the_way_back(host):
    for version in ("1.0.0", "2.0.0"):
        host.staged(version)
    releases.switch(host.root, "1.0.0", None)
    assert observe(host.root)[:2] == ("1.0.0", None)
    releases.switch(host.root, "2.0.0", "1.0.0")
    assert observe(host.root)[:2] == ("2.0.0", "1.0.0")
    assert os.readlink(host.path("current")) == "releases/2.0.0"
    releases.switch(host.root, "1.0.0", "2.0.0")
    assert observe(host.root)[:2] == ("1.0.0", "2.0.0")
    assert sorted(os.listdir(host.root)) == ["current", "previous", "releases"]


def test_current_is_never_missing_during_the_switch(host, monkeypatch):
    host.staged("1.0.0")
    host.staged("2.0.0")
    releases.switch(host.root, "1.0.0", None)
    seen = []
    for name in ("symlink", "replace", "unlink"):
        real = getattr(os, name)

        def spied(*args, real=real, **kwargs):
            seen.append(os.path.exists(host.path("current", "VERSION")))
            result = real(*args, **kwargs)
            seen.append(os.path.exists(host.path("current", "VERSION")))
            return result

        monkeypatch.setattr(os, name, spied)
    releases.switch(host.root, "2.0.0", "1.0.0")
    assert len(seen) >= 8
    assert all(seen)


def test_a_killed_switch_does_not_hinder_the_next(host):
    host.staged("1.0.0")
    os.symlink("releases/0.9", host.path(".current.new"))
    releases.switch(host.root, "1.0.0", None)
    assert observe(host.root).current == "1.0.0"
    assert not os.path.lexists(host.path(".current.new"))


def test_removing_a_release_takes_a_previous_link_to_it_along(host):
    host.staged("1.0.0")
    host.staged("2.0.0")
    releases.switch(host.root, "1.0.0", None)
    releases.switch(host.root, "2.0.0", "1.0.0")
    releases.remove(host.root, "1.0.0")
    assert observe(host.root)[:2] == ("2.0.0", None)
    assert sorted(os.listdir(host.path("releases"))) == ["2.0.0"]
    with pytest.raises(ReleaseError, match=r"2.0.0 is current"):
        releases.require_removable(observe(host.root), "2.0.0")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: os.symlink("/opt/shop-1", path), "points to /opt/shop-1, which is no release"),
        (lambda path: os.symlink("releases/../../x", path), "is no release"),
        (os.mkdir, "is no symlink"),
    ],
)
def test_a_layout_of_other_means_is_refused(host, make, reason):
    make(host.path("current"))
    with pytest.raises(ReleaseError, match=reason):
        observe(host.root)


def test_a_layout_below_links_is_reported_by_its_real_paths(host, tmp_path):
    """The root is a link to another disk, and the releases stand on a third; the links have been made by hand, with whole paths."""
    host.staged("1.0.0")
    elsewhere = tmp_path / "elsewhere"
    os.rename(host.path("releases"), elsewhere)
    os.symlink(elsewhere, host.path("releases"))
    link = tmp_path / "link"
    os.symlink(host.root, link)
    for target in ("releases/1.0.0", f"{elsewhere}/1.0.0", f"{host.root}/releases/1.0.0", f"{link}/releases/1.0.0/"):
        os.symlink(target, host.path("current"))
        assert observe(host.root).current == observe(str(link)).current == "1.0.0", target
        os.unlink(host.path("current"))
    os.symlink(f"{link}/1.0.0", host.path("current"))
    with pytest.raises(ReleaseError, match="which is no release in"):
        observe(str(link))


def test_a_current_release_whose_folder_is_gone_is_seen(host):
    host.staged("1.0.0")
    releases.switch(host.root, "1.0.0", None)
    shutil.rmtree(host.path("releases", "1.0.0"))
    assert observe(host.root) == State("1.0.0", None, {})


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)], ids=["pipe", "folder", "device"])
def test_what_stands_in_the_place_of_a_marker_is_not_waited_for(host, put):
    """The application's account may write in its release."""
    host.staged("1.0.0")
    os.unlink(host.path("releases", "1.0.0", ".release.json"))
    put(host.path("releases", "1.0.0", ".release.json"))
    assert observe(host.root).available == {"1.0.0": Marker()}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "[" * 100_000, json.dumps({"version": "9.9", "sha256": "0" * 64}), json.dumps({"version": "1.0.0", "sha256": "x"})],
)
def test_a_torn_or_strange_marker_is_no_marker(host, content):
    host.staged("1.0.0")
    with open(host.path("releases", "1.0.0", ".release.json"), "w", encoding="utf-8") as file:
        file.write(content)
    assert observe(host.root).available == {"1.0.0": Marker()}


def test_what_is_no_release_folder_is_not_listed(host):
    host.staged("1.0.0")
    os.symlink("1.0.0", host.path("releases", "latest"))
    os.mkdir(host.path("releases", ".hidden"))
    with open(host.path("releases", "notes.txt"), "w", encoding="utf-8"):
        pass
    assert list(observe(host.root).available) == ["1.0.0"]


@pytest.mark.parametrize(
    ("keep", "current", "previous", "expected"),
    [
        (0, "5", "4", []),
        (1, "5", "4", ["1", "2", "3"]),
        (2, "5", "4", ["1", "2", "3"]),
        (3, "5", "4", ["1", "2"]),
        (3, "1", "2", ["3", "4"]),
        (5, "5", "4", []),
        (9, "5", "4", []),
        (3, "5", None, ["1", "2"]),
        (3, "5", "gone", ["1", "2"]),
        (3, "5", "5", ["1", "2"]),
    ],
)
def test_the_oldest_go_first_and_those_in_use_never(keep, current, previous, expected):
    available = {str(number): Marker("0" * 64, staged=float(number), files=1, size=1) for number in (3, 1, 5, 2, 4)}
    assert superfluous(State(current, previous, available), keep) == expected


def test_a_folder_that_was_not_staged_is_never_superfluous():
    available = {"0": Marker(), "1": Marker("0" * 64, 1.0, 1, 1), "2": Marker("0" * 64, 2.0, 1, 1)}
    assert superfluous(State("2", None, available), 1) == ["1"]


@pytest.mark.parametrize("text", ["", "0" * 63, "g" * 64, "sha256:" + "0" * 64, "0" * 64 + "\n"])
def test_what_is_no_checksum_is_refused(text):
    with pytest.raises(ReleaseError, match="64 hexadecimal digits"):
        releases.require_sha256(text)


def test_a_checksum_may_be_in_upper_case():
    assert releases.require_sha256("AB" * 32) == "ab" * 32


def test_archive_of_a_release_needs_a_file(host):
    sha256 = write_archive(host.artifacts / "empty.tar.gz", folder("only"))
    with pytest.raises(ReleaseError, match="contains no file"):
        stage(host.root, "1.0.0", str(host.artifacts / "empty.tar.gz"), sha256, LIMITS, 1.0)


def test_all_that_is_made_for_a_release_can_be_passed_through(tmp_path):
    before = os.umask(0o077)
    try:
        releases.prepare(str(tmp_path / "apps" / "eu" / "shop"))
    finally:
        os.umask(before)
    made = [tmp_path / "apps", tmp_path / "apps" / "eu", tmp_path / "apps" / "eu" / "shop", tmp_path / "apps" / "eu" / "shop" / "releases"]
    assert [path.stat().st_mode & 0o7777 for path in made] == [0o755] * 4


def test_a_release_that_is_staged_while_the_clock_is_wrong_is_the_newest(host):
    host.staged("1.0.0", now=1_700_000_000.0)
    host.staged("2.0.0", now=1_700_000_100.0)
    host.staged("3.0.0", now=7.0)
    assert superfluous(observe(host.root), 2) == ["1.0.0"] and observe(host.root).available["3.0.0"].staged == 1_700_000_101.0
