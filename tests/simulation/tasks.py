# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a play does to one member, task by task. A task that has begun goes on when its controller dies; the next one never comes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .fleet import Fleet, Host

FOREVER = math.inf
UNREACHABLE_AFTER = 10.0
RESCUE_SECONDS = 5.0


@dataclass(eq=False)
class Attempt:
    """One member on its way through the play of the controller with this token."""

    host: Host
    token: int
    target: str
    fault: str = ""
    outcome: str = ""
    orphaned: bool = False
    has_begun: bool = False
    tasks: Iterator[float] | None = None
    due: float = FOREVER


def upgrade(attempt: Attempt, fleet: Fleet) -> Iterator[float]:
    """The member's tasks; yields the seconds until the task at hand is over. Ends with the outcome set, or early for an orphan."""
    host, seconds = attempt.host, attempt.host.spec.seconds
    yield 0.05 * seconds  # facts are read: nothing has changed yet
    if attempt.orphaned:
        return
    if attempt.fault == "lost" or not host.reachable:
        fleet.change(host, reachable=False)
        yield UNREACHABLE_AFTER
        attempt.outcome = "lost"
        return
    fleet.change(host, in_rotation=False)  # the drain's first command is seen at once
    yield 0.3 * seconds
    if attempt.orphaned:
        return
    if attempt.fault == "hangs":
        yield FOREVER
    yield 0.35 * seconds
    if attempt.fault == "fails":
        yield from _rescue(attempt, fleet)
        return
    fleet.change(host, release=attempt.target, healthy=host.healthy or host.spec.heals_by_restart)
    if attempt.orphaned:
        return
    yield 0.2 * seconds
    if not host.healthy:
        attempt.outcome = "failed"  # left out of traffic
        return
    fleet.change(host, in_rotation=True)
    if attempt.orphaned:
        return
    yield 0.1 * seconds
    attempt.outcome = "ok"


def _rescue(attempt: Attempt, fleet: Fleet) -> Iterator[float]:
    """The release before comes back; the member returns to traffic when it can."""
    if attempt.orphaned:
        return
    yield RESCUE_SECONDS
    if attempt.host.healthy and attempt.host.spec.repairs_itself:
        fleet.change(attempt.host, in_rotation=True)
    attempt.outcome = "failed"
