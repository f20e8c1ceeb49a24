# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A story as its reader needs it: what was promised and broken, how to see it again, and what happened before."""

from __future__ import annotations

from dataclasses import asdict

from .rules import Violation
from .scenario import Scenario
from .world import World


def report(violation: Violation, seed: str, number: int, *, lines: int | None = 40) -> str:
    """Several lines; ``lines``: how many of the latest events are told, None for all."""
    world = violation.world
    return "\n".join([
        f"BROKEN {violation}",
        f"again, in tests/: ../build/venv/bin/python -m simulation --seed {seed} --only {number}",
        *_scenario_lines(world.story),
        *history(world)[-(lines or 0):],
        f"{world.now:10.1f} s  BROKEN {violation}",
    ])


def history(world: World) -> list[str]:
    """What happened, a line each."""
    return [f"{second:10.1f} s  {text}" for second, text in world.history]


def _scenario_lines(story: Scenario) -> list[str]:
    policy = {name: value for name, value in asdict(story).items() if name not in ("pools", "servers", "disturbances", "seed")}
    return [f"policy {policy}", *(f"{pool}" for pool in story.pools.values())]
