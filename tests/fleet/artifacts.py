# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the shop's artifacts: shared code plus a release's own part, as a tar.gz that is the same in every build."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

SHOP = Path(__file__).resolve().parent / "shop"
# Name of the release's folder: the number it carries. The name also selects it: RELEASE=bad builds 2.0.1.
RELEASES = {"1.0.0": "1.0.0", "2.0.0": "2.0.0", "bad": "2.0.1", "broken": "2.0.2"}
MARKER = ".release.json"


class ArtifactError(Exception):
    """There is no such release, or its archive cannot be built."""


@dataclass(frozen=True)
class Artifact:
    """One release's archive; `sha256` is that of the archive."""

    version: str
    path: Path
    sha256: str


def build(name: str, directory: Path) -> Artifact:
    """Build the release `name` into `directory`, its checksum beside it in the format of sha256sum."""
    if name not in RELEASES:
        raise ArtifactError(f"there is no release {name!r} of the shop: choose one of {', '.join(RELEASES)}")
    version = RELEASES[name]
    content = _archive(_files(name, version))
    path = directory / f"shop-{version}.tar.gz"
    digest = hashlib.sha256(content).hexdigest()
    directory.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")
    return Artifact(version=version, path=path, sha256=digest)


def build_all(directory: Path) -> dict[str, Artifact]:
    """Build every release; return them by name."""
    return {name: build(name, directory) for name in RELEASES}


def install(artifact: Artifact, root: Path) -> None:
    """Make the artifact the current release under `root`, as a host has it that was set up with this release."""
    target = root / "releases" / artifact.version
    target.mkdir(parents=True)
    with tarfile.open(artifact.path) as archive:
        for entry in archive:
            (target / entry.name).write_bytes(archive.extractfile(entry).read())
    marker = {"version": artifact.version, "sha256": artifact.sha256}
    (target / MARKER).write_text(json.dumps(marker) + "\n", encoding="ascii")
    os.symlink(f"releases/{artifact.version}", root / "current")


def _files(name: str, version: str) -> dict[str, bytes]:
    """The archive's files by name: the shared ones, the release's own, and its number."""
    sources = [*(SHOP / "common").glob("*.py"), *(SHOP / "releases" / name).glob("*.py")]
    files = {source.name: source.read_bytes() for source in sources}
    files["RELEASE"] = f"{version}\n".encode("ascii")
    return files


def _archive(files: dict[str, bytes]) -> bytes:
    """A tar.gz that depends on names and contents alone: sorted, without times, owners and the modes of a checkout."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    compressed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=compressed, mtime=0) as stream:
        stream.write(plain.getvalue())
    return compressed.getvalue()
