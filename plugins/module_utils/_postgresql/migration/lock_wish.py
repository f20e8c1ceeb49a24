# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks that a script will take in PostgreSQL, as far as that is known without a server. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..._database.migration.sql import statements
from .dialect import POSTGRESQL

# Locks that these take conflict with readers, too.
LOCKS_EVERYBODY_OUT = {"ALTER", "DROP", "TRUNCATE", "LOCK", "CLUSTER", "REINDEX", "REFRESH"}
# These wait for writers only.
LOCKS_WRITERS_OUT = {"CREATE"}


@dataclass(frozen=True)
class LockWish:
    """The names on which a script takes locks that conflict with all others, and those whose locks conflict with writers' only."""

    everybody: frozenset[str]
    writers: frozenset[str]


def lock_wish(script: str) -> LockWish:
    """What a script is likely to lock. Names that are no tables are in it, too: the server knows which are."""
    everybody: set[str] = set()
    writers: set[str] = set()
    for statement in statements(script, POSTGRESQL):
        if statement.verb in LOCKS_EVERYBODY_OUT:
            everybody |= statement.names
        elif statement.verb in LOCKS_WRITERS_OUT:
            writers |= statement.names
    return LockWish(frozenset(everybody), frozenset(writers - everybody))
