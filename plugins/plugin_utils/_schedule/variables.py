# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the public ``rolling_*`` variables of the hosts to the scheduler's members, limits and policy. Pure: variables in, data out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import error_budget
from .limits import PREFIX, Limits, RunPolicy, ScheduleError
from .scheduler import Schedule
from .steps import DEFAULT_POOL, Member, named_steps

# One value for all hosts of a pool.
OF_A_POOL = ("max_unavailable", "min_live", "max_per_domain", "steps", "live")
# One value for all hosts of the play.
OF_THE_RUN = ("max_failures", "on_failure", "domains_at_once", "member_timeout", "progress_deadline", "capacity_timeout", "break_play", "control",
              "pool_hosts", "probe")
# Each host has its own.
OF_A_MEMBER = ("pool", "domain", "member", "in_traffic", "expected_s", "step")
# Facts that tasks set about their own host while it is in flight.
SET_BY_TASKS = ("failed",)

TRUE_WORDS, FALSE_WORDS = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class StrategyOptions:
    """What the strategy reads itself, and no scheduler needs."""

    pool_hosts: list[str]
    control: str | None
    capacity_timeout: float
    break_play: bool
    probe: Mapping[str, Any] | None


def known_variables() -> list[str]:
    """Every variable that a user may set, with its prefix."""
    return [PREFIX + name for name in (*OF_A_POOL, *OF_THE_RUN, *OF_A_MEMBER, *SET_BY_TASKS)]


def schedule_from(by_host: Mapping[str, Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]], *, play_budget: int | str | None = None,
                  max_in_flight: int | None = None) -> Schedule:
    """A schedule for the play's hosts.

    :param by_host: host name to its (templated) ``rolling_*`` variables, for the hosts to be done, in the play's order.
    :param others: the same for the pools' members outside the play, which only count as capacity.
    :param play_budget: what ``any_errors_fatal`` or ``max_fail_percentage`` of the play says, unless ``rolling_max_failures`` is given.
    :param max_in_flight: how many the controller can serve.
    :raises ScheduleError: naming the variable that is wrong and what it may be.
    """
    members = [member_from(name, variables) for name, variables in (*by_host.items(), *others.items())]
    return Schedule(members, limits_by_pool({**others, **by_host}), run_policy_from(by_host, play_budget=play_budget, max_in_flight=max_in_flight),
                    pending=list(by_host))


def limits_by_pool(by_host: Mapping[str, Mapping[str, Any]]) -> dict[str, Limits]:
    """Pool name to its limits; the hosts of a pool must agree on them."""
    pools: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, variables in by_host.items():
        pools.setdefault(_pool_of(variables), {})[name] = variables
    return {pool: limits_from(agreed(hosts, OF_A_POOL, f"the hosts of pool {pool!r}")) for pool, hosts in pools.items()}


def limits_from(variables: Mapping[str, Any]) -> Limits:
    """Read one pool's limits."""
    return Limits(
        max_unavailable=_given(variables, "max_unavailable", 1),
        min_live=variables.get("rolling_min_live"),
        max_per_domain=variables.get("rolling_max_per_domain"),
        steps=named_steps(_given(variables, "steps", ["100%"])),
    )


def run_policy_from(by_host: Mapping[str, Mapping[str, Any]], *, play_budget: int | str | None = None, max_in_flight: int | None = None) -> RunPolicy:
    """Read what holds for all pools together; all hosts must agree on it."""
    variables = agreed(by_host, OF_THE_RUN, "the hosts of the play")
    return RunPolicy(
        max_failures=_given(variables, "max_failures", 0 if play_budget is None else play_budget),
        on_failure=_given(variables, "on_failure", "stop"),
        domains_at_once=variables.get("rolling_domains_at_once"),
        max_in_flight=max_in_flight,
        member_timeout=_seconds(variables, "member_timeout"),
        progress_deadline=_seconds(variables, "progress_deadline"),
    )


def strategy_options_from(by_host: Mapping[str, Mapping[str, Any]]) -> StrategyOptions:
    """Read them; all hosts must agree."""
    variables = agreed(by_host, OF_THE_RUN, "the hosts of the play")
    pool_hosts = _given(variables, "pool_hosts", [])
    if not isinstance(pool_hosts, (list, tuple)):
        raise ScheduleError(f"rolling_pool_hosts is {pool_hosts!r}: give a list of host names")
    patience = _seconds(variables, "capacity_timeout")
    return StrategyOptions(
        pool_hosts=list(pool_hosts),
        control=variables.get("rolling_control"),
        capacity_timeout=300.0 if patience is None else patience,
        probe=_probe_of(variables),
        break_play=_flag(_given(variables, "break_play", True), "rolling_break_play"),
    )


def _probe_of(variables: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Whose figures are the roll's gate: ``directory``, ``max_failed``."""
    probe = variables.get("rolling_probe") or None
    if probe is not None and (not isinstance(probe, Mapping) or not probe.get("directory")):
        raise ScheduleError(f"rolling_probe is {probe!r}: give the directory of alwayson.upgrade.availability_probe, and max_failed")
    problems = error_budget.limit_problems(probe or {})
    if problems:
        raise ScheduleError(f"rolling_probe: {problems[0]}")
    return probe


def live_sources(by_host: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Mapping[str, Any]], dict[str, dict[str, str]]]:
    """Where each pool's live members are read (pools that say so only), and pool to host name to the member's name there."""
    sources: dict[str, Mapping[str, Any]] = {}
    names: dict[str, dict[str, str]] = {}
    for name, variables in by_host.items():
        pool = _pool_of(variables)
        names.setdefault(pool, {})[name] = str(_given(variables, "member", name))
        if variables.get("rolling_live"):
            sources[pool] = variables["rolling_live"]
    return sources, names


def agreed(by_host: Mapping[str, Mapping[str, Any]], names: Iterable[str], who: str) -> dict[str, Any]:
    """The variables that all hosts must agree on, as the first host has them.

    :raises ScheduleError: naming the variable, and two hosts that disagree with their values.
    """
    first_host, first = next(iter(by_host.items()), ("", {}))
    for name in (PREFIX + name for name in names):
        for host, variables in by_host.items():
            if variables.get(name) != first.get(name):
                raise ScheduleError(f"{who} have different values of {name}: {first.get(name)!r} for {first_host} and {variables.get(name)!r} for {host}. "
                                    "Set the same value for all of them, for example in group_vars or in the play's vars")
    return {PREFIX + name: first[PREFIX + name] for name in names if PREFIX + name in first}


def member_from(name: str, variables: Mapping[str, Any]) -> Member:
    """One member out of its host's variables: ``rolling_pool``, ``rolling_domain``, ``rolling_in_traffic``, ``rolling_expected_s``, ``rolling_step``."""
    domain, step = variables.get("rolling_domain"), variables.get("rolling_step")
    return Member(
        name=name,
        pool=_pool_of(variables),
        domain=None if domain in (None, "") else str(domain),
        in_traffic=_flag(_given(variables, "in_traffic", True), f"rolling_in_traffic of {name}"),
        expected_s=_seconds(variables, "expected_s", host=name) or 0.0,
        step=None if step is None else _whole(step, f"rolling_step of {name}"),
    )


def _pool_of(variables: Mapping[str, Any]) -> str:
    return str(_given(variables, "pool", DEFAULT_POOL))


def _given(variables: Mapping[str, Any], name: str, default: object) -> Any:
    """As it was given: what it may be, `Limits` and `RunPolicy` say."""
    value = variables.get(PREFIX + name)
    return default if value is None else value


def _seconds(variables: Mapping[str, Any], name: str, *, host: str = "") -> float | None:
    value = variables.get(PREFIX + name)
    if value is None:
        return None
    try:
        seconds = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise ScheduleError(f"{PREFIX}{name}{f' of {host}' if host else ''} is {value!r}: give seconds, a number of at least 0")
    return seconds


def _flag(value: object, what: str) -> bool:
    """Truth as inventories write it: INI and ``-e`` give strings, and the string 'false' must not be true."""
    word = str(value).strip().lower()
    if word not in TRUE_WORDS + FALSE_WORDS:
        raise ScheduleError(f"{what} is {value!r}: give true or false")
    return word in TRUE_WORDS


def _whole(value: object, what: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ScheduleError(f"{what} is {value!r}: give a step's number, from 0") from None
