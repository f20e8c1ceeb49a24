# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that writes elsewhere, or leaves a setuid file.

When a release's archive holds a name with .., an absolute link or a setuid file, then every host refuses it, and nothing of it is left.
"""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded",)
REASONS = {"traversal": "its name contains '..'", "absolute link": "it is a link to the absolute name", "setuid": "sets setuid, setgid or sticky"}


def evil_archive(release, path, kind: str) -> str:
    """The release with one more member; returns the checksum."""
    with tarfile.open(release) as good, tarfile.open(path, "w:gz") as file:
        for entry in good:
            file.addfile(entry, good.extractfile(entry) if entry.isfile() else None)
        entry = tarfile.TarInfo("../../escaped" if kind == "traversal" else "planted")
        entry.mode = 0o4755 if kind == "setuid" else 0o644
        if kind == "absolute link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        else:
            entry.size = 4
        file.addfile(entry, io.BytesIO(b"evil"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.thorough
def test_it_is_refused_and_leaves_nothing(fleet):
    for kind in REASONS:
        path = fleet.directory / "evil.tar.gz"
        sha256 = evil_archive(fleet.artifact("2.0.0"), path, kind)
        # Without databases, whose backups are proven before the archive reaches a host.
        run = fleet.run("upgrade", upgrade_release="2.0.0", upgrade_artifact=str(path), upgrade_artifact_sha256=sha256, upgrade_databases=None)
        i8_ends_in_error_and_says_what_next(run, REASONS[kind])
        assert not list(fleet.directory.rglob("escaped")), kind
        assert all(fleet.read(member, "releases/2.0.0/app.py") is None for member in fleet.everybody)
    i7_all_of_it_or_nothing(fleet, "1.0.0")
    i4_no_request_failed(fleet)
