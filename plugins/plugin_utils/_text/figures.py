# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures as people write them: 13,200 requests, 1.24 s, 3 min 20 s, 14:02:11 UTC."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

UNKNOWN = "unknown"
# In a table or beside a label, where there is no value.
NO_VALUE = "\N{EN DASH}"
# Not strftime's: that one follows the locale, and the rest of the page does not.
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")


def count(number: float | None) -> str:
    """``13,200``; a fraction keeps one decimal."""
    if number is None:
        return UNKNOWN
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"


def plural(number: float | None, one: str, many: str | None = None) -> str:
    """``1 request``, ``13,200 requests``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def milliseconds(value: float | None) -> str:
    """A latency: ``0.8 ms``, ``34 ms``, ``1.24 s``."""
    if value is None:
        return UNKNOWN
    if value < 9.95:
        return f"{value:.1f}".removesuffix(".0") + " ms"
    if value < 999.5:
        return f"{value:.0f} ms"
    return f"{value / 1000:.3g} s" if value < 10_000 else seconds(value / 1000)


def seconds(value: float | None) -> str:
    """A duration: ``8.0 s``, ``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if value is None:
        return UNKNOWN
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    return _two(whole // 3600, "h", whole % 3600 // 60, "min")


def _two(larger: int, unit: str, smaller: int, small_unit: str) -> str:
    return f"{larger} {unit} {smaller} {small_unit}" if smaller else f"{larger} {unit}"


def offset(value: float, *, hours: bool = False) -> str:
    """A moment counted from the start: ``1:05``, from one hour on (or always, with *hours*) ``0:01:05``."""
    whole = round(abs(value))
    sign = "-" if value < 0 and whole else ""
    minutes, rest = whole // 60, whole % 60
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{rest:02}" if hours or minutes >= 60 else f"{sign}{minutes}:{rest:02}"


def size(number: float | None) -> str:
    """Bytes: ``812 B``, ``48 KB``, ``1.2 GB`` (thousands, as disks are sold)."""
    if number is None:
        return UNKNOWN
    for unit in ("B", "KB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def percent(share: float | None) -> str:
    """A share of one with two figures that count: ``0.023 %``."""
    return UNKNOWN if share is None else f"{share * 100:.2g} %"


def moment(epoch: float | None, *, date: bool = True) -> str:
    """``5 March 2026, 14:02:11 UTC``: always UTC, so that the page is the same for all readers."""
    if epoch is None:
        return UNKNOWN
    try:
        when = datetime.fromtimestamp(epoch, tz=timezone.utc)
    except (OverflowError, OSError, ValueError):
        return UNKNOWN
    day = f"{when.day} {MONTHS[when.month - 1]} {when.year}, " if date else ""
    return f"{day}{when:%H:%M:%S} UTC"


def sentence(words: str) -> str:
    """The words with a full stop at the end. Their beginning stays: it may be the name of a host."""
    words = words.strip()
    return words if words.endswith((".", "!", "?")) else words + "."


def done_word(direction: str | None) -> str:
    """What became of members whose run went this way and was successful."""
    return {"rollback": "rolled back", "patch": "patched"}.get(direction or "", "upgraded")


# The direction of a run that does nothing but measure.
MEASURED = "measured"


def release_change(direction: str | None, release_from: str | None, release_to: str | None) -> str:
    """From which release to which; a run that only patches hosts leaves it, and one that only measures knows of none."""
    if direction == MEASURED:
        return "measured"
    return f"{release_to or '?'} patched" if direction == "patch" else f"{release_from or '?'} → {release_to or '?'}"


def method_name(report: Mapping[str, Any]) -> str:
    """How it was done, in words; empty for a run that only measures."""
    return "" if report["direction"] == MEASURED else (report["method"] or "unknown method").replace("_", "-")


def listed(names: list[str], most: int = 4) -> str:
    """``app1, app2 and app3``; from *most* on the rest is counted."""
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def natural(name: str) -> list[tuple[int, int | str]]:
    """A key that sorts app2 before app10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]
