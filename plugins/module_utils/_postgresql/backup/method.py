# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a PostgreSQL server is backed up, by the options of database_backup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._database.backup.disk_space import Room
from ..._database.backup.run import Method
from ..._database.programs import Runner
from .. import catalog, programs
from ..scratch_server import Account
from ..session import Connection, Login
from .logical import Logical
from .physical import PROGRAMS, Physical, require_fit


def method_of(login: Login, session: Connection, options: Mapping[str, Any]) -> Method:
    """The method that the options name; an error of this server or this host says what is missing for it."""
    identity, room, queries = catalog.identity(session), Room(options["directory"]), options["check_queries"]
    major = identity["version_number"] // 10000
    if options["method"] == "logical":
        return Logical(login, identity, programs.find(major, options["bin_dir"]), Runner(), room, queries)
    if options["state"] == "proven":
        require_fit(session)
    found = programs.find_all(major, PROGRAMS, options["bin_dir"])
    scratch = options["scratch_directory"] or options["directory"].rstrip("/") + ".scratch"
    return Physical(login, found, Runner(), room, scratch, Account.for_servers(options["scratch_user"]), queries, options["max_rate"])
