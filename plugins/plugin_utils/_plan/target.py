# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release that a run goes to, for each direction. Pure.

A named release always counts. Without one, a rollback reverses the intent of the last run, which is in the service's lock and its history, if the fleet
fits that intent. Otherwise the members decide, by what each runs and what it ran before. A rollback never goes to a release that is newer than a running
one, so the same rollback again changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils._host.version import compare, is_valid
from ...module_utils._locking.lock import UNDER_WAY

from .patches import PATCH
from .shapes import Observed, Plan, Service

UPGRADE, ROLLBACK = "upgrade", "rollback"
PLAYBOOK = "ansible-playbook alwayson.upgrade."


def intent_of(plan: Plan) -> dict[str, Any]:
    """The intent that is kept in the lock before anything changes. Empty for a run with nothing to do, except a rollback, whose release then stays.

    Halves and steps are read from the fleet again: members that run the release are the first half. The release before is not, once all members have moved.
    """
    if plan["release_to"] is None or (plan["nothing_to_do"] and plan["direction"] != ROLLBACK):
        return {}
    before, release_from = plan["intent_before"], plan["release_from"]
    if release_from == plan["release_to"] and [before.get("direction"), before.get("release_to")] == [plan["direction"], plan["release_to"]]:
        release_from = before["release_from"]
    return {"direction": plan["direction"], "method": plan["method"], "release_from": release_from or "", "release_to": plan["release_to"]}


def intent_before(observed: Observed) -> Mapping[str, Any]:
    """What the last run was to do; empty when nothing is known."""
    return observed.get("intent") or (observed.get("interrupted") or {}).get("intent") or {}


def choose_target(service: Service, members: Mapping[str, Any], intent: Mapping[str, Any]) -> tuple[str | None, str]:
    """The release to go to, and what is wrong with it.

    :param intent: see ``intent_before``.
    """
    if service["direction"] == PATCH:
        return _release_that_stays(members, intent)
    if service["release"] is not None or service["direction"] != ROLLBACK:
        return service["release"], ""
    reached = [facts for facts in members.values() if not facts.get("lost")]
    goal = goal_of(intent, [facts.get("release") for facts in reached])
    release = goal or _release_before(reached)
    if release:
        return release, ""
    running, before = _described(reached, "release"), _described(reached, "previous")
    return None, (f"the release to return to is not clear from the members (they run {running}, and ran {before} before that): "
                  "name it with -e upgrade_release=...")


def goal_of(intent: Mapping[str, Any], running: Sequence[str | None]) -> str | None:
    """The release that a rollback goes to after a run with this intent; None when what runs does not fit it.

    :param running: what the members run.
    """
    if intent.get("direction") not in (UPGRADE, ROLLBACK):
        return None
    ends = [intent["release_from"], intent["release_to"]]
    goal = ends[0] if intent["direction"] == UPGRADE else ends[1]
    known = [release for release in running if release]
    if intent["direction"] == UPGRADE and ends[0] == ends[1]:
        return None
    fits = any(release in ends for release in known) and not any(is_newer(release, newest_of(ends)) for release in known)
    return goal if goal and fits and not any(is_newer(goal, release) for release in known) else None


def is_newer(release: object, other: object) -> bool:
    """Whether a release comes after another; what is no version comes after nothing."""
    return is_valid(release) and is_valid(other) and compare(release, other) > 0


def newest_of(releases: Sequence[str]) -> str:
    """The newest of some versions; what is none does not count while there is one."""
    valid = [release for release in releases if is_valid(release)]
    return max(valid, key=functools.cmp_to_key(compare)) if valid else releases[0]


def _release_before(members: Sequence[Mapping[str, Any]]) -> str | None:
    """The one release that every member runs, or ran before what it runs now, and that is newer than none of those that run.

    A release that all of them run already counts where a member has returned to it: otherwise no earlier release is known.
    Members without any release have no say.
    """
    pairs = [(facts.get("release"), facts.get("previous")) for facts in members if facts.get("release") or facts.get("previous")]
    common = set.intersection(*map(set, pairs)) if pairs else set()
    back = [release for release in common if is_valid(release)
            and not any(is_newer(release, now) for now, _before in pairs)
            and any(now != release or is_newer(before, release) for now, before in pairs)]
    return back[0] if len(back) == 1 else None


def _release_that_stays(members: Mapping[str, Any], intent: Mapping[str, Any]) -> tuple[str | None, str]:
    """The one release that every host runs, and goes on to run; a run that was interrupted on its way to another one is finished first."""
    if intent.get("state") == UNDER_WAY and intent["direction"] != PATCH:
        return None, (f"the {intent['direction']} from {intent['release_from']} to {intent['release_to']} was interrupted: {_ways_on(intent)}, then patch")
    running = sorted({facts["release"] for facts in members.values() if not facts.get("lost") and facts.get("release")})
    if not running:
        return None, f"no member has a release: install one first, with {PLAYBOOK}install"
    if len(running) == 1:
        return running[0], ""
    ways = _ways_on(intent) if intent.get("direction") in (UPGRADE, ROLLBACK) else f"finish that first, with {PLAYBOOK}upgrade -e upgrade_release=..."
    return None, f"the hosts run different releases ({', '.join(running)}): {ways}"


def _ways_on(intent: Mapping[str, Any]) -> str:
    finish = f"finish it with {PLAYBOOK}{intent['direction']} -e upgrade_release={intent['release_to']}"
    return finish + (f", or roll back with {PLAYBOOK}rollback -e upgrade_release={intent['release_from']}"
                     if intent["direction"] == UPGRADE and intent["release_from"] else "")


def _described(members: Sequence[Mapping[str, Any]], name: str) -> str:
    return ", ".join(sorted({str(facts.get(name) or "none") for facts in members})) or "none"
