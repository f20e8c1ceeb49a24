# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What database_info returns for each database, the same for every engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .migration.ledger_row import Row


def description(size_bytes: int, tables: int, tenants: Iterable[Sequence[Any]] | None, ledger: Iterable[Row]) -> dict[str, Any]:
    """One database as database_info returns it. :param tenants: the rows of the query for the tenants; None without one."""
    names = None if tenants is None else sorted({str(row[0]) for row in tenants})
    return {"size_bytes": size_bytes, "tables": tables, "tenants": names, "migrations": [row.as_dict() for row in ledger]}
