# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sessions with databases and poolers go over the network to a server that is not verified. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._text.figures import listed

VERIFYING = ("verify-ca", "verify-full")
DEFAULT = "prefer"
HERE = ("localhost", "::1")
CONSEQUENCE = {
    "disable": "is not encrypted",
    "allow": "is encrypted only where the server insists",
    DEFAULT: "is encrypted where the server offers it, and the server is not verified",
    "require": "is encrypted, and the server is not verified",
}


def unverified(databases: Sequence[str], poolers: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]], has_server: Callable[[object], bool]) -> list[str]:
    """A sentence for each way in which sessions go to a server that is not verified, with the variables that have it verified.

    :param databases: the hosts with databases. One whose server is reached on the host itself is verified by that.
    :param poolers: the hosts with poolers, which are reached as their variable ``pooler`` has it.
    :param has_server: whether there is a server to log in to, by ``database_engine``.
    """
    by_sentence: dict[tuple[str, str, str], list[str]] = {}
    for name in databases:
        known = hostvars[name]
        if has_server(known.get("database_engine")) and not _is_here(known.get("database_login_host") or known.get("postgresql_login_host")):
            prefix = "database" if known.get("database_ssl_mode") or not known.get("postgresql_login_host") else "postgresql"
            mode = str(known.get("database_ssl_mode") or known.get("postgresql_ssl_mode") or DEFAULT)
            by_sentence.setdefault((mode, "the session with its databases", f"{prefix}_ssl_mode: verify-full and {prefix}_ca_cert"), []).append(name)
    for name in poolers:
        pooler = hostvars[name].get("pooler") or {}
        if not _is_here(pooler.get("host")):
            mode = str(pooler.get("ssl_mode") or DEFAULT)
            by_sentence.setdefault((mode, "the session with its pooler", "ssl_mode: verify-full and ca_cert in pooler"), []).append(name)
    return [f"{listed(names)}: {session} {CONSEQUENCE.get(mode, 'is not verified')} (ssl_mode {mode}). To have the server verified, set {cure}"
            for (mode, session, cure), names in by_sentence.items() if mode not in VERIFYING]


def _is_here(host: object) -> bool:
    text = str(host or "")
    return not text or text.startswith(("/", "@", "127.")) or text in HERE
