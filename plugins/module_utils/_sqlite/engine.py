# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite as a database engine, see `_database.interface.Engine`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .server import SqliteFiles

if TYPE_CHECKING:
    from .migration.engine import SqliteEngine


class Sqlite:
    """The files that a module names; there is nothing to log in to."""

    has_server = False

    def __init__(self, _options: Mapping[str, Any]) -> None:
        """See `Engine`."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[SqliteFiles]:
        """See `Engine`."""
        yield SqliteFiles()

    def migrations(self) -> SqliteEngine:
        """See `Engine`."""
        from .migration.engine import SqliteEngine

        return SqliteEngine()
