# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a roll says: to the callbacks as events, to the user as sentences. Pure."""

from __future__ import annotations

from typing import Any

from .scheduler import BACK, RETURNED, Decision, Schedule


def roll_begins(schedule: Schedule, play: str) -> dict[str, Any]:
    """The first event: the pools with their limits, every member, and how many of them the controller serves at the same time (None: any number)."""
    pending = set(schedule.pending)
    pools = {name: {"size": pool.size, "window": pool.window, "floor": pool.floor, "steps": pool.step_sizes()} for name, pool in schedule.pools.items()}
    members = [{"name": member.name, "pool": member.pool, "domain": member.domain, "step": schedule.pools[member.pool].step_of.get(member.name),
                "pending": member.name in pending, "in_traffic": member.in_traffic, "expected_s": member.expected_s} for member in schedule.members]
    return {"play": play, "pools": pools, "members": members, "served_at_once": schedule.policy.max_in_flight}


def state_for(schedule: Schedule, name: str | None) -> dict[str, Any]:
    """What tasks of a host can know of the roll, as their variable ``rolling``."""
    pools = list(schedule.pools.values())
    pool = next((pool for pool in pools if name in pool.members), pools[0])
    return {"direction": schedule.direction, "window": pool.window, "floor": pool.floor, "in_flight": list(schedule.in_flight),
            "failed": schedule.unsuccessful, "pending": schedule.pending_count}


def forks_warning(schedule: Schedule, forks: int) -> str:
    """The warning that forks limit the window; empty when they do not."""
    wanted = min(sum(pool.window for pool in schedule.pools.values()), schedule.pending_count)
    if forks >= wanted:
        return ""
    return (f"forks allows {forks} members in flight, fewer than rolling_max_unavailable ({wanted}): "
            f"run ansible-playbook with --forks {wanted} to use the whole window")


def describe_rollback(schedule: Schedule) -> str:
    """That the upgraded members return."""
    return f"the roll stops: {schedule.stop_reason}. The upgraded members return to the previous release"


def describe_stop(schedule: Schedule, decision: Decision) -> str:
    """That no member starts any more, and which ones are left."""
    left = "Not returned to the previous release" if decision.direction == BACK else "Not started"
    return f"the roll stops: {decision.reason}. {left}: {_names(schedule.pending)}"


def why_it_stopped(schedule: Schedule, last: Decision) -> str:
    """Why not every member is done, after the last decision; empty when every one is."""
    if last.direction == BACK:
        return f"{schedule.stop_reason}; {last.reason if last.stopped else 'the upgraded members returned'}"
    if last.stopped:
        return last.reason
    return schedule.stop_reason or ("the play ended before every member had started" if schedule.pending_count else "")


def describe_rollback_end(schedule: Schedule, reason: str) -> str:
    """The result of the rollback."""
    return f"the roll was rolled back: {reason}. Returned: {_names([name for name, outcome in schedule.outcome.items() if outcome == RETURNED])}"


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"
