# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import removal
from ansible_collections.alwayson.upgrade.plugins.module_utils._release import releases
from ansible_collections.alwayson.upgrade.plugins.modules import release, release_info
from archives import member, symlink, write_release
from run_module import run_module

# A service as a file: it "runs" the release that is current when it is started.
SHOPCTL = """#!/bin/sh
echo "$1 $(readlink {root}/current)" >> {log}
test -e {root}.fail-$1 && {{ echo "$1 is broken"; exit 9; }}
case "$1" in
  stop) rm -f {root}.runs ;;
  start) readlink {root}/current > {root}.runs ;;
  status) test -e {root}.runs || exit 3 ;;
esac
"""


class Shop:
    """A host with a shop on it, and the modules to run there."""

    def __init__(self, tmp_path, capsys):
        self.tmp_path, self.capsys = tmp_path, capsys
        self.root = str(tmp_path / "shop")
        self.log = tmp_path / "log"
        self.control = tmp_path / "shopctl"
        self.control.write_text(SHOPCTL.format(root=self.root, log=self.log), encoding="utf-8")
        self.control.chmod(0o755)

    def run(self, version, check_mode=False, **params):
        return run_module(release.main, self.capsys, check_mode, root=self.root, version=version, **params)

    def stage(self, version, *more, check_mode=False, **params):
        artifact = self.tmp_path / f"{version}.tar.gz"
        sha256 = write_release(artifact, version, *more)
        return self.run(version, check_mode, **{"state": "staged", "artifact": str(artifact), "sha256": sha256, **params})

    def activate(self, version, check_mode=False, **params):
        commands = {f"{verb}_command": [str(self.control), verb] for verb in ("stop", "start", "status")}
        return self.run(version, check_mode, **{"state": "current", **commands, "command_timeout": 20, **params})

    def info(self):
        return run_module(release_info.main, self.capsys, root=self.root)

    def verbs(self):
        """What was asked of the service since the last call, without the questions for its status."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("status")]

    def runs(self):
        path = self.tmp_path / "shop.runs"
        return path.read_text(encoding="utf-8").strip() if path.exists() else None

    def break_command(self, verb):
        (self.tmp_path / f"shop.fail-{verb}").touch()


@pytest.fixture(name="shop")
def _shop(tmp_path, capsys):
    return Shop(tmp_path, capsys)


@pytest.fixture(name="upgraded")
def _upgraded(shop):
    """1.0.0 was replaced by 2.0.0, which runs."""
    for version in ("1.0.0", "2.0.0"):
        assert shop.stage(version)["changed"]
        assert shop.activate(version)["changed"]
    shop.verbs()
    return shop


def test_a_host_with_nothing_has_no_release(shop):
    result = shop.info()
    assert (result["changed"], result["current"], result["previous"], result["available"]) == (False, None, None, {})
    assert not os.path.exists(shop.root)


def test_the_way_from_nothing_to_the_second_release(shop):
    staged = shop.stage("1.0.0")
    assert (staged["changed"], staged["release"], list(staged["available"])) == (True, None, ["1.0.0"])
    first = shop.activate("1.0.0")
    assert (first["changed"], first["release"], first["release_before"], first["previous"]) == (True, "1.0.0", None, None)
    assert shop.verbs() == ["start releases/1.0.0"]
    shop.stage("2.0.0")
    second = shop.activate("2.0.0")
    assert (second["changed"], second["release"], second["release_before"], second["previous"]) == (True, "2.0.0", "1.0.0", "1.0.0")
    assert shop.verbs() == ["stop releases/1.0.0", "start releases/2.0.0"]
    assert shop.runs() == "releases/2.0.0"
    assert second["diff"]["before"]["current"] == "1.0.0" and second["diff"]["after"]["current"] == "2.0.0"
    assert second["seconds"] == pytest.approx(second["finished_at"] - second["started_at"])
    assert abs(second["finished_at"] - time.time()) < 60


def test_a_second_run_changes_nothing(upgraded):
    before = upgraded.info()
    assert upgraded.stage("2.0.0", artifact="/nowhere/needed")["changed"] is False
    again = upgraded.activate("2.0.0")
    assert again["changed"] is False
    assert again["diff"]["before"] == again["diff"]["after"]
    assert upgraded.verbs() == []
    assert upgraded.info()["available"] == before["available"]


def test_a_service_that_is_down_is_started_without_a_switch(upgraded):
    (upgraded.tmp_path / "shop.runs").unlink()
    result = upgraded.activate("2.0.0")
    assert (result["changed"], result["release"], result["previous"]) == (True, "2.0.0", "1.0.0")
    assert upgraded.verbs() == ["start releases/2.0.0"]


def test_the_release_before_comes_back(upgraded):
    result = upgraded.activate("1.0.0")
    assert (result["release"], result["release_before"], result["previous"]) == ("1.0.0", "2.0.0", "2.0.0")
    assert upgraded.runs() == "releases/1.0.0"


def test_a_release_that_does_not_start_is_a_failure_that_names_the_way_back(upgraded):
    upgraded.stage("3.0.0")
    upgraded.break_command("start")
    result = upgraded.activate("3.0.0")
    assert result["failed"] is True
    assert "release 3.0.0 does not start" in result["msg"] and "start ended with 9: start is broken" in result["msg"]
    assert "current is now 3.0.0" in result["msg"] and "version=2.0.0" in result["msg"]
    assert (result["release"], result["release_before"], result["previous"]) == ("3.0.0", "2.0.0", "2.0.0")
    (upgraded.tmp_path / "shop.fail-start").unlink()
    assert upgraded.activate("2.0.0")["release"] == "2.0.0"
    assert upgraded.runs() == "releases/2.0.0"


def test_a_service_that_does_not_stop_keeps_its_release(upgraded):
    upgraded.break_command("stop")
    result = upgraded.activate("1.0.0")
    assert result["failed"] is True and "stop ended with 9: stop is broken" in result["msg"]
    assert (result["release"], upgraded.runs()) == ("2.0.0", "releases/2.0.0")


def test_check_mode_tells_the_same_and_changes_nothing(upgraded):
    trees = []
    for check_mode in (True, False):
        staged = upgraded.stage("3.0.0", check_mode=check_mode)
        assert (staged["changed"], sorted(staged["available"])) == (True, ["1.0.0", "2.0.0", "3.0.0"])
        trees.append(sorted(os.listdir(os.path.join(upgraded.root, "releases"))))
    assert trees == [["1.0.0", "2.0.0"], ["1.0.0", "2.0.0", "3.0.0"]]
    upgraded.verbs()
    foreseen = upgraded.activate("3.0.0", check_mode=True, keep=2)
    assert upgraded.verbs() == []
    assert upgraded.info()["current"] == "2.0.0"
    done = upgraded.activate("3.0.0", keep=2)
    for name in ("changed", "release", "release_before", "previous", "pruned", "available", "diff"):
        assert foreseen[name] == done[name], name


def test_check_mode_creates_nothing_on_a_host_with_nothing(shop):
    assert shop.stage("1.0.0", check_mode=True)["changed"] is True
    assert not os.path.exists(shop.root)


def test_check_mode_judges_the_artifact(shop):
    result = shop.stage("1.0.0", symlink("x", "/etc"), check_mode=True)
    assert result["failed"] is True and "is refused, nothing of it was kept: member 'x'" in result["msg"]


def test_old_releases_go_after_the_switch_and_not_before(upgraded):
    for version in ("3.0.0", "4.0.0"):
        assert upgraded.stage(version)["pruned"] == []
    assert sorted(upgraded.info()["available"]) == ["1.0.0", "2.0.0", "3.0.0", "4.0.0"]
    result = upgraded.activate("4.0.0", keep=3)
    assert (result["pruned"], sorted(result["available"])) == (["1.0.0"], ["2.0.0", "3.0.0", "4.0.0"])
    again = upgraded.activate("4.0.0", keep=2)
    assert (again["changed"], again["pruned"], sorted(again["available"])) == (True, ["3.0.0"], ["2.0.0", "4.0.0"])


def test_a_release_that_cannot_be_removed_does_not_fail_the_switch(upgraded, monkeypatch):
    upgraded.stage("3.0.0")

    def fail(root, version):
        raise OSError(16, "Device or resource busy", version)

    warned = []
    monkeypatch.setattr(release.AnsibleModule, "warn", lambda self, text: warned.append(text))
    monkeypatch.setattr(releases, "remove", fail)
    result = upgraded.activate("3.0.0", keep=1)
    assert (result["changed"], result["pruned"], result["release"]) == (True, [], "3.0.0")
    [warning] = warned
    assert "release 1.0.0 could not be removed" in warning


@pytest.fixture(name="warned")
def _warned(monkeypatch):
    warned = []
    monkeypatch.setattr(release.AnsibleModule, "warn", lambda self, text: warned.append(text))
    return warned


@pytest.fixture(name="mounted")
def _mounted(upgraded, monkeypatch):
    """The uploads of the shop are mounted into its old release, from the same disk."""
    uploads = os.path.join(upgraded.root, "releases", "1.0.0", "uploads")
    os.mkdir(uploads)
    with open(os.path.join(uploads, "photo"), "w", encoding="ascii") as file:
        file.write("precious")
    mounts = upgraded.tmp_path / "mountinfo"
    mounts.write_text(f"36 35 8:1 /uploads {uploads} rw,relatime shared:1 - ext4 /dev/sda1 rw\n", encoding="utf-8")
    monkeypatch.setattr(removal, "MOUNTS", str(mounts))
    return uploads


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_is_mounted_in_an_old_release_outlives_it(upgraded, mounted, warned, check_mode):
    upgraded.stage("3.0.0")
    result = upgraded.activate("3.0.0", check_mode, keep=2)
    assert (result["release"], result["pruned"], "1.0.0" in result["available"]) == ("3.0.0", [], True)
    assert len(warned) == 1 and mounted in warned[0] and "umount that first" in warned[0]
    removed = upgraded.run("1.0.0", check_mode, state="absent")
    assert removed["failed"] and mounted in removed["msg"]
    assert os.listdir(mounted) == ["photo"] and "failed" not in upgraded.stage("4.0.0")


def test_what_is_mounted_in_what_is_swept_is_never_to_be_removed_by_hand(upgraded, warned, monkeypatch, tmp_path):
    """A bind mount of the same disk is on the file system of the rest, and ``rm --one-file-system`` takes it along."""
    uploads = os.path.join(upgraded.root, "releases", ".staging-x", "uploads")
    os.makedirs(uploads)
    (tmp_path / "mounts").write_text(f"36 35 8:1 /uploads {uploads} rw,relatime shared:1 - ext4 /dev/sda1 rw\n", encoding="utf-8")
    monkeypatch.setattr(removal, "MOUNTS", str(tmp_path / "mounts"))
    upgraded.stage("3.0.0")
    assert os.path.isdir(uploads) and uploads in warned[0] and "umount that first" in warned[0] and "rm " not in warned[0]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_release_in_which_something_is_mounted_is_not_replaced(upgraded, mounted, check_mode):
    result = upgraded.stage("1.0.0", member("other", b"x"), check_mode=check_mode)
    assert result["failed"] and mounted in result["msg"] and "umount that first" in result["msg"]
    assert os.listdir(mounted) == ["photo"] and os.listdir(os.path.dirname(os.path.dirname(mounted))).count("1.0.0") == 1


def test_what_cannot_be_removed_is_reported_with_its_path_and_blocks_no_release_after_it(upgraded, warned, monkeypatch):
    """The application runs as another account, and has written a cache into its release."""
    cache, unlink = os.path.join(upgraded.root, "releases", "1.0.0", "cache"), os.unlink
    with open(cache, "w", encoding="ascii") as file:
        file.write("page")

    def refuse(name, **where):
        if name == "cache":
            raise PermissionError(13, "Permission denied", name)
        unlink(name, **where)

    monkeypatch.setattr(os, "unlink", refuse)
    upgraded.stage("3.0.0")
    result = upgraded.activate("3.0.0", keep=2)
    assert (result["release"], result["pruned"], sorted(result["available"])) == ("3.0.0", ["1.0.0"], ["2.0.0", "3.0.0"])
    assert upgraded.stage("4.0.0")["changed"] and upgraded.activate("4.0.0")["release"] == "4.0.0"
    assert len(warned) == 2 and all(re.search(r"/\.staging-\w+/1\.0\.0/cache cannot be removed: Permission denied", text) for text in warned)
    assert all("as an account that may, with become" in text and "rm -r" not in text for text in warned)
    monkeypatch.undo()
    upgraded.stage("5.0.0")
    assert not [name for name in os.listdir(os.path.join(upgraded.root, "releases")) if name.startswith(".")]


def test_a_release_is_removed_once(upgraded):
    assert upgraded.run("1.0.0", check_mode=True, state="absent")["changed"] is True
    removed = upgraded.run("1.0.0", state="absent")
    assert (removed["changed"], list(removed["available"]), removed["previous"]) == (True, ["2.0.0"], None)
    assert upgraded.run("1.0.0", state="absent")["changed"] is False


def test_the_current_release_is_never_removed(upgraded):
    result = upgraded.run("2.0.0", state="absent")
    assert result["failed"] is True and "release 2.0.0 is current" in result["msg"]


def test_removing_from_a_host_with_nothing_changes_nothing(shop):
    assert shop.run("1.0.0", state="absent")["changed"] is False
    assert not os.path.exists(shop.root)


def test_without_a_service_only_the_link_is_switched(shop):
    shop.stage("1.0.0")
    result = shop.run("1.0.0", state="current")
    assert (result["changed"], result["release"]) == (True, "1.0.0")
    assert shop.run("1.0.0", state="current")["changed"] is False


def test_the_current_release_is_never_replaced(upgraded):
    result = upgraded.stage("2.0.0", member("other", b"x"))
    assert result["failed"] is True and "never replaced" in result["msg"]


@pytest.mark.parametrize(
    ("version", "params", "reason"),
    [
        ("latest", {}, "names something that moves"),
        ("", {}, "the version is empty"),
        ("2.0 0", {}, "white space"),
        ("../2.0", {}, "no version"),
        ("2.0.0", {"state": "staged"}, "sha256"),
        ("2.0.0", {"state": "staged", "sha256": "latest"}, "no SHA-256 checksum"),
        ("2.0.0", {"state": "staged", "sha256": ""}, "no SHA-256 checksum"),
        ("2.0.0", {"state": "staged", "sha256": "0" * 64}, "no artifact is given"),
        ("2.0.0", {}, r"not staged on this host \(staged: none\)"),
        ("2.0.0", {"keep": -1}, "keep is -1"),
        ("2.0.0", {"command_timeout": 0}, "command_timeout is 0"),
        ("2.0.0", {"root": "/"}, "not the absolute path of a folder"),
        ("2.0.0", {"root": "//.."}, "not the absolute path of a folder"),
        ("2.0.0", {"root": "srv/shop"}, "not the absolute path of a folder"),
        ("2.0.0", {"stop_command": ["true"]}, "start_command and status_command missing"),
        ("2.0.0", {"state": "latest"}, "state must be one of"),
    ],
)
def test_bad_input_is_refused_with_one_clear_message(shop, version, params, reason):
    result = run_module(release.main, shop.capsys, **{"root": shop.root, "version": version, **params})
    assert result["failed"] is True
    assert re.search(reason, result["msg"]), result["msg"]
    assert os.listdir(shop.root + "/releases") == [] if os.path.isdir(shop.root) else True


def test_another_run_is_waited_for_and_named(upgraded):
    hold = "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold, f"{upgraded.root}/.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        result = upgraded.activate("1.0.0", lock_timeout=0)
        holder.kill()
    assert result["failed"] is True and "another run is at work" in result["msg"]
    assert upgraded.verbs() == []
    assert upgraded.activate("1.0.0")["changed"] is True


def test_a_restrictive_umask_leaves_the_release_readable(shop):
    umask = os.umask(0o077)
    try:
        shop.stage("1.0.0")
    finally:
        os.umask(umask)
    for name in ("", "releases", "releases/1.0.0", "releases/1.0.0/bin", "releases/1.0.0/VERSION", "releases/1.0.0/.release.json"):
        assert os.stat(os.path.join(shop.root, name)).st_mode & stat.S_IROTH, name


def test_a_layout_of_other_means_is_named(shop):
    os.mkdir(shop.root)
    os.symlink("/opt/shop-1", os.path.join(shop.root, "current"))
    for result in (shop.info(), shop.run("1.0.0", state="current"), shop.stage("1.0.0")):
        assert result["failed"] is True and "points to /opt/shop-1" in result["msg"]


# -- the fence


def fence(token, **more):
    return {"fence": {"token": token, "owner": f"owner of {token}", **more}}


def test_a_run_that_was_taken_over_changes_nothing_in_any_state(upgraded):
    assert upgraded.activate("2.0.0", **fence(6))["changed"] is False
    before = upgraded.info()
    for check_mode in (True, False):
        for refused in (upgraded.activate("1.0.0", check_mode, **fence(5)), upgraded.stage("3.0.0", check_mode=check_mode, **fence(5)),
                        upgraded.run("1.0.0", check_mode, state="absent", **fence(5))):
            assert refused["failed"] is True and "this run holds token 5, but owner of 6 has taken over with token 6" in refused["msg"]
            assert refused["release"] == "2.0.0"
    assert upgraded.info() == before and upgraded.verbs() == []
    assert upgraded.activate("1.0.0", **fence(6))["changed"] is True and upgraded.activate("2.0.0", **fence(7))["changed"] is True


def test_a_fence_of_ones_own_is_elsewhere(shop):
    path = shop.tmp_path / "fences" / "shop"
    assert shop.stage("1.0.0", **fence(6, path=str(path)))["changed"] is True
    assert path.is_file() and not os.path.exists(f"{shop.root}/.fence")
    assert shop.stage("2.0.0", **fence(5, path=str(path)))["failed"] is True
    assert shop.stage("2.0.0", **fence(5))["changed"] is True


def test_a_fence_in_check_mode_leaves_nothing_and_a_refused_run_makes_no_folder(shop):
    assert shop.stage("1.0.0", check_mode=True, **fence(6))["changed"] is True
    assert not os.path.exists(shop.root)
    path = shop.tmp_path / "elsewhere"
    path.write_text('{"token": 7, "owner": "", "at": 1}', encoding="utf-8")
    assert shop.stage("1.0.0", **fence(6, path=str(path)))["failed"] is True
    assert not os.path.exists(shop.root)


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_archive_on_the_controller_is_asked_for_only_when_it_is_needed(shop, check_mode):
    wanted = {"state": "staged", "artifact_src": "/controller/2.0.0.tar.gz"}
    sha256 = write_release(shop.tmp_path / "2.0.0.tar.gz", "2.0.0")
    asked = shop.run("2.0.0", check_mode, **wanted, sha256=sha256)
    assert (asked["needs_artifact"], asked["changed"], asked["available"]) == (True, False, {})
    assert shop.stage("2.0.0")["needs_artifact"] is False
    again = shop.run("2.0.0", check_mode, **wanted, sha256=sha256)
    assert (again["needs_artifact"], again["changed"]) == (False, False)


def test_a_first_release_is_taken_back_to_nothing_and_stays_on_the_host(shop):
    shop.stage("1.0.0")
    shop.activate("1.0.0")
    foreseen = shop.activate("1.0.0", check_mode=True, state="withdrawn")
    assert (foreseen["changed"], foreseen["release"], shop.info()["current"], shop.runs()) == (True, None, "1.0.0", "releases/1.0.0")
    back = shop.activate("1.0.0", state="withdrawn")
    assert (back["changed"], back["release"], back["release_before"]) == (True, None, "1.0.0")
    assert shop.runs() is None and sorted(shop.info()["available"]) == ["1.0.0"] and shop.info()["current"] is None
    assert shop.activate("1.0.0", state="withdrawn")["changed"] is False
    assert shop.activate("1.0.0")["release"] == "1.0.0"


def test_another_release_is_not_taken_back_and_one_that_does_not_stop_stays_current(upgraded):
    assert upgraded.activate("1.0.0", state="withdrawn")["changed"] is False
    assert upgraded.runs() == "releases/2.0.0"
    upgraded.break_command("stop")
    failed = upgraded.activate("2.0.0", state="withdrawn")
    assert failed["failed"] and "the service does not stop" in failed["msg"] and failed["release"] == "2.0.0"
