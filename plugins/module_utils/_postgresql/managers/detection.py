# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program manages a cluster, by what its servers show of it.

A switchover beside such a program works against it: the program is driven, or the switchover is refused.

Pacemaker shows nothing in a server: its resource agent is an ordinary local session.
Sources: the documentation and the code of Patroni, repmgr, pg_auto_failover, Stolon and CloudNativePG.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..auto_conf import libraries

if TYPE_CHECKING:
    from ..session import Connection
    from ..switchover.node import Node

PATRONI, REPMGR, AUTO_FAILOVER, STOLON, CLOUD_NATIVE = "Patroni", "repmgr", "pg_auto_failover", "Stolon", "CloudNativePG"
SWITCHOVER, FAILOVER, REJOIN = "switched", "failed_over", "rejoin"
# Patroni gives these on the server's command line, whatever its configuration is.
OF_PATRONI = frozenset(("cluster_name", "wal_level", "hot_standby", "max_connections", "max_wal_senders", "max_prepared_transactions",
                        "max_locks_per_transaction", "max_replication_slots", "max_worker_processes", "wal_log_hints", "track_commit_timestamp"))
# What each leaves in a data directory.
FILES = {"patroni.dynamic.json": PATRONI, "postgresql-auto-failover.conf": AUTO_FAILOVER, "stolon-temp-postgresql.conf": STOLON}
CURES = {
    PATRONI: {
        SWITCHOVER: "use the option patroni",
        FAILOVER: "it promotes a standby itself after a crash, or with patronictl failover",
        REJOIN: "it makes an old primary a standby itself when it runs on that host, or with patronictl reinit",
    },
    REPMGR: {
        SWITCHOVER: "use the option repmgr",
        FAILOVER: "use the option repmgr",
        REJOIN: "run repmgr node rejoin --force-rewind --config-files=... on the host of the old primary, with the address of the new one",
    },
    AUTO_FAILOVER: {
        SWITCHOVER: "use pg_autoctl perform switchover",
        FAILOVER: "use pg_autoctl perform failover",
        REJOIN: "it makes an old primary a standby itself: see pg_autoctl show state",
    },
    STOLON: {
        SWITCHOVER: "use stolonctl failkeeper",
        FAILOVER: "its sentinel promotes a standby itself",
        REJOIN: "its keeper makes an old primary a standby itself",
    },
    CLOUD_NATIVE: {
        SWITCHOVER: "use kubectl cnpg promote",
        FAILOVER: "its operator promotes a standby itself",
        REJOIN: "its operator makes an old primary a standby itself",
    },
}
APPLICATIONS = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name <> ''"
DATABASES = "SELECT datname FROM pg_database"
ROLES = "SELECT rolname FROM pg_roles"
SLOTS = "SELECT slot_name FROM pg_replication_slots"
ON_COMMAND_LINE = "SELECT name FROM pg_settings WHERE source = 'command line'"
SETTINGS = "SELECT setting FROM pg_settings WHERE name IN ('shared_preload_libraries', 'archive_command', 'restore_command', 'ssl_cert_file')"


class Signs(NamedTuple):
    """What a server shows: the names of its sessions, databases, roles, slots, of what was set on its command line; and the values of `SETTINGS`."""

    applications: Sequence[str] = ()
    databases: Sequence[str] = ()
    roles: Sequence[str] = ()
    slots: Sequence[str] = ()
    on_command_line: Sequence[str] = ()
    settings: Sequence[str] = ()


class Manager(NamedTuple):
    """A program that runs the cluster, and the sign by which it is known."""

    name: str
    sign: str


def read(session: Connection | Node) -> Signs:
    """The signs of a server, by an open session with it."""
    return Signs(*([str(row[0] or "") for row in session.rows(query)] for query in (APPLICATIONS, DATABASES, ROLES, SLOTS, ON_COMMAND_LINE, SETTINGS)))


def managers(signs: Signs) -> list[Manager]:
    """Who runs the cluster of the server; each once, by the plainest sign."""
    found: dict[str, Manager] = {}
    for one in _found(signs):
        found.setdefault(one.name, one)
    return list(found.values())


def of_files(names: Iterable[str]) -> list[Manager]:
    """Who left something in a data directory with these entries."""
    return [Manager(FILES[name], f"the file {name} in its data directory") for name in names if name in FILES]


def refusal(found: Iterable[Manager], act: str, driven: str | None = None) -> str | None:
    """Why the act must not be done here beside them.

    :param act: `SWITCHOVER`, `FAILOVER` or `REJOIN`.
    :param driven: the one that the act is done by.
    """
    for one in found:
        if one.name != driven:
            return (f"{one.name} runs this cluster ({one.sign}), and would undo this: {CURES[one.name][act]}. "
                    f"If it no longer runs the cluster, remove what it left ({one.sign})")
    return None


def _found(signs: Signs) -> Iterator[Manager]:
    for application in signs.applications:
        for prefix, name in (("Patroni", PATRONI), ("repmgr", REPMGR), ("pgautofailover", AUTO_FAILOVER), ("stolon_", STOLON), ("cnpg", CLOUD_NATIVE)):
            if application.startswith(prefix):
                yield Manager(name, f"a session of {application}")
    if OF_PATRONI.issubset(signs.on_command_line):
        yield Manager(PATRONI, "the settings on the server's command line")
    if "repmgr" in signs.databases:
        yield Manager(REPMGR, "the database repmgr")
    for role in signs.roles:
        if role == "repmgr":
            yield Manager(REPMGR, "the role repmgr")
        if role.startswith("pgautofailover_"):
            yield Manager(AUTO_FAILOVER, f"the role {role}")
    for slot in signs.slots:
        for prefix, name in (("repmgr_slot_", REPMGR), ("pgautofailover_standby_", AUTO_FAILOVER), ("stolon_", STOLON), ("_cnpg_", CLOUD_NATIVE)):
            if slot.startswith(prefix):
                yield Manager(name, f"the replication slot {slot}")
    for value in signs.settings:
        if "repmgr" in libraries(value):
            yield Manager(REPMGR, "shared_preload_libraries")
        if "/controller/manager" in value or value.startswith("/controller/"):
            yield Manager(CLOUD_NATIVE, f"the setting {value}")
