# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request of failover.yml, its refusals, and its final report. Pure: variables and results in, data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

PREFIX = "upgrade_"
# name without the prefix: default. Documented in docs/variables.md.
DEFAULTS: dict[str, object] = {
    "old_primary": "",
    "new_primary": "",
    "restore_on": "",
    "planned": False,
    "data_loss": "refuse",
    "old_is_lost": False,
    "restore_max_age": 0,
}
POOLERS = "poolers"  # the name of a group, of a service too
# Names of version 0.2, which work until 1.0.0.
RENAMED = {**{name: PREFIX + name for name in DEFAULTS}, "pooler_group": PREFIX + POOLERS}
EXAMPLE = "-e upgrade_old_primary=db1 -e upgrade_new_primary=db2"


def variables_of_failover(names: Sequence[str]) -> list[str]:
    """Of the variables that exist, those which a failover is described by, under their old names too."""
    return [name for name in names if name in RENAMED or name in RENAMED.values()]


def failover_request(variables: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The request.

    :param variables: those of ``variables_of_failover``. A new name counts where an old one is set too.
    :param groups: the inventory's groups, name to host names.
    :returns: ``{old_primary, new_primary, restore_on, planned, data_loss, old_is_lost, restore_max_age, poolers, problems, renamed}``: hosts are names, empty
        for none, ``poolers`` a list of them, ``problems`` sentences, ``renamed`` old names that are set to their new ones.
    """
    given = {RENAMED.get(name, name): value for name, value in sorted(variables.items(), key=lambda entry: entry[0] not in RENAMED)}
    request = {name: given.get(PREFIX + name, default) for name, default in DEFAULTS.items()}
    for name in ("planned", "old_is_lost"):
        request[name] = str(request[name]).lower() in ("true", "yes", "on", "1")
    request["poolers"] = list(groups.get(str(given.get(PREFIX + POOLERS) or POOLERS), []))
    required = ["old_primary", *(["restore_on"] if PREFIX + "restore_on" in given else []),
                *(["new_primary"] if PREFIX + "new_primary" in given or PREFIX + "restore_on" not in given else [])]
    request["problems"] = [
        f"{PREFIX}{name} is {request[name] or 'not set'}, which is no host of the inventory: give two database hosts, for example {EXAMPLE}"
        for name in required if request[name] not in groups["all"]]
    request["renamed"] = {name: RENAMED[name] for name in variables if name in RENAMED}
    return request


def known_databases(standby: Mapping[str, Any], asked: Mapping[str, Any], foreseen: Mapping[str, Any]) -> Mapping[str, Any] | list[Any] | None:
    """The databases of a server that is dead: as the standby's tenants, else its databases, else those of the backup; None where they are unknown.

    :param standby: the result of ``database_info``; *asked* the one that asked for the tenants; *foreseen* that of ``database_restore``. Each may have
        failed or been skipped.
    """
    if "databases" in asked:
        return {name: facts["tenants"] for name, facts in sorted(asked["databases"].items())}
    return list(standby.get("databases") or foreseen.get("databases") or []) or None


def failover_refusal(request: Mapping[str, Any], standby: Mapping[str, Any], foreseen: Mapping[str, Any]) -> str:
    """Why no server can take over; empty when one can.

    :param foreseen: what a restore would do; skipped where none is to be done.
    """
    answers = "databases" in standby
    restores = bool(request["restore_on"]) and not request["planned"] and not answers
    if "msg" not in foreseen if restores else request["planned"] or answers:
        return ""
    silent = f"{request['new_primary']} does not answer ({standby.get('msg', 'no answer')}). " if request["new_primary"] and not answers else ""
    cure = foreseen["msg"] if restores else "Repair it, or restore the newest proven backup on another host: -e upgrade_restore_on=db3"
    return f"no server can take over from {request['old_primary']}: {silent}{cure}"


def failover_text(request: Mapping[str, Any], done: Mapping[str, Any]) -> list[str]:
    """How it went, in lines.

    :param done: ``{successor, exchanged, databases, affected, unreached, seconds, restored, fenced, check_mode}``: results of the modules, names, and how
        many seconds it took; ``restored`` and ``fenced`` are empty where nothing was.
    """
    old, new, exchanged, unreached = request["old_primary"], done["successor"], done["exchanged"], done["unreached"]
    held = f"clients were held for {exchanged['steps']['resumed']} ms" if exchanged.get("steps") else (
        "nobody was held" if exchanged.get("changed") else "it did before")
    restored, fenced = done["restored"], done["fenced"]
    lines = [f"{new} {'would take' if done['check_mode'] else 'takes'} writes; {held}", f"databases: {', '.join(done['databases'])}",
             "; ".join(done["affected"])]
    lines.append(f"not reached, and not redirected to {new}: {', '.join(unreached)}. When {old} is a standby, the same command redirects them" if unreached
                 else "all poolers were reached")
    lines.append(f"{round(done['seconds'], 1)} s after this began, {old}'s clients write to {new}" if exchanged.get("changed") and not done["check_mode"]
                 else "nothing was exchanged")
    lines.append(f"restored from {restored['backup']}: what was committed after {_moment(restored['data_of'])} is lost" if restored.get("backup")
                 else "no backup was needed")
    is_shut_out = "state" in fenced or request["planned"]
    lines.append((f"{old} takes none, even if it is started" if is_shut_out else f"{old} must not be started as it was ({fenced.get('msg', 'not fenced')})")
                 + ": make it a standby with alwayson.upgrade.database_rejoin")
    return lines


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
