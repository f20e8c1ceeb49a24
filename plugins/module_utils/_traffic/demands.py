# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load balancer's configuration has to look like for the proof of a drain to hold. Pure.

Each kind of load balancer has a list of demands, which are looked at before a member is drained. What does not meet one is refused with the cure, or noted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, NamedTuple


class Demand(NamedTuple):
    """One of them.

    `find` is called with the facts of a pool's configuration and returns what is otherwise, with the cure, or an empty string. One that is not `is_needed`
    for the proof is only noted.
    """

    find: Callable[[Any], str]
    is_needed: bool = True


class Findings(NamedTuple):
    """What a configuration does not meet, a sentence each without the load balancer's name: what a drain is refused for, and what is noted."""

    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def looked_at(demands: Iterable[Demand], facts: Any) -> Findings:
    """What these facts do not meet."""
    found = [(demand.is_needed, demand.find(facts)) for demand in demands]
    return Findings(tuple(sentence for is_needed, sentence in found if sentence and is_needed),
                    tuple(sentence for is_needed, sentence in found if sentence and not is_needed))
