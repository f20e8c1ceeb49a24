# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A team's own migration tool in the plan: where it runs, what is said of it, and the way back that it takes away. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils._host.version import compare
from .shapes import Observed, Plan, Service

UPGRADE, ROLLBACK = "upgrade", "rollback"
UNNEEDED, NOT_RUN = "unneeded", "not run"
ROLL_BACK = "rollback"  # of upgrade_on_failure
VARIABLE = "upgrade_migration_command"
KEEPS = "upgrade_migration_keeps_previous"


def tool_hosts(service: Service, observed: Observed) -> list[str]:
    """The host on which the tool runs, as a list: the one that is named, or the first member that answers. None when no tool is set."""
    if not service["has_migration_command"] or service["direction"] not in (UPGRADE, ROLLBACK):
        return []
    if service["migration_host"]:
        return [service["migration_host"]]
    return sorted(name for name, facts in observed["members"].items() if not facts.get("lost"))[:1]


def planned_tool(service: Service, observed: Observed, plan: Plan) -> dict[str, Any] | None:
    """``{host, command, pending, keeps_previous}`` for an upgrade that runs the tool; pending is None where it is not known yet."""
    seen = observed.get("migration_tool")
    if not seen or service["direction"] != UPGRADE or plan["nothing_to_do"]:
        return None
    return {"host": seen["host"], "command": seen.get("command") or [], "pending": seen.get("pending"), "keeps_previous": service["migration_keeps_previous"]}


def tool_outcome(plan: Plan, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What became of the tool: ``{host, command, status, why, started, finished, exit_status, attempts, output}``; None where none was planned."""
    tool = plan.get("migration_tool")
    if not tool:
        return None
    result = hostvars[tool["host"]].get("alwayson_migration_tool") or {}
    has_failed = bool(result.get("failed") or result.get("unreachable"))
    return {
        "host": tool["host"], "command": shown(tool["command"]), "keeps_previous": tool["keeps_previous"],
        "status": "failed" if has_failed else result.get("status") or NOT_RUN, "why": result.get("msg") if has_failed else None,
        "started": result.get("started_at"), "finished": result.get("finished_at"), "exit_status": result.get("exit_status"),
        "attempts": result.get("tries"), "output": list(result.get("output") or []),
    }


def ends_the_way_back(plan: Plan) -> bool:
    """Whether nothing says that the release before works with what the tool is about to leave."""
    tool = plan.get("migration_tool")
    return tool is not None and tool["pending"] is not False and not tool["keeps_previous"]


def tool_refusals(service: Service, observed: Observed, plan: Plan) -> list[str]:
    """What speaks against the plan because of the tool."""
    seen = observed.get("migration_tool")
    if not seen:
        return []
    if seen.get("problem"):
        return [f"the state of the migration tool cannot be read on {seen['host']}: {seen['problem']}"]
    if service["direction"] == ROLLBACK:
        return _no_way_back(service, seen, plan)
    sentences = [f"{VARIABLE} runs on {seen['host']}, and {what} is not there: install it, or correct the variable" for what in _missing(seen)]
    current = posixpath.join(seen["root"], "current") if seen.get("root") else None
    sentences += [f"{VARIABLE} names {word}, which is still the previous release when the tool runs: name {seen['root']}/releases/{{{{ upgrade_release }}}}"
                  for word in [*seen.get("command", ()), seen.get("directory") or ""] if current and (word == current or word.startswith(f"{current}/"))]
    if ends_the_way_back(plan) and service["on_failure"] == ROLL_BACK:
        sentences.append(f"upgrade_on_failure is {ROLL_BACK}, and it is unknown whether {plan['release_from']} works with the "
                         f"databases after {VARIABLE}: set {KEEPS}: true when it does, or upgrade_on_failure: stop")
    return sentences


def _missing(seen: Mapping[str, Any]) -> list[str]:
    """What is absent and does not come with the release."""
    root = seen.get("root")
    return [what for what in seen.get("absent", ()) if not root or (not what.startswith(f"{root}/") and posixpath.isabs(what))]


def _no_way_back(service: Service, seen: Mapping[str, Any], plan: Plan) -> list[str]:
    before, after = plan["release_from"], plan["release_to"]
    if service["migration_keeps_previous"] or not before or not after or before == after:
        return []
    newer = {release: row for release, row in seen["releases"].items() if compare(release, after) > 0}
    if before in newer and all(row["status"] == UNNEEDED for row in newer.values()):
        return []
    ran = [release for release, row in newer.items() if row["status"] != UNNEEDED]
    sentence = (f"{VARIABLE} has migrated the databases for {', '.join(ran)}" if ran else
                f"whether {VARIABLE} has migrated the databases for {before} is not known on {seen['host']}")
    return [(f"{sentence}, and a rollback migrates nothing back: {after} may fail or write wrong data. When {after} works with the migrated databases, "
             f"confirm it with -e {KEEPS}=true; otherwise upgrade to a corrected release, or restore the backup and lose later writes")]


def tool_lines(plan: Plan) -> list[str]:
    """The tool in the plan's list of migrations."""
    tool = plan.get("migration_tool")
    if not tool:
        return []
    what = {None: "whether anything is left is known when the release is staged", True: "something is left to apply", False: "nothing is left to apply"}
    return [f"  {'prepare':<8} {plan['release_to']} {shown(tool['command'])} on {tool['host']}: {what[tool['pending']]}"]


def no_return_line(plan: Plan) -> str:
    """What the tool takes away, for the point of no return."""
    return (f"prepare: {VARIABLE} migrates the databases, and it is unknown whether {plan['release_from']} works with them, although it serves until the last "
            f"member is upgraded ({KEEPS} is false). alwayson.upgrade.rollback refuses after it")


def shown(words: Sequence[str]) -> str:
    """A command line as a person would write it."""
    return " ".join(f"'{word}'" if not word or any(letter.isspace() for letter in word) else word for word in words)
