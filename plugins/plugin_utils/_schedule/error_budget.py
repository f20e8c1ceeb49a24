# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error budget: how many requests of the users may fail, and how many may stay unmeasured. The roll's gate and the verdict both decide by it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .._text.figures import count, listed, percent, plural, seconds

# A prober writes its figures every second. One that has not for so long is stopped, stuck or gone.
SILENT_SECONDS = 15.0
# The limits by their names among a run's limits, with what holds when nothing is given.
DEFAULTS: dict[str, int | str] = {"max_failed": 0, "max_unmeasured": "10%"}
_AMOUNT = re.compile(r"(\d+)|(\d+(?:\.\d+)?)%")


class BudgetError(ValueError):
    """A limit that is neither a number of requests nor a percentage; the message names it."""


def allowed(limits: Mapping[str, Any], name: str, total: float) -> int:
    """How many of *total* requests the limit allows: a number, or a percentage of them, rounded up.

    :param limits: ``max_failed`` and ``max_unmeasured``; a limit that is missing or None has its default.
    """
    value = DEFAULTS[name] if limits.get(name) is None else limits[name]
    match = None if isinstance(value, bool) else _AMOUNT.fullmatch(str(value).strip())
    if match is None or (match[2] and Fraction(match[2]) > 100):
        raise BudgetError(f"upgrade_{name} is {value!r}: give a number of requests, or a percentage such as '0.1%'")
    return int(match[1]) if match[1] else math.ceil(Fraction(total) * Fraction(match[2]) / 100)


def limit_problems(limits: Mapping[str, Any]) -> list[str]:
    """A sentence for each limit that cannot be understood."""
    return [problem for name in DEFAULTS if (problem := _limit_problem(limits, name))]


def _limit_problem(limits: Mapping[str, Any], name: str) -> str:
    try:
        allowed(limits, name, 0)
    except BudgetError as error:
        return str(error)
    return ""


def coverage(probe: Mapping[str, Any], until: float | None = None) -> tuple[int, int]:
    """How many requests there should have been, and how many of them say nothing about the service: not sent, or the prober was no longer there.

    :param probe: ``requests_scheduled``, ``requests_unmeasured``, ``rate`` and ``started`` of a result or of live figures.
    :param until: the moment up to which it was to measure.
    """
    scheduled, unknown = (int(probe.get(name) or 0) for name in ("requests_scheduled", "requests_unmeasured"))
    missing = 0
    if until is not None and probe.get("rate") and probe.get("started"):
        missing = max(0, int((until - probe["started"]) * probe["rate"]) - scheduled)
    return scheduled + missing, unknown + missing


def failed_too_many(figures: Mapping[str, Any], limits: Mapping[str, Any]) -> str:
    """What users got that the budget does not allow, as a sentence without its end; empty when it is within the budget.

    :param figures: ``requests_scheduled``, ``requests_failed``, ``requests_unmeasured`` and ``failures_by_class``.
    """
    failed = figures.get("requests_failed") or 0
    asked = figures.get("requests_scheduled") or 0
    most = allowed(limits, "max_failed", max(0, asked - int(figures.get("requests_unmeasured") or 0)))
    if failed <= most:
        return ""
    if reached_nothing(figures):
        return (f"{count(failed)} of {plural(asked, 'request')} failed, because every connection failed: correct upgrade_probe.targets, "
                "or see why nothing listens there")
    classes = listed([f"{number} {name}" for name, number in worst_first(figures.get("failures_by_class") or {})])
    budget = f", and upgrade_max_failed allows {count(most)}" if most else ""
    return f"{count(failed)} of {plural(asked, 'request')} failed{f': {classes}' if classes else ''}{budget}"


def unmeasured_too_many(expected: int, unknown: int, limits: Mapping[str, Any]) -> str:
    """That too little is known of what users got, as a sentence without its end; empty when enough is. The figures are those of ``coverage``."""
    if not expected:
        return "The prober sent no request"
    most = allowed(limits, "max_unmeasured", expected)
    if unknown <= most:
        return ""
    return (f"{count(unknown)} of {plural(expected, 'request')} ({percent(unknown / expected)}) could not be measured, because the prober was late, stopped "
            f"or had ended; upgrade_max_unmeasured allows {count(most)}")


def why_to_stop(figures: Mapping[str, Any] | None, limits: Mapping[str, Any], now: float) -> str:
    """Why no traffic may be moved any more, by what users have got so far; empty while it may.

    :param figures: the prober's live figures, empty or None without any.
    :param now: the time, in epoch seconds.
    """
    if not figures:
        return "the prober has left no figures, so what users get is unknown"
    silent = now - (figures.get("now") or 0)
    if silent > SILENT_SECONDS:
        return f"the prober has written no figures for {seconds(silent)}, so what users get is unknown"
    failed = failed_too_many(figures, limits)
    if failed and reached_nothing(figures):
        return f"the prober reaches no target: {failed}"
    return failed and f"users get errors: {failed}; see upgrade_max_failed"


def reached_nothing(figures: Mapping[str, Any]) -> bool:
    """Whether every connection was refused: the prober's target is wrong, or nothing serves at all."""
    failed, scheduled, unknown = (int(figures.get(f"requests_{name}") or 0) for name in ("failed", "scheduled", "unmeasured"))
    pending = int(figures.get("requests_pending") or 0)
    return failed > 0 and failed == ((figures.get("failures_by_class") or {}).get("refused") or 0) and failed + pending + unknown >= scheduled


def worst_first(failures: Mapping[str, float]) -> list[tuple[str, float]]:
    """The classes that had failures, the most frequent first."""
    return sorted(((name, number) for name, number in failures.items() if number), key=lambda item: (-item[1], item[0]))
