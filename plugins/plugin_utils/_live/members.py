# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member and one pool as a roll is watched: what was intended, what is, and the figures that follow from it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# Where a member stands.
TODO, FLIGHT, STANDBY, DONE, STAYS = "to do", "in flight", "standing by", "done", "stays"
RETURNED, FAILED, LOST = "returned", "failed", "lost"
PROBLEMS = (FAILED, LOST, RETURNED)
UNFINISHED = (TODO, FLIGHT)
SERVING = (TODO, STAYS, DONE, RETURNED)

STARTING, RETURNING = "starting", "returning"
_STAGES = {
    ("traffic_member", "drained"): "draining", ("traffic_member", "draining"): "draining", ("traffic_member", "checked"): "health check",
    ("traffic_member", "ready"): RETURNING, ("release", "current"): "release", ("release", "staged"): "staging",
}
_STAGES_OF_ANY_STATE = {"smoke_test": "smoke test", "reboot": "reboot", "canary_verdict": "verdict"}
_PATCHING = ("package", "apt", "dnf", "yum", "dnf5", "zypper", "pacman", "apk")
# Tasks that only think; a member's stage is what is done to it.
_THOUGHTS = re.compile(r"(set_fact|debug|assert|fail|meta|include\w*|import\w*|add_host|group_by|set_stats|validate_argument_spec|release_info|traffic_info)$")


@dataclass
class Member:
    """One host of a roll. ``step`` and ``wave`` count from 0 and 1; ``stages`` are ``(label, seconds)`` of those that have ended."""

    name: str
    pool: str = ""
    domain: str | None = None
    step: int | None = None
    wave: int | None = None
    pending: bool = True
    in_traffic: bool = True
    expected_s: float = 0.0
    release: str | None = None
    colour: str = ""  # of blue-green: the pool on the load balancers
    state: str = TODO
    stage: str = ""
    stage_since: float = 0.0
    started: float | None = None
    seconds: float | None = None
    back: bool = False
    why: str = ""
    stage_before: tuple[str, float] = ("", 0.0)
    stages: list[tuple[str, float]] = field(default_factory=list)

    def starts(self, at: float, *, back: bool = False) -> None:
        """It leaves for its way, forward or back."""
        self.state, self.back, self.started, self.seconds, self.why, self.stages = FLIGHT, back, at, None, "", []
        self.stage, self.stage_since = STARTING, at

    def enters(self, stage: str, at: float) -> bool:
        """It is at the next stage now; False when it was there already."""
        if stage == self.stage:
            return False
        self._leaves_stage(at)
        self.stage_before = (self.stage, self.stage_since)
        self.stage, self.stage_since = stage, at
        return True

    def skips(self, stage: str) -> None:
        """What this stage would have done was skipped: it is still where it was before."""
        if stage and stage == self.stage:
            if self.stages and self.stages[-1][0] == self.stage_before[0]:
                self.stages.pop()
            self.stage, self.stage_since = self.stage_before

    def ends(self, state: str, at: float, seconds: float | None = None) -> None:
        """It has ended: *seconds* as given, else since its start."""
        self._leaves_stage(at)
        self.state, self.stage, self.in_traffic = state, "", state in (DONE, RETURNED)
        self.seconds = seconds if seconds is not None else at - self.started if self.started is not None else None

    def _leaves_stage(self, at: float) -> None:
        if self.stage not in ("", STARTING):
            self.stages.append((self.stage, at - self.stage_since))

    def elapsed(self, now: float) -> float | None:
        """Seconds since its start while it is in flight, else the seconds that it took."""
        return max(0.0, now - self.started) if self.state == FLIGHT and self.started is not None else self.seconds


@dataclass
class Pool:
    """The members of one backend; ``live`` are the names seen in traffic on every load balancer, None until they were read."""

    name: str
    size: int
    window: int
    floor: int
    steps: int = 1
    title: str = ""
    live: frozenset[str] | None = None


@dataclass(frozen=True)
class Capacity:
    """Live members of a pool against its floor. ``seen``: whether the load balancers reported it, or it was calculated from the members in flight."""

    live: int
    size: int
    floor: int
    in_flight: int
    standing_by: int
    seen: bool

    @property
    def under(self) -> bool:
        """Whether the pool has fewer live members than it must keep."""
        return self.live < self.floor


def stage_of(action: str, state: str | None, task: str) -> tuple[str, bool]:
    """What a task means for the member that it runs on, and whether that is one of the known stages; empty when it does nothing to the member.

    :param action: the module's name, short or in full.
    """
    short = action.rpartition(".")[2]
    if _THOUGHTS.match(short):
        return "", False
    known = "patching" if short in _PATCHING else ""
    if action == short or action.startswith(("alwayson.upgrade.", "ansible.")):
        known = known or _STAGES.get((short, state or "")) or _STAGES_OF_ANY_STATE.get(short) or ""
    return known or task, bool(known)


def capacity_of(pool: Pool, members: Iterable[Member]) -> Capacity:
    """Count the pool's live members, as seen on the load balancers or else reckoned."""
    ours = [member for member in members if member.pool == pool.name]
    live = len(pool.live) if pool.live is not None else sum(member.in_traffic for member in ours if member.state in SERVING)
    return Capacity(live=live, size=pool.size, floor=pool.floor, seen=pool.live is not None,
                    in_flight=sum(member.state == FLIGHT for member in ours), standing_by=sum(member.state == STANDBY for member in ours))


def takes_traffic(member: Member, pool: Pool | None) -> bool:
    """Whether the load balancers send it users, as seen or else as reckoned."""
    if pool is not None and pool.live is not None:
        return member.name in pool.live
    return member.in_traffic and member.state in SERVING


def seconds_left(members: Iterable[Member], windows: dict[str, int], now: float, served_at_once: int | None = None) -> float | None:
    """The expected seconds until all members are done; None when it cannot be estimated.

    Each takes what it took last time, or else the mean of those that are done by now; a pool works on ``windows[pool]`` at the same time,
    and the controller on ``served_at_once`` of all pools together.
    """
    members = list(members)
    took = [member.seconds for member in members if member.seconds is not None and member.state in (DONE, STANDBY)]
    mean = sum(took) / len(took) if took else None
    by_pool: dict[str, list[float]] = {}
    for member in members:
        if member.state not in UNFINISHED or not member.pending:
            continue
        takes = member.expected_s or mean
        if takes is None:
            return None
        gone = member.elapsed(now) if member.state == FLIGHT else None
        by_pool.setdefault(member.pool, []).append(max(0.0, takes - (gone or 0.0)))
    of_the_controller = sum(map(sum, by_pool.values())) / served_at_once if served_at_once else 0.0
    of_the_pools = (_seconds_of_pool(rest, windows.get(pool) or 1) for pool, rest in by_pool.items())
    return max(of_the_controller, *of_the_pools, 0.0)


def _seconds_of_pool(rest: list[float], window: int) -> float:
    """The window works on all of them, and on none faster than alone."""
    return max(*rest, sum(rest) / window)
