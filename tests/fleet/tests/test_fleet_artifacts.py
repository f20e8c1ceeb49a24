# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's artifacts: the same bytes in every build, one source for all releases, an installed layout as the collection expects it."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile

import pytest
from fleet import artifacts


def contents(path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}


@pytest.mark.parametrize("name", artifacts.RELEASES)
def test_two_builds_are_the_same(tmp_path, monkeypatch, name):
    first = artifacts.build(name, tmp_path / "first")
    # Neither the order of a directory nor the times and modes of a checkout matter.
    listed = artifacts.Path.glob
    monkeypatch.setattr(artifacts.Path, "glob", lambda self, pattern: sorted(listed(self, pattern), reverse=True))
    monkeypatch.setattr("time.time", lambda: 1.0)
    second = artifacts.build(name, tmp_path / "second")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert first.path.with_name(first.path.name + ".sha256").read_text() == f"{first.sha256}  shop-{first.version}.tar.gz\n"


def test_what_is_inside(tmp_path):
    built = artifacts.build_all(tmp_path)
    assert {name: artifact.version for name, artifact in built.items()} == {"1.0.0": "1.0.0", "2.0.0": "2.0.0", "bad": "2.0.1", "broken": "2.0.2"}
    inside = {name: contents(artifact.path) for name, artifact in built.items()}
    for name, files in inside.items():
        assert {"app.py", "http11.py", "release.py", "RELEASE"} <= set(files)
        assert files["RELEASE"].decode() == built[name].version + "\n"
        assert not any("/" in file for file in files)
    for other in ("2.0.0", "bad"):
        differ = {file for file in inside["1.0.0"] if inside["1.0.0"][file] != inside[other][file]}
        assert differ == {"release.py", "RELEASE"}


def test_entries_are_plain(tmp_path):
    with tarfile.open(artifacts.build("1.0.0", tmp_path).path) as archive:
        entries = archive.getmembers()
    assert len(entries) >= 8
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(entry.isreg(), entry.mtime, entry.uid, entry.gid, entry.uname, entry.mode) for entry in entries} == {(True, 0, 0, 0, "", 0o644)}


def test_an_unknown_release_is_refused(tmp_path):
    with pytest.raises(artifacts.ArtifactError, match=r"no release '3.0.0'.*1.0.0, 2.0.0, bad"):
        artifacts.build("3.0.0", tmp_path)
    assert not list(tmp_path.iterdir())


def test_installed_as_a_host_has_it(tmp_path):
    artifact = artifacts.build("1.0.0", tmp_path / "artifacts")
    root = tmp_path / "host"
    artifacts.install(artifact, root)
    assert os.readlink(root / "current") == "releases/1.0.0"
    assert json.loads((root / "current" / ".release.json").read_text()) == {"version": "1.0.0", "sha256": artifact.sha256}
    installed = {path.name: path.read_bytes() for path in (root / "current").iterdir() if path.name != ".release.json"}
    assert installed == contents(artifact.path)
