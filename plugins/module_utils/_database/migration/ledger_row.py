# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of a ledger of migrations, whatever kind of database keeps it: all that a look at a ledger needs. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

APPLIED = "applied"
BEGUN = "begun"
# The kind of a step that is one transaction.
TRANSACTION = "transaction"


@dataclass(frozen=True)
class Row:
    """A row of the ledger; `applied` is in epoch seconds.

    `progress` of a batch step is `{batches, rows, after}`; `error` is why a step that was begun is not applied.
    """

    release: str
    phase: str
    step: str
    status: str
    checksum: str
    applied: float
    progress: dict[str, Any] | None = None
    error: str | None = None
    kind: str = TRANSACTION

    def as_dict(self) -> dict[str, Any]:
        """The row as a module returns it."""
        return asdict(self)
