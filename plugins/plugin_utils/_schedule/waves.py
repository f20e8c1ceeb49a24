# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roll predicted, with every batch finishing at once: for the plan, and for builtin ``serial``. Pure."""

from __future__ import annotations

from typing import TypedDict

from .scheduler import Schedule


class Wave(TypedDict):
    """Members that go at once, and how many stay live meanwhile; without members the reason why none may go."""

    step: int | None
    members: list[str]
    live: int
    reason: str


def waves(schedule: Schedule) -> list[Wave]:
    """Predict the roll: ``[{step, members, live, reason}]``, live being what remains meanwhile in the pools that lose members.

    Consumes *schedule*. Stops early, with a wave without members and the reason, when the scheduler would never go on.
    """
    predicted: list[Wave] = []
    while not schedule.done:
        decision = schedule.decide()
        busy = {schedule.pool_of(name) for name in decision.start}
        remaining = sum(len(pool.assumed_live().difference(decision.start)) for pool in busy or schedule.pools.values())
        predicted.append({"step": min((schedule.step_of(name) for name in decision.start), default=None), "members": list(decision.start),
                          "live": remaining, "reason": decision.reason})
        if not decision.start:
            break
        for name in decision.start:
            schedule.started(name)
        for name in decision.start:
            schedule.finished(name, "ok")
    return predicted
