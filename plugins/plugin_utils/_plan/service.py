# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a service: every ``upgrade_*`` variable of the playbooks, its default, and what is wrong with it. Pure."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...module_utils._host.credentials import shown_path, shown_url
from ...module_utils._host.version import is_valid

from .._schedule import error_budget
from .._schedule.limits import POLICIES
from .._schedule.steps import IN_PLACE
from .._smoke import running_release
from . import blue_green, failover
from .host_names import name_problems
from .installation import INSTALL
from .patches import ALL, IF_NEEDED, NONE, PATCH, PATCHES, REBOOTS
from .probing import probe_problems
from .shapes import Service

METHODS = ("half_pool", "rolling", "canary", blue_green.METHOD, IN_PLACE)
PHASES = ("observe", "plan", "guard", "prepare", "roll", "open", "finalize", "account")

# name without the prefix: default. None: not given. Documented in docs/variables.md, which a test compares with this table.
DEFAULTS: dict[str, object] = {
    "service": "service",
    "release": None,
    "method": None,
    "members": "app",
    "load_balancers": "load_balancers",
    "databases": None,
    "backend": None,
    "colours": None,
    "route": None,
    "max_unavailable": "25%",
    "min_live": None,
    "max_per_domain": None,
    "domains_at_once": None,
    "max_failures": 0,
    "on_failure": "stop",
    "patch": None,
    "patch_exclude": [],
    "reboot": IF_NEEDED,
    "reboot_timeout": 600,
    "member_timeout": None,
    "progress_deadline": None,
    "plan": None,
    "take_over": None,
    "reason": None,
    "state_directory": "/var/lib/alwayson",
    "lock_host": None,
    "traffic_via": None,
    "drain_timeout": 60,
    "soak": 30,
    "gate": {},
    "canary_weight": None,
    "migrations": None,
    "migration_host": None,
    "migration_timeout": 3600,
    "migration_keeps_previous": False,
    "contract": False,
    "database_names": [],
    "database_standbys": 0,
    "database_lag_bytes": 10_000_000,
    "database_servers": None,
    "database_switch_back": False,
    "database_patch_tasks": {},
    "poolers": None,
    "backup_directory": "/var/backups/alwayson",
    "report_directory": "alwayson-report",
    **running_release.DEFAULTS,
    "probe": {},
    **error_budget.DEFAULTS,
}
# Read where they are used, because their values may speak of the release that the plan finds, or of a single host.
READ_LATER = ("migration_command", "migration_status_command", "migration_directory", "migration_environment",
              "artifact", "artifact_sha256", "artifact_signature", "artifact_keys", "smoke_tests", "smoke_timeout", "version_command", "gate_tasks",
              "probe_seconds")
# Before and after each phase, and before the cutover, when the testers reach the new pool and users do not.
HOOKS = (*(f"{moment}_{phase}" for phase in PHASES for moment in ("before", "after")), "before_cutover")
# Hooks' names of version 0.2, which work until 1.0.0; playbooks/tasks/hooks.yml reads them.
RENAMED_HOOKS = {f"{moment}_settle": f"{moment}_finalize" for moment in ("before", "after")}
# What a team may set of the verdict between the steps of a canary; see the module canary_verdict.
GATE_KEYS = ("max_error_percent", "max_latency_factor", "latency_slack_ms", "min_requests")
# A team's own task files for patching a database server: one reports the pending updates, the other installs them.
PATCH_TASKS = ("waiting", "apply")
# Groups that a service need not have.
OPTIONAL_PARTS = ("databases", "database_servers", "poolers")
# Whose hosts are the hosts of plays.
RUN_ON = ("members", "databases", "database_servers")
PREFIX = "upgrade_"
# Where a release is brought by its archive.
FORWARD = ("upgrade", INSTALL)
# A playbook's own: which way it goes.
INTERNAL = ("direction",)
# What playbooks/tasks/switch_database.yml takes and leaves, also where a user's own play includes it.
SWITCH = ("switch", "switched")


def known_variables() -> list[str]:
    """Every variable that a user may set, with its prefix."""
    return [PREFIX + name for name in (*DEFAULTS, *READ_LATER, *HOOKS, *failover.DEFAULTS)]


def renamed(variables: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """What is given under a name of version 0.2, to its new name: of *names*, and of the keys of ``upgrade_route`` in *variables*."""
    hooks = {PREFIX + old: PREFIX + new for old, new in RENAMED_HOOKS.items() if PREFIX + old in names}
    return {**hooks, **{f"upgrade_route.{old}": f"upgrade_route.{new}" for old, new in blue_green.renamed_keys(variables.get("upgrade_route")).items()}}


def described_names(names: Sequence[str]) -> list[str]:
    """Of the variables that exist, those which the description is made of."""
    wanted = {PREFIX + name for name in (*DEFAULTS, *INTERNAL)}
    return [name for name in names if name in wanted]


def describe(variables: Mapping[str, Any], names: Sequence[str], groups: Mapping[str, Sequence[str]], working_directory: str = "",
             planned_release: str | None = None) -> Service:
    """Fill in the defaults, and find all errors before a host is contacted.

    :param variables: the ``upgrade_*`` variables that are set, for the names in ``DEFAULTS``.
    :param names: the names of all ``upgrade_*`` variables that exist, to find misspelt ones.
    :param groups: the inventory's groups, name to host names.
    :param working_directory: where the user stands; relative paths on the controller begin there.
    :param planned_release: the release of the plan file that is to be followed, for a description that names none.
    :returns: the description; ``problems`` lists sentences, ``hosts`` the hosts by part of the service.
    """
    service = {name: variables.get(PREFIX + name, default) for name, default in DEFAULTS.items()}
    service["blue_green"] = service.pop("colours")
    service["route"] = blue_green.with_new_names(service["route"])
    service["direction"] = variables.get("upgrade_direction", "upgrade")
    service["release"] = planned_release if service["release"] is None else service["release"]
    patches_only = service["direction"] == PATCH
    service["method"] = service["method"] or ("rolling" if patches_only else blue_green.METHOD if service["blue_green"] else "half_pool")
    service["patch"] = service["patch"] or (ALL if patches_only else NONE)
    if service["direction"] not in ("upgrade", PATCH):
        service["patch"] = NONE
    service["backend"] = service["backend"] or service["members"]
    for path in ("migrations", "report_directory", "plan"):
        service[path] = service[path] and posixpath.join(working_directory, service[path])
    service["has_artifact"] = "upgrade_artifact" in names
    service["has_migration_command"] = "upgrade_migration_command" in names
    service["migration_keeps_previous"] = str(service["migration_keeps_previous"]).lower() in ("true", "yes", "on", "1")
    wrong_probe = probe_problems(service["probe"])
    service["probe"] = service["probe"] if service["probe"] and not wrong_probe else {}
    problems = [*_misspelt(names), *wrong_probe, *_release_problems(service), *_choice_problems(service, names), *_migration_problems(service, names, groups),
                *running_release.complete(service, names)]
    service["hosts"] = {}
    if service["method"] == blue_green.METHOD:
        service["blue_green"], wrong = blue_green.described(service, groups)
        service["hosts"]["members"] = sorted({name for names in service["blue_green"].values() for name in names})
        problems += wrong
    for part in ("members", "load_balancers", *OPTIONAL_PARTS):
        if part not in service["hosts"]:
            hosts, problem = _hosts_of(part, service[part], groups)
            service["hosts"][part] = hosts
            problems += [problem] if problem else []
    for part in RUN_ON:
        wrong_names = name_problems(service["hosts"][part], f"upgrade_{part}")
        problems += wrong_names
        if wrong_names:
            service["hosts"][part] = []  # no play runs on what such a name stands for
    if service["method"] == IN_PLACE:
        service["min_live"] = 0
        problems += _not_alone(service["hosts"]["members"])
    service["probe"], service["route"] = _without_secrets(service)
    service["lock_host"] = service["lock_host"] or _default_lock_host(service)
    service["problems"] = problems
    # From here on the values are of these types, unless there are problems.
    return cast("Service", service)


def _without_secrets(service: Mapping[str, Any]) -> tuple[dict[str, Any], object]:
    """The probe and the route without what may be a secret: the description is a fact, and -v prints facts. Tasks read that again from the variables."""
    probe, route = service["probe"], service["route"]
    if isinstance(probe, Mapping):
        mix = probe.get("mix")
        mix = {"mix": [{key: shown_path(value) if key == "path" else value for key, value in entry.items() if key != "body"} for entry in mix]} if isinstance(
            mix, (list, tuple)) else {}
        targets = {"targets": [shown_url(url) for url in probe["targets"]]} if isinstance(probe.get("targets"), (list, tuple)) else {}
        probe = {**{key: value for key, value in probe.items() if key != "headers"}, **mix, **targets}
    if isinstance(route, Mapping):
        route = {key: value for key, value in route.items() if key != "testers_headers"}
    return probe, route


def _not_alone(members: Sequence[str]) -> list[str]:
    if len(members) < 2:
        return []
    return [(f"upgrade_method is {IN_PLACE}, which is for a service with one member, and there are {len(members)} members: choose one of "
             f"{', '.join(method for method in METHODS if method != IN_PLACE)}")]


def _default_lock_host(service: Mapping[str, Any]) -> str | None:
    """A host that every operator of this service reaches: the one that drives the load balancers; when that is the controller, the first member."""
    if service["traffic_via"] not in (None, "localhost"):
        return service["traffic_via"]
    part = "members" if service["traffic_via"] else "load_balancers"
    return min(service["hosts"][part], default=None)


def _misspelt(names: Sequence[str]) -> list[str]:
    known = known_variables()
    internal = {PREFIX + name for name in (*INTERNAL, *SWITCH, *RENAMED_HOOKS)}
    sentences = []
    for name in sorted(set(names) - set(known) - internal):
        close = difflib.get_close_matches(name, known, n=1)
        sentences.append(f"{name} is not a variable of this collection" + (f": did you mean {close[0]}?" if close else ": see docs/variables.md"))
    return sentences


def _release_problems(service: Mapping[str, Any]) -> list[str]:
    release = service["release"]
    if release is None:
        return [] if service["direction"] not in FORWARD else ["upgrade_release is not set: give the target release, for example -e upgrade_release=2.0.0"]
    if not isinstance(release, str):
        return [f"upgrade_release is {release!r}, which YAML read as {type(release).__name__}: quote it, for example -e upgrade_release='\"2.0\"'"]
    if not is_valid(release):
        return [f"upgrade_release is {release!r}, which is not a version: give one like 2.0.0 (never 'latest': each release needs a version of its own)"]
    return []


def _choice_problems(service: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    problems = error_budget.limit_problems(service)
    if service["method"] not in METHODS:
        problems.append(f"upgrade_method is {service['method']!r}: choose one of {', '.join(METHODS)}")
    elif service["method"] == blue_green.METHOD and service["direction"] == PATCH:
        problems.append("upgrade_method is blue_green, and patch.yml patches the members that have the traffic: choose rolling, or set upgrade_patch and "
                        "run upgrade.yml, which patches the other side")
    if service["on_failure"] not in POLICIES:
        problems.append(f"upgrade_on_failure is {service['on_failure']!r}: choose one of {', '.join(POLICIES)}")
    if service["patch"] not in PATCHES:
        problems.append(f"upgrade_patch is {service['patch']!r}: choose one of {', '.join(PATCHES)}")
    elif service["patch"] == NONE and service["direction"] == PATCH and not service["database_servers"]:
        problems.append(f"upgrade_patch is {NONE}, and patch.yml does nothing else: leave it out, or choose one of {', '.join(PATCHES[1:])}")
    if service["database_servers"] and not service["poolers"]:
        problems.append("upgrade_database_servers needs upgrade_poolers, the group of the poolers that pause the clients during a switchover")
    own = service["database_patch_tasks"]
    if not isinstance(own, Mapping) or (own and set(own) != set(PATCH_TASKS)):
        problems.append(f"upgrade_database_patch_tasks is {own!r}: give two task files, {' and '.join(PATCH_TASKS)}")
    if not isinstance(service["patch_exclude"], (list, tuple)):
        problems.append(f"upgrade_patch_exclude is {service['patch_exclude']!r}: give a list of shell patterns")
    if not isinstance(service["gate"], Mapping) or set(service["gate"]) - set(GATE_KEYS):
        problems.append(f"upgrade_gate is {service['gate']!r}: it has {', '.join(GATE_KEYS)}")
    weight = service["canary_weight"]
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= 100):
        problems.append(f"upgrade_canary_weight is {weight!r}: give a percentage from 1 to 100, as a number")
    problems += [f"upgrade_{name} is {service[name]!r}: give a whole number" for name in ("database_standbys", "database_lag_bytes")
                 if not str(service[name]).isdecimal()]
    if service["reboot"] not in REBOOTS:
        problems.append(f"upgrade_reboot is {service['reboot']!r}: choose one of {', '.join(REBOOTS)}")
    if service["take_over"] and not service["reason"]:
        problems.append("upgrade_take_over needs upgrade_reason: give the reason for the takeover, for the lock's history")
    if service["direction"] in FORWARD and not service["has_artifact"]:
        problems.append("upgrade_artifact is not set: give the path or the URL of the release's archive")
    if service["has_artifact"] and "upgrade_artifact_sha256" not in names:
        problems.append("upgrade_artifact_sha256 is not set: an archive without a checksum is not installed; compute it with sha256sum")
    signature = {"upgrade_artifact_signature", "upgrade_artifact_keys"}
    if len(signature & set(names)) == 1:
        problems.append(f"{min(signature - set(names))} is not set: a signature is verified with these keys, so give both or neither")
    return problems


def _migration_problems(service: Mapping[str, Any], names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """What is wrong with the description of a team's own migration tool."""
    host, seconds = service["migration_host"], service["migration_timeout"]
    problems = []
    if host is not None and host not in [name for hosts in groups.values() for name in hosts]:
        problems.append(f"upgrade_migration_host is {host!r}, which is no host of the inventory: name one, or leave it out for the first member")
    if not str(seconds).isdecimal() or not int(seconds):
        problems.append(f"upgrade_migration_timeout is {seconds!r}: give a whole number of seconds")
    lonely = [name for name in ("status_command", "directory", "environment") if f"upgrade_migration_{name}" in names and not service["has_migration_command"]]
    return problems + [f"upgrade_migration_{name} needs upgrade_migration_command, the command line of the migration tool" for name in lonely]


def _hosts_of(part: str, group: object, groups: Mapping[str, Sequence[str]]) -> tuple[list[str], str]:
    """The hosts of a group, and what is wrong with it."""
    if part in OPTIONAL_PARTS and not group:
        return [], ""
    if not isinstance(group, str) or group not in groups:
        close = difflib.get_close_matches(str(group), list(groups), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see ansible-inventory --graph"
        return [], f"upgrade_{part} is {group!r}, and the inventory has no such group: {hint}"
    if not groups[group]:
        return [], f"group {group!r} (upgrade_{part}) has no host: add hosts to the inventory or name another group"
    return list(groups[group]), ""
