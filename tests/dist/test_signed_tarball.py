# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release recipe: the collection's tarball is signed, and whoever trusts the key installs that and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from fleet.signing import OpenPgp

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
DIST = REPOSITORY / "build" / "dist"
NOT_SHIPPED = ("tests/", "build/", ".ci", "Makefile", "requirements/")


@pytest.fixture(name="home")
def _home(tmp_path_factory):
    """A home of gpg with the keys of an engineer and a stranger."""
    if not shutil.which("gpg"):
        pytest.skip("no gpg on this machine: Debian's package is gpg")
    with OpenPgp(tmp_path_factory.mktemp("pgp")) as pgp:
        for name in ("engineer", "stranger"):
            pgp.make_key(name)
            pgp.export(pgp.home / f"{name}.gpg", name)
        yield pgp.home


def script(home, name, argument):
    return subprocess.run([str(HERE / name), argument], env={**os.environ, "GNUPGHOME": str(home)}, capture_output=True, text=True, check=False)


def test_a_signed_tarball_installs_and_an_injured_or_foreign_one_does_not(home):
    subprocess.run(["make", "--quiet", "dist"], cwd=REPOSITORY, check=True, capture_output=True)
    tarball = next(DIST.glob("alwayson-upgrade-*.tar.gz"))
    assert script(home, "sign.sh", "engineer").returncode == 0
    done = script(home, "verify.sh", str(home / "engineer.gpg"))
    assert done.returncode == 0 and "alwayson.upgrade" in done.stdout, done.stdout + done.stderr
    installed = DIST / "installed" / "ansible_collections" / "alwayson" / "upgrade"
    assert (installed / "plugins" / "strategy" / "rolling.py").exists()

    strangers = script(home, "verify.sh", str(home / "stranger.gpg"))
    assert strangers.returncode != 0 and not installed.exists(), strangers.stdout
    _injure(tarball, "plugins/strategy/rolling.py")
    injured = script(home, "verify.sh", str(home / "engineer.gpg"))
    assert injured.returncode != 0, injured.stdout
    assert "checksum" in (injured.stdout + injured.stderr).lower(), injured.stderr


def test_the_tarball_has_what_users_need_and_nothing_else():
    subprocess.run(["make", "--quiet", "dist"], cwd=REPOSITORY, check=True, capture_output=True)
    with tarfile.open(next(DIST.glob("alwayson-upgrade-*.tar.gz"))) as tar:
        names = tar.getnames()
    assert {"MANIFEST.json", "FILES.json", "README.md", "playbooks/upgrade.yml", "plugins/strategy/rolling.py"} <= set(names)
    assert [name for name in names if name.startswith(NOT_SHIPPED)] == []


def _injure(tarball: Path, name: str) -> None:
    """Flip a byte of one file, and pack everything again."""
    folder = tarball.with_name("injured")
    with tarfile.open(tarball) as tar:
        tar.extractall(folder, filter="data")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with tarfile.open(tarball, "w:gz") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder), recursive=False)
    shutil.rmtree(folder)
