# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MariaDB as a database engine, see `_database.interface.Engine`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .server import MariadbServer
from .session import Login, connect

if TYPE_CHECKING:
    from .migration.engine import MariadbEngine


class Mariadb:
    """The server that a module's options name."""

    has_server = True

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.login = Login.of(options)

    @contextlib.contextmanager
    def opened(self) -> Iterator[MariadbServer]:
        """See `Engine`."""
        with connect(self.login) as session:
            yield MariadbServer(self.login, session)

    def migrations(self) -> MariadbEngine:
        """See `Engine`."""
        from .migration.engine import MariadbEngine

        return MariadbEngine(self.login)
