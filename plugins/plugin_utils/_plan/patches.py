# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package updates in the plan: who waits for some, what they are, and what to say of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._text.figures import listed, plural
from .shapes import Plan, Service

NONE, SECURITY, ALL = "none", "security", "all"
PATCHES = (NONE, SECURITY, ALL)
IF_NEEDED, NEVER = "if_needed", "never"
REBOOTS = (IF_NEEDED, NEVER)
PATCH = "patch"  # the direction of a run that installs updates and leaves the release as it is


def needs_patching(facts: Mapping[str, Any], service: Service) -> bool:
    """Whether a member has updates to install, an interrupted installation to finish, or a reboot to make up for."""
    return bool(_of(facts, service)["updates"] or _of(facts, service)["unfinished"] or _reboot_is_due(facts, service))


def planned_patches(members: Mapping[str, Any], service: Service, pending: list[str]) -> dict[str, dict[str, Any]]:
    """Host to ``{updates: [{name, installed, candidate, security}], unfinished: [packages], reboot_for: [packages]}`` for the pending hosts that need it."""
    return {
        name: {"updates": [{key: update[key] for key in ("name", "installed", "candidate", "security")} for update in _of(members[name], service)["updates"]],
               "unfinished": _of(members[name], service)["unfinished"],
               "reboot_for": _of(members[name], service)["reboot_for"] if _reboot_is_due(members[name], service) else []}
        for name in pending if needs_patching(members[name], service)
    }


def updates_held(members: Mapping[str, Any], service: Service, nothing_to_do: bool) -> dict[str, Any]:
    """``{owner, hosts}``: where unattended updates are held while the run is at work, and let in again at its end.

    That is every member, or, when there is nothing to do, where a run that never came to its end still holds them.
    """
    owner = f"alwayson.upgrade: {service['service']}"
    left = sorted(name for name, facts in members.items() if _of(facts, service).get("held_by") == owner)
    return {"owner": owner, "hosts": left if nothing_to_do or service["patch"] == NONE else sorted(members)}


def unreadable(members: Mapping[str, Any], service: Service) -> list[str]:
    """A sentence for each member whose updates could not be read although the run is to install them."""
    return [f"the package updates of {name} cannot be read: {_of(facts, service)['problem']}"
            for name, facts in sorted(members.items()) if _of(facts, service).get("problem") and not facts.get("lost")]


def sentences(plan: Plan) -> list[str]:
    """What will be installed where, a line for each package, those of security first."""
    by_update: dict[tuple[Any, ...], list[str]] = {}
    for host, patch in sorted(plan["patches"].items()):
        for update in patch["updates"]:
            by_update.setdefault((not update["security"], update["name"], update["installed"] or "", update["candidate"]), []).append(host)
    lines = [f"{name} {f'{installed} → ' if installed else 'new, '}{candidate}{'' if harmless else ' (security)'}: {_described(hosts, plan)}"
             for (harmless, name, installed, candidate), hosts in sorted(by_update.items())]
    due = [host for host, patch in sorted(plan["patches"].items()) if patch["reboot_for"]]
    broken = [host for host, patch in sorted(plan["patches"].items()) if patch.get("unfinished")]
    lines += [f"an interrupted installation is finished: {_described(broken, plan)}"] if broken else []
    return lines + ([f"a reboot is due already: {_described(due, plan)}"] if due else [])


def _described(hosts: list[str], plan: Plan) -> str:
    return f"all {plural(len(hosts), 'member')}" if len(hosts) == plan["pool_size"] else listed(hosts)


def _of(facts: Mapping[str, Any], service: Service) -> Mapping[str, Any]:
    read = None if service["patch"] == NONE else facts.get("patches")
    return {"updates": [], "unfinished": [], "reboot_for": [], **(read or {})}


def _reboot_is_due(facts: Mapping[str, Any], service: Service) -> bool:
    return service["reboot"] == IF_NEEDED and bool(_of(facts, service)["reboot_for"])
