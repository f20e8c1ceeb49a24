# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real apt and dpkg, with a root and a repository of their own: held and excluded packages, security, and what an interruption left."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._packages import apt as packages_apt
from ansible_collections.alwayson.upgrade.plugins.module_utils._packages.manager import PackageError, brought

PROGRAMS = ("apt-get", "apt-mark", "dpkg", "dpkg-query", "dpkg-deb", "dpkg-scanpackages")
pytestmark = pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="needs apt and dpkg-dev")
CONFIGURATION = """\
Dir "{root}";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Etc::Trusted "/dev/null";
DPkg::Options {{ "--root={root}"; "--force-not-root"; "--force-script-chrootless"; "--log=/dev/null"; }};
APT::Sandbox::User "";
Dir::Bin::dpkg "{wrappers}/dpkg";
"""


class Host:
    """A private root with some packages installed, and repositories by suite."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.apt = folder, folder / "root", packages_apt.Apt()
        for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt/preferences.d",
                     "etc/apt/apt.conf.d", "var/log/apt"):
            (self.root / name).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()

    def wrap(self, monkeypatch) -> None:
        """The programs' own root, for everything that runs in this test."""
        wrappers = self.folder / "bin"
        wrappers.mkdir()
        for name, option in (("dpkg", f"--root={self.root}"), ("dpkg-query", f"--admindir={self.root}/var/lib/dpkg")):
            (wrappers / name).write_text(f'#!/bin/sh\nexec {shutil.which(name)} {option} --force-not-root "$@"\n'.replace(
                " --force-not-root", "" if name == "dpkg-query" else " --force-not-root --force-script-chrootless --log=/dev/null"), encoding="utf-8")
            (wrappers / name).chmod(0o755)
        configuration = self.folder / "apt.conf"
        configuration.write_text(CONFIGURATION.format(root=self.root, wrappers=wrappers), encoding="utf-8")
        monkeypatch.setenv("APT_CONFIG", str(configuration))
        monkeypatch.setenv("PATH", f"{wrappers}:{os.environ['PATH']}:/usr/sbin:/sbin")
        monkeypatch.setattr(packages_apt, "PREFERENCES", str(self.root / "etc/apt/preferences"))

    def package(self, suite: str, name: str, version: str, depends: str = "") -> Path:
        """Build a package into a suite; returns its file."""
        tree = self.folder / "build" / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / f"{name}.txt").write_text(version, encoding="ascii")
        (tree / "DEBIAN/control").write_text(f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n"
                                             + (f"Depends: {depends}\n" if depends else ""), encoding="ascii")
        file = self.folder / suite / f"{name}_{version}_all.deb"
        file.parent.mkdir(exist_ok=True)
        run("dpkg-deb", "--root-owner-group", "--build", tree, file)
        return file

    def publish(self, *suites: str) -> None:
        """Index the suites and have apt read them."""
        for suite in suites:
            folder = self.folder / suite
            (folder / "Packages").write_text(run("dpkg-scanpackages", "--multiversion", ".", cwd=folder), encoding="ascii")
            (folder / "Release").write_text(f"Origin: Test\nLabel: Test\nSuite: {suite}\nCodename: {suite}\n", encoding="ascii")
        (self.root / "etc/apt/sources.list").write_text("".join(f"deb [trusted=yes] file:{self.folder}/{suite} ./\n" for suite in suites), encoding="ascii")
        # Read again: apt compares by the second.
        shutil.rmtree(self.root / "var/lib/apt/lists")
        (self.root / "var/lib/apt/lists/partial").mkdir(parents=True)
        run("apt-get", "update")

    def versions(self) -> dict[str, str]:
        return {name: " ".join(versions) for name, versions in self.apt.versions().items()}

    def patch(self, security_only: bool = False, exclude: tuple[str, ...] = ()) -> tuple[list[str], list[str], list[str]]:
        """What was announced, what was left and what came."""
        selection = self.apt.select(security_only, exclude)
        before = self.apt.versions()
        self.apt.install(selection)
        came = brought(before, self.apt.versions(), selection)
        return [update.name for update in selection.updates], [update.name for update in selection.left], [update.name for update in came]


def run(*words: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def host(tmp_path, monkeypatch):
    """tapp 1.0 needs exactly tlib 1.0; of these and of tother there is a 2.0, whose tother needs a new package."""
    found = Host(tmp_path)
    found.wrap(monkeypatch)
    run("dpkg", "--install", found.package("stable", "tlib", "1.0"), found.package("stable", "tapp", "1.0", "tlib (= 1.0)"),
        found.package("stable", "tother", "1.0"))
    run("apt-mark", "auto", "tother")
    for name, depends in (("tlib", ""), ("tapp", "tlib (= 2.0)"), ("tother", "tnew")):
        found.package("stable", name, "2.0", depends)
    found.package("stable", "tnew", "1.0")
    found.publish("stable")
    return found


def test_a_held_package_does_not_forbid_the_updates_of_others(host):
    run("apt-mark", "hold", "tlib")
    assert host.patch() == (["tnew", "tother"], ["tapp", "tlib"], ["tnew", "tother"])
    assert host.versions() == {"tapp": "1.0", "tlib": "1.0", "tother": "2.0", "tnew": "1.0"}
    assert "tother" in run("apt-mark", "showauto"), "an automatically installed package stays one"


@pytest.mark.parametrize(("exclude", "left"), [(("tlib",), {"tapp", "tlib"}), (("tl*", "tn*"), {"tapp", "tlib", "tother"})])
def test_an_excluded_package_is_not_installed_as_a_dependency_either(host, exclude, left):
    (host.root / "etc/apt/preferences").write_text("Package: tlib\nPin: version 2.0\nPin-Priority: 1001\n", encoding="ascii")
    announced, kept, came = host.patch(exclude=exclude)
    assert set(kept) == left and announced == came
    assert {name for name, version in host.versions().items() if version == "1.0" and name != "tnew"} == left


def test_a_pin_of_the_administrator_is_exceeded_or_named(host):
    (host.root / "etc/apt/preferences").write_bytes(b"# f\xfcr tlib\nPackage: tlib\nPin: version 2.0\nPin-Priority: 32000\n")
    assert host.patch(exclude=("tlib",)) == (["tnew", "tother"], ["tapp", "tlib"], ["tnew", "tother"])
    (host.root / "etc/apt/preferences").write_text("Package: tlib\nPin: version 2.0\nPin-Priority: 32767\n", encoding="ascii")
    with pytest.raises(PackageError, match=r"tlib 2.0 cannot be left out: .*etc/apt/preferences"):
        host.patch(exclude=("tlib",))


def test_the_fix_of_security_comes_also_where_a_later_version_is_elsewhere_and_brings_what_it_needs(host):
    host.package("stable-security", "tapp", "1.5", "tlib (>= 1.5)")
    host.publish("stable", "stable-security")
    assert host.patch(security_only=True) == (["tapp", "tlib"], ["tother"], ["tapp", "tlib"])
    assert host.versions() == {"tapp": "2.0", "tlib": "2.0", "tother": "1.0"}


def test_what_an_interruption_left_is_found_and_finished(host):
    run("dpkg", "--unpack", host.package("later", "tother", "3.0"))
    assert host.apt.unfinished() == ["tother"]
    host.apt.finish()
    assert host.apt.unfinished() == [] and host.versions()["tother"] == "3.0"
