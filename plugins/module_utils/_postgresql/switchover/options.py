# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the modules that exchange two servers behind poolers: those of the doc fragment alwayson.upgrade.switchover, and what they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..pooler.pgbouncer_file import Server
from ..session import LOGIN_ARGUMENTS, Login
from .node import Node
from .window import Limits, SwitchoverError


def renamed(name: str) -> dict[str, str]:
    """The entry in an argument spec for an option's name of version 0.2, which works until 1.0.0."""
    return {"name": name, "version": "1.0.0", "collection_name": "alwayson.upgrade"}


SERVER = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "pooler_host": {"type": "str"},
    "pooler_port": {"type": "int"},
}
ARGUMENTS: dict[str, Any] = {
    **{name: LOGIN_ARGUMENTS[name] for name in ("login_user", "login_password", "login_db", "ssl_mode", "ca_cert")},
    "old_primary": {"type": "dict", "required": True, "options": SERVER},
    "new_primary": {"type": "dict", "required": True, "options": SERVER},
    "pause_timeout": {"type": "float", "default": 5},
    "window_timeout": {"type": "float", "default": 15},
    "agent_timeout": {"type": "float", "default": 60, "aliases": ["companion_timeout"], "deprecated_aliases": [renamed("companion_timeout")]},
}


def limits(options: Mapping[str, Any]) -> Limits:
    """Those of a module; SwitchoverError when clients could be held for ever."""
    found = Limits(pause_seconds=options["pause_timeout"], window_seconds=options["window_timeout"],
                   **{name: options[option] for name, option in (("lag_bytes", "max_lag_bytes"), ("transaction_seconds", "max_transaction_seconds"))
                      if option in options})
    if not 0 < found.pause_seconds <= found.window_seconds:
        raise SwitchoverError("pause_timeout must be more than 0, and window_timeout not less than it: clients must not be held for ever")
    return found


def nodes(options: Mapping[str, Any]) -> tuple[Node, Node]:
    """The old primary and the new one."""
    old, new = _node(options, "old_primary"), _node(options, "new_primary")
    if old.name == new.name or old.address == new.address:
        raise SwitchoverError(f"old_primary and new_primary are {old} and {new}: give two servers, each with a name of its own")
    return old, new


def _node(options: Mapping[str, Any], role: str) -> Node:
    server = options[role]
    login = Login(host=server["host"], port=server["port"], user=options["login_user"], password=options["login_password"],
                  maintenance_database=options["login_db"], ssl_mode=options["ssl_mode"], ca_cert=options["ca_cert"])
    return Node(server["name"], login, Server(server["pooler_host"] or server["host"], str(server["pooler_port"] or server["port"])))
