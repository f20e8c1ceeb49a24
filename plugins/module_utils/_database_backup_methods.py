# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which method a module's options ask for, ready to work on the server that was reached."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.alwayson.upgrade.plugins.module_utils import _postgresql_catalog as catalog
from ansible_collections.alwayson.upgrade.plugins.module_utils import _postgresql_programs as programs
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_backup import Method
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_backup_logical import Logical
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_backup_physical import PROGRAMS, Physical, require_fit
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_room import Room
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, Login
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql_scratch_server import Account

ARGUMENTS = {
    "method": {"type": "str", "default": "logical", "choices": ["logical", "physical"]},
    "max_rate": {"type": "int", "default": 0},
    "scratch_user": {"type": "str", "default": "postgres"},
    "scratch_directory": {"type": "path"},
}


def choose(options: Mapping[str, Any], login: Login, identity: Mapping[str, Any], server: Connection) -> Method:
    """The method; PostgresqlError, ProgramError or BackupError when the server or this host cannot do what it needs."""
    catalog.require_primary(server, "the proof by a restore")
    major, room, queries = identity["version_number"] // 10000, Room(options["directory"]), options["check_queries"]
    if options["method"] == "logical":
        return Logical(login, identity, programs.find(major, options["bin_dir"]), programs.Runner(), room, queries)
    if options["state"] == "proven":
        require_fit(server)
    found = programs.find_all(major, PROGRAMS, options["bin_dir"])
    scratch = options["scratch_directory"] or options["directory"].rstrip("/") + ".scratch"
    return Physical(login, found, programs.Runner(), room, scratch, Account.for_servers(options["scratch_user"]), queries, options["max_rate"])
