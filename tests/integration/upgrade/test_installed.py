# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a user gets it: built, installed offline into an empty folder, and run from there; and what ansible-doc says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds nothing but the installed collection."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY, check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    _galaxy("build", "--output-path", str(folder / "dist"), str(source))
    [tarball] = (folder / "dist").glob("alwayson-upgrade-*.tar.gz")
    _galaxy("install", "--offline", "-p", str(folder / "collections"), str(tarball))
    return folder / "collections"


def _galaxy(*arguments: str) -> None:
    subprocess.run([str(PROGRAMS / "ansible-galaxy"), "collection", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def test_the_tarball_holds_what_a_user_needs_and_nothing_else(installed):
    content = {path.name for path in (installed / "ansible_collections" / "alwayson" / "upgrade").iterdir()}
    assert {"plugins", "roles", "playbooks", "meta", "README.md", "LICENSE", "docs"} <= content
    assert not content & {"tests", "build", "Makefile", ".ci", "requirements"}


@pytest.mark.thorough
def test_an_upgrade_runs_from_the_installed_collection(operator, installed):
    run = operator.run("upgrade", collections=installed, upgrade_release="2.0.0", upgrade_probe={})
    assert run.code == 0, run.output[-4000:]
    assert str(REPOSITORY / "build" / "collections") not in run.output
    assert set(operator.versions().values()) == {"2.0.0"}
    report = run.report
    assert report["requests_scheduled"] is None and "Availability was not measured" in " ".join(report["not_proven"])


@pytest.mark.parametrize("kind", ["module", "filter", "strategy"])
def test_every_plugin_is_documented_with_examples(installed, kind):
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(installed), "LC_ALL": "C.UTF-8"}
    listed = subprocess.run([str(PROGRAMS / "ansible-doc"), "-t", kind, "--list", "--json", "alwayson.upgrade"], env=environment, check=True,
                            capture_output=True, text=True)
    names = sorted(json.loads(listed.stdout))
    folder = {"module": "modules"}.get(kind, kind)
    files = {path.stem for path in (REPOSITORY / "plugins" / folder).glob("*.yml" if kind == "filter" else "*.py")}
    assert names == sorted(f"alwayson.upgrade.{name}" for name in files) and names
    shown = subprocess.run([str(PROGRAMS / "ansible-doc"), "-t", kind, "--json", *names], env=environment, check=True, capture_output=True, text=True)
    for name, entry in json.loads(shown.stdout).items():
        assert entry["doc"]["short_description"], name
        assert yaml.safe_load(entry["examples"]), name


def test_every_role_is_documented(installed):
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(installed), "LC_ALL": "C.UTF-8"}
    shown = subprocess.run([str(PROGRAMS / "ansible-doc"), "-t", "role", "--list", "--json", "alwayson.upgrade"], env=environment, check=True,
                           capture_output=True, text=True)
    roles = {path.name for path in (REPOSITORY / "roles").iterdir() if path.is_dir()}
    assert set(json.loads(shown.stdout)) == {f"alwayson.upgrade.{role}" for role in roles} and len(roles) >= 7
