# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifact is not what it should be.

When a byte of the release's archive is flipped, then the run refuses it before the first member leaves traffic.
"""

from __future__ import annotations

import hashlib

from faults.invariants import i4_no_request_failed, i7_all_of_it_or_nothing, i8_ends_in_error_and_says_what_next

ON = ("embedded",)


def test_it_is_refused(fleet):
    archive = fleet.artifact("2.0.0")
    content = bytearray(archive.read_bytes())
    sha256 = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    injured = fleet.directory / "injured.tar.gz"
    injured.write_bytes(content)
    run = fleet.run("upgrade", upgrade_release="2.0.0", upgrade_artifact=str(injured), upgrade_artifact_sha256=sha256)
    i8_ends_in_error_and_says_what_next(run, "checksum")
    i7_all_of_it_or_nothing(fleet, "1.0.0")
    i4_no_request_failed(fleet)
