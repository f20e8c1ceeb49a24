# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The current state of a run, and what follows from it. Pure: `events.fold` changes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._plan.text import PHASE_EFFECTS
from .members import FLIGHT, Capacity, Member, Pool, capacity_of, seconds_left, takes_traffic

NOTES_KEPT = 50


@dataclass
class View:
    """The state of a run; times are epoch seconds. ``holding`` is why no member starts, ``(kind, reason)``."""

    begun: float = 0.0
    now: float = 0.0
    playbook: str = ""
    check: bool = False
    play: str = ""
    play_rolls: bool = False
    task: str = ""
    task_hosts: set[str] = field(default_factory=set)
    running: dict[str, tuple[str, float]] = field(default_factory=dict)
    service: str = ""
    method: str = ""
    direction: str = "upgrade"
    release_from: str = ""
    release_to: str = ""
    directory: str = ""
    side: str = ""  # of blue-green: the pool that is worked on; ``serving`` are those that have the traffic
    serving: tuple[str, ...] = ()
    phases: dict[str, dict[str, float]] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    served_at_once: int | None = None
    planned: bool = False
    reported_by_strategy: bool = False
    rolling: bool = False
    flipped: bool = False
    holding: tuple[str, str] = ("", "")
    held: set[tuple[str, str]] = field(default_factory=set)
    not_started: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    under_floor: set[str] = field(default_factory=set)
    probe: Mapping[str, Any] = field(default_factory=dict)
    lowest_live: dict[str, int] = field(default_factory=dict)
    ended: str = ""
    notes: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=NOTES_KEPT))

    @property
    def phase(self) -> str:
        """The phase under way, empty between phases."""
        return next((name for name, times in reversed(self.phases.items()) if "finished" not in times), "")

    @property
    def phase_names(self) -> list[str]:
        """The published phases, and any other that the run has named."""
        known = [name for name, _effect in PHASE_EFFECTS]
        return known + [name for name in self.phases if name not in known]

    @property
    def in_roll(self) -> bool:
        """Whether members are, or may be, on their way."""
        return self.rolling or self.play_rolls or self.phase == "roll"

    @property
    def shows_members(self) -> bool:
        """Whether the members are what matters now; before the roll a list of them would only repeat the plan."""
        return bool(self.members) and (self.in_roll or any(member.started is not None for member in self.members.values()))

    def stands_by(self, member: Member) -> bool:
        """Whether the member, once upgraded, waits for the flip to the first half, or for the cutover to its side."""
        waits = (self.method == "half_pool" and member.step == 0) or (bool(self.side) and member.colour == self.side)
        return waits and not self.flipped

    def has_traffic(self, member: Member) -> bool:
        """Whether users reach the member: its pool has the traffic, and it takes its share."""
        return takes_traffic(member, self.pools.get(member.pool)) and (not self.side or member.colour in self.serving)

    def capacity(self, pool: Pool) -> Capacity:
        """The pool's live members against its floor."""
        return capacity_of(pool, self.members.values())

    def seconds_left(self) -> float | None:
        """The expected seconds until the last member is done; None when it cannot be estimated."""
        if self.holding[0] in ("paused", "stopped") or not self.in_roll or any(member.state == FLIGHT and member.back for member in self.members.values()):
            return None
        return seconds_left(self.members.values(), {pool.name: pool.window for pool in self.pools.values()}, self.now, self.served_at_once)


def note(view: View, at: float, level: str, sentence: str) -> None:
    """Keep a sentence for the screen."""
    if not view.notes or view.notes[-1][2] != sentence:
        view.notes.append((at, level, sentence))
