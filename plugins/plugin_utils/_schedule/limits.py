# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a roll may never do: the limits of one pool and the policy of the whole run. Pure data, with Kubernetes' rounding."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

# What the strategy's variables begin with.
PREFIX = "rolling_"
POLICIES = ("stop", "skip", "rollback")
_COUNT = re.compile(r"^(\d+)(%?)$")


class ScheduleError(ValueError):
    """A limit or a step that cannot be honoured; the message names the variable and what it may be."""


def resolve_count(value: int | str, total: int, *, name: str, round_up: bool = False) -> int:
    """Turn a number or a percentage of *total* into a number of members.

    Rounding follows Kubernetes: what is taken away rounds down, what is demanded (``round_up``) rounds up.

    :raises ScheduleError: when *value* is neither a number nor a percentage from 0 to 100.
    """
    match = _COUNT.match(str(value).strip()) if not isinstance(value, bool) else None
    if match is None:
        raise ScheduleError(f"{name} is {value!r}: give a number of members or a percentage such as '25%'")
    number = int(match[1])
    if not match[2]:
        return number
    if number > 100:
        raise ScheduleError(f"{name} is {value!r}: a percentage goes from 0% to 100%")
    exact = total * number / 100
    return math.ceil(exact) if round_up else math.floor(exact)


@dataclass(frozen=True)
class Limits:
    """One pool's limits. Numbers, or percentages of the pool (``max_per_domain``: of the pool's members in that domain).

    ``prefix``: what the names of the user's variables begin with, for messages.
    """

    max_unavailable: int | str = 1
    min_live: int | str | None = None
    max_per_domain: int | str | None = None
    steps: tuple[int | str, ...] = ("100%",)
    prefix: str = PREFIX

    def window(self, pool_size: int) -> int:
        """How many members may be in flight: rounded down, at least one."""
        return max(1, resolve_count(self.max_unavailable, pool_size, name=f"{self.prefix}max_unavailable"))

    def floor(self, pool_size: int) -> int:
        """How many members stay live: rounded up; by default all but the window."""
        if self.min_live is None:
            return max(0, pool_size - self.window(pool_size))
        floor = resolve_count(self.min_live, pool_size, name=f"{self.prefix}min_live", round_up=True)
        if floor > pool_size:
            raise ScheduleError(f"{self.prefix}min_live is {self.min_live!r}: the pool has only {pool_size} members")
        return floor

    def window_of_domain(self, domain_size: int) -> int | None:
        """How many of one domain's members may be in flight: rounded down, at least one; None without a limit."""
        if self.max_per_domain is None:
            return None
        return max(1, resolve_count(self.max_per_domain, domain_size, name=f"{self.prefix}max_per_domain"))


@dataclass(frozen=True)
class RunPolicy:
    """What holds for the whole run, all pools together.

    ``domains_at_once``: failure domains with a member in flight (number, or percentage of the domains); ``max_in_flight``: members in flight that
    the controller can serve; ``member_timeout`` and ``progress_deadline``: seconds, None for no end. ``prefix``: see `Limits`.
    """

    max_failures: int | str = 0
    on_failure: str = "stop"
    domains_at_once: int | str | None = None
    max_in_flight: int | None = None
    member_timeout: float | None = None
    progress_deadline: float | None = None
    prefix: str = PREFIX

    def failure_budget(self, member_count: int) -> int:
        """How many members may fail or be lost before the roll stops."""
        if self.on_failure not in POLICIES:
            raise ScheduleError(f"{self.prefix}on_failure is {self.on_failure!r}: give one of {', '.join(POLICIES)}")
        if self.on_failure == "skip":
            return member_count
        return resolve_count(self.max_failures, member_count, name=f"{self.prefix}max_failures")

    def window_of_domains(self, domain_count: int) -> int | None:
        """How many domains may have members in flight: rounded down, at least one; None without a limit."""
        if self.domains_at_once is None:
            return None
        return max(1, resolve_count(self.domains_at_once, domain_count, name=f"{self.prefix}domains_at_once"))
