# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which customers are affected when databases or servers are away. Pure: names in, data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .host_names import variables_of

# The variable of a database host: its databases to the tenants in them.
VARIABLE = "postgresql_tenants"


def tenants_affected(away: Mapping[str, Sequence[str] | Mapping[str, Any] | None], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Who is affected: ``{tenants, by_database, unmapped, unknown, text}``.

    The tenants of a database are those that a query in it returned, else those in the variable of its host. Without that variable each database
    counts as one tenant.

    :param away: server to the names of its databases, or to a mapping of these to the tenants that are known of each (None: not), or to None: not known.
    :raises ValueError: for a variable that is no such mapping.
    """
    by_database: dict[str, list[str]] = {}
    unmapped, unknown = [], []
    for server, databases in away.items():
        mapped = _mapped(server, hostvars)
        if databases is None and mapped is None:
            unknown.append(server)
            continue
        names = databases if databases is not None else mapped or {}
        for database in sorted(names):
            asked = names[database] if isinstance(names, Mapping) else None
            found = asked if asked is not None else [database] if mapped is None else mapped.get(database)
            by_database[f"{server}/{database}"] = sorted(found or [])
            if found is None:
                unmapped.append(f"{server}/{database}")
    tenants = sorted({tenant for found in by_database.values() for tenant in found})
    return {"tenants": tenants, "by_database": by_database, "unmapped": unmapped, "unknown": unknown, "text": _text(tenants, unmapped, unknown)}


def _mapped(server: str, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]] | None:
    """The variable of a host; a tenant alone counts as a list of one."""
    mapping = variables_of(server, hostvars).get(VARIABLE)
    if mapping is None:
        return None
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{VARIABLE} of {server} is {mapping!r}: give its databases, each with the list of its tenants")
    return {str(database): [tenants] if isinstance(tenants, str) else [str(tenant) for tenant in tenants or []] for database, tenants in mapping.items()}


def _text(tenants: Sequence[str], unmapped: Sequence[str], unknown: Sequence[str]) -> list[str]:
    lines = [f"affected tenants ({len(tenants)}): {', '.join(tenants) or 'none'}"]
    if unmapped:
        lines.append(f"databases whose tenants are not known, because {VARIABLE} does not name them: {', '.join(unmapped)}")
    if unknown:
        lines.append(f"servers whose databases are not known, and neither are their tenants: {', '.join(unknown)}; name them in {VARIABLE}")
    return lines
