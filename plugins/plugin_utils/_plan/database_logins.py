# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module logs in to the database server of a host, by the ``postgresql_*`` variables of the host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .host_names import variables_of

PORT, USER = 5432, "postgres"
# Passed on only where they are set.
OPTIONS = {"login_password": "postgresql_login_password", "ssl_mode": "postgresql_ssl_mode", "ca_cert": "postgresql_ca_cert"}


def database_login(name: str, hostvars: Mapping[str, Mapping[str, Any]], here: bool = False) -> dict[str, Any]:
    """The options of a module for ``module_defaults``: ``login_host``, ``login_port``, ``login_user`` and what else is set.

    The result may hold a password. Use it in ``module_defaults`` or ``vars``, and keep it as no fact.

    :param name: the host of the server.
    :param here: the module runs on that host: without ``postgresql_login_host`` the driver takes its own default, the local socket.
    """
    known = variables_of(name, hostvars)
    address = known.get("postgresql_login_host") or ("" if here else known.get("ansible_host") or name)
    return {**({"login_host": address} if address else {}), **_login(known), "login_port": int(known.get("postgresql_login_port", PORT))}


def switchover_login(name: str, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The same for the modules that reach two servers by one login, without host and port."""
    return _login(variables_of(name, hostvars))


def database_server(name: str, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A server as the options ``old_primary`` and ``new_primary`` have it: ``{name, host, port}``."""
    login = database_login(name, hostvars)
    return {"name": name, "host": login["login_host"], "port": login["login_port"]}


def _login(known: Mapping[str, Any]) -> dict[str, Any]:
    given = {option: known.get(variable) for option, variable in OPTIONS.items()}
    return {"login_user": known.get("postgresql_login_user", USER), **{option: value for option, value in given.items() if value}}
