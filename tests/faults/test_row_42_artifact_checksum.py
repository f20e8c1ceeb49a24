# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifact is not what it should be.

When a byte of the release's archive is flipped, then the run refuses it before the first member leaves traffic;
and so it does when the archive is signed with a key that is not trusted.
"""

from __future__ import annotations

import hashlib

from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next
from fleet import signing

ON = ("embedded",)


def injured(fleet):
    """The variables of an archive with a flipped byte, and what the run says of it."""
    archive = fleet.artifact("2.0.0")
    content = bytearray(archive.read_bytes())
    sha256 = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    path = fleet.directory / "injured.tar.gz"
    path.write_bytes(content)
    given = {"upgrade_artifact": str(path), "upgrade_artifact_sha256": sha256}
    return given, ("but upgrade_artifact_sha256 is", "build it again or correct the checksum")


def signed_by_a_stranger(fleet):
    """The variables of a signature by a key that is not trusted, and what the run says of it."""
    keys = fleet.directory / "signers"
    keys.mkdir(mode=0o700)
    for name in ("engineer", "stranger"):
        signing.make_ssh_key(keys / name)
    (keys / "allowed").write_text(signing.signer("engineer", keys / "engineer"), encoding="ascii")
    signature = signing.sign_by_ssh(fleet.artifact("2.0.0"), keys / "stranger")
    given = {"upgrade_artifact_signature": str(signature), "upgrade_artifact_keys": str(keys / "allowed")}
    return given, (f"{signature} was not made with a key in {keys / 'allowed'}",)


def test_both_are_refused(fleet):
    for case in (injured, signed_by_a_stranger):
        given, words = case(fleet)
        run = fleet.run("upgrade", upgrade_release="2.0.0", **given)
        i8_ends_in_error_and_says_what_next(run, *words)
        i7_all_of_it_or_nothing(fleet, "1.0.0")
    i4_no_request_failed(fleet)
