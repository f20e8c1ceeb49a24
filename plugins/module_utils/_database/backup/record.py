# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one backup: what it was taken of, when, and what a restored copy of it must hold. Its manifest is this, in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..content import Content
from ..errors import DatabaseError

FORMAT = 3


class BackupError(Exception):
    """A backup was not taken, or is not proven; the message says why."""


@dataclass(frozen=True)
class Record:
    """A backup of `subject`: a database, or all of a server.

    `contents` is by database. `taken` is in epoch seconds, `sha256` that of the file whose checksum covers the backup, `details` what the method itself needs.
    """

    subject: str
    taken: float
    contents: Mapping[str, Content]
    sha256: str
    size_bytes: int
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_manifest(self) -> dict[str, Any]:
        """What is written down, and read again by `of_manifest`."""
        return {
            "format": FORMAT,
            "database": self.subject,
            "taken": self.taken,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "seconds_dump": self.seconds,
            "contents": {database: content.as_json() for database, content in self.contents.items()},
            "details": dict(self.details),
        }

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any]) -> Record:
        """The backup that a manifest describes; BackupError when it describes none."""
        if manifest.get("format") != FORMAT:
            raise BackupError("it was taken by another version of this module, which compared less: take a new backup. To restore this one, use the "
                              "version of the collection that took it")
        try:
            return cls(
                subject=manifest["database"],
                taken=float(manifest["taken"]),
                contents={database: Content.of_json(content) for database, content in manifest["contents"].items()},
                sha256=manifest["sha256"],
                size_bytes=manifest["size_bytes"],
                seconds=manifest["seconds_dump"],
                details=manifest["details"],
            )
        except (AttributeError, KeyError, TypeError, ValueError, DatabaseError) as error:
            raise BackupError(f"its manifest lacks {error}") from error
