# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a run record that others wrote: a part that is missing is empty or None, a part of the wrong kind is a clear error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .._schedule.limits import ScheduleError, resolve_count


class ReportError(ValueError):
    """The run record cannot be reported on; the message names the part and what it must be."""


def plain(value: object) -> object:
    """A copy made of plain dict, list, str, int, float, bool and None only, whatever containers and strings came in.

    A number that JSON cannot hold (not a number, infinite) becomes None.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {"".join(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return "".join(iter(str(value)))


def mapping(value: object, where: str) -> dict[str, Any]:
    """A mapping, or an empty one for None.

    :raises ReportError: for anything else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ReportError(f"{where} of the run record must be a mapping, not {type(value).__name__}")
    return dict(value)


def mappings(value: object, where: str) -> dict[str, dict[str, Any]]:
    """A mapping of names to mappings."""
    return {str(name): mapping(facts, f"{where}.{name}") for name, facts in mapping(value, where).items()}


def rows(value: object, where: str) -> list[dict[str, Any]]:
    """A list of mappings, or an empty one for None.

    :raises ReportError: for anything else.
    """
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise ReportError(f"{where} of the run record must be a list, not {type(value).__name__}")
    return [mapping(row, f"{where}[{index}]") for index, row in enumerate(value)]


def number(value: object) -> float | int | None:
    """The value as a finite number; None for whatever is none (a bool is none)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        exact = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(exact):
        return None
    return int(exact) if isinstance(value, str) and exact.is_integer() else exact if isinstance(value, str) else value


def numbers(facts: Mapping[str, Any], *names: str) -> dict[str, float | int | None]:
    """Only these names of the mapping, each as a number or None."""
    return {name: number(facts.get(name)) for name in names}


def text(value: object) -> str | None:
    """The value as text; None and the empty string are None."""
    return None if value is None or value == "" else str(value)


def seconds_between(started: object, finished: object) -> float | None:
    """The seconds from one epoch to the other, or None when either is unknown or the order is wrong."""
    first, last = number(started), number(finished)
    return None if first is None or last is None or last < first else round(last - first, 3)


def allowed_out(limits: Mapping[str, Any], pool_size: float | None) -> int | None:
    """How many members may be out at once: ``max_unavailable`` as a number, a percentage taken of the pool; at least one.

    :raises ReportError: when it is neither.
    """
    value = limits.get("max_unavailable")
    if value is None or (isinstance(value, str) and value.strip().endswith("%") and pool_size is None):
        return None
    try:
        return max(1, resolve_count(value, int(pool_size or 0), name="limits.max_unavailable"))
    except ScheduleError as error:
        raise ReportError(str(error)) from error
