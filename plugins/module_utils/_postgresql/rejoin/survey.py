# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server can follow another one, decided before anything is stopped. Pure: what was found on both in, the reason to refuse out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..auto_conf import TARGETS

LONGEST_NAME = 63
# Left by a restore, these would end the recovery of a standby, or keep it on its timeline. The harmless value of each.
RECOVERY_TARGETS = {**dict.fromkeys(TARGETS, ""), "recovery_target_timeline": "latest"}
# What pg_rewind runs as the login role.
FUNCTIONS = ("pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)", "pg_read_binary_file(text)",
             "pg_read_binary_file(text, bigint, bigint, boolean)")


@dataclass(frozen=True)
class Target:
    """The server that is to follow. `receives`: whether it is a standby that receives the log from another server now."""

    named: str
    system_identifier: str
    version: str
    timeline: int
    has_hints: bool
    is_standby: bool
    receives: bool
    tablespaces: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Source:
    """The server that is followed.

    `streams`: whether one streams from it under the name of the target; `demoted`: whether it was made read only; `lacks`: the functions of `FUNCTIONS` that
    the login role may not execute; `tablespaces`: the location of each by its oid.
    """

    named: str
    system_identifier: str
    version: str
    timeline: int
    streams: bool = False
    demoted: bool = False
    role: str = ""
    lacks: Sequence[str] = ()
    tablespaces: Mapping[str, str] = field(default_factory=dict)


def follows(target: Target, source: Source) -> bool:
    """Whether it does so already."""
    return source.streams and target.receives and target.system_identifier == source.system_identifier


def has_to_rewind(target: Target, source: Source) -> bool:
    """Whether the target has not got to the timeline of the source yet. One that was rewound is on it, and must not be recovered alone."""
    return target.timeline < source.timeline


def problem(target: Target, source: Source, name: str) -> str | None:
    """Why the target must not be stopped, rewound and started again."""
    if not (name.isascii() and name.isprintable() and 0 < len(name) <= LONGEST_NAME):
        return f"name is {name!r}, and PostgreSQL shows an application_name of up to {LONGEST_NAME} ASCII characters only: choose another one"
    if target.version != source.version:
        return f"{target.named} is of version {target.version}, and {source.named} of {source.version}: recreate it with pg_basebackup"
    if target.system_identifier != source.system_identifier:
        return (f"{target.named} has the system identifier {target.system_identifier}, and {source.named} {source.system_identifier}: they are two clusters. "
                "Correct data_directory or login_host")
    if source.demoted:
        return f"{source.named} was demoted, new transactions are read only there: give the address of the primary that took over as login_host"
    if target.timeline > source.timeline:
        return (f"{target.named} is on timeline {target.timeline}, and {source.named} on {source.timeline}: the one that is to follow is the newer primary. "
                "Run this on the host of the old primary, with the address of the new one as login_host")
    if target.timeline == source.timeline and not target.is_standby:
        return (f"{target.named} is on timeline {target.timeline}, as {source.named} is, and is no standby: it is the primary itself, or took writes beside "
                "it. Run this on the host of the old primary. If this is the old primary, recreate it with pg_basebackup")
    if target.receives:
        return (f"{target.named} is a standby that receives the log already, not as {name} from {source.named}: correct name or data_directory. "
                "If it is to follow another server, stop it first")
    if source.streams:
        return f"another server streams from {source.named} as {name}: give each standby an application_name of its own"
    return _problem_of_rewinding(target, source) if has_to_rewind(target, source) else None


def _problem_of_rewinding(target: Target, source: Source) -> str | None:
    if not target.has_hints:
        return (f"{target.named} has neither data_checksums nor wal_log_hints=on, which pg_rewind needs: recreate it with pg_basebackup, and set "
                "wal_log_hints=on on all servers")
    if source.lacks:
        return (f"role {source.role} may not read the data directory of {source.named}, as pg_rewind does: "
                f"GRANT EXECUTE ON FUNCTION {', '.join(source.lacks)} TO {source.role}")
    return None


def problem_of_settings(values: Mapping[str, str], removed: Collection[str], usable_slot: bool) -> str | None:
    """Why it would not stream with its settings.

    :param values: the settings of `RECOVERY_TARGETS`, and primary_slot_name.
    :param removed: the settings of its postgresql.auto.conf, from where they are taken away.
    """
    for name, harmless in RECOVERY_TARGETS.items():
        if values[name] != harmless and name not in removed:
            return f"{name} is {values[name]!r} in its configuration, so it would not follow the primary for ever: remove that"
    slot = values["primary_slot_name"]
    if slot and not usable_slot and "primary_slot_name" not in removed:
        return (f"primary_slot_name is {slot!r} in its configuration, and the primary has no such slot that is free: "
                f"SELECT pg_create_physical_replication_slot('{slot}') there, or remove the setting")
    return None
