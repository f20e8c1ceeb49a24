# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the public ``rolling_*`` variables of a play to the scheduler's members and limits. Pure: variables in, data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .schedule import Limits, Member, Schedule, ScheduleError, named_steps


def limits_from(variables: Mapping, *, play_budget: int | str | None = None) -> Limits:
    """Read the limits out of a play's (already templated) variables.

    :param play_budget: what ``any_errors_fatal`` or ``max_fail_percentage`` of the play says, unless ``rolling_max_failures`` is given.
    :raises ScheduleError: naming the variable that is wrong and what it may be.
    """
    failures = variables.get("rolling_max_failures")
    if failures is None:
        failures = 0 if play_budget is None else play_budget
    return Limits(
        max_unavailable=variables.get("rolling_max_unavailable", 1),
        min_live=variables.get("rolling_min_live"),
        max_per_domain=_optional_number(variables, "rolling_max_per_domain"),
        domains_at_once=_optional_number(variables, "rolling_domains_at_once"),
        steps=named_steps(variables.get("rolling_steps", ["100%"])),
        max_failures=failures,
        on_failure=variables.get("rolling_on_failure", "stop"),
    )


def _optional_number(variables: Mapping, name: str) -> int | None:
    value = variables.get(name)
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise ScheduleError(f"{name} is {value!r}: give a number of at least 1")
    return number


def member_from(name: str, variables: Mapping) -> Member:
    """One member out of its host's variables: ``rolling_domain``, ``rolling_in_traffic``, ``rolling_expected_s``, ``rolling_step``."""
    domain = variables.get("rolling_domain")
    step = variables.get("rolling_step")
    return Member(
        name=name,
        domain=None if domain is None else str(domain),
        in_traffic=bool(variables.get("rolling_in_traffic", True)),
        expected_s=float(variables.get("rolling_expected_s", 0)),
        step=None if step is None else int(step),
    )


def schedule_from(members: Sequence[Member], limits: Limits, *, others: Sequence[Member] = ()) -> Schedule:
    """A schedule for the play's hosts; *others* are the pool's members outside the play, which only count as capacity."""
    return Schedule(pool=[*members, *others], limits=limits, pending=[member.name for member in members])
