# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release answered, over time: the share of each, stacked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..._text.markup import Markup, element, join
from .frame import AXIS, STRIP, Frame, Picture, View, gridline, legend, moved_mark, phase_bands, svg, time_axis, timeline
from .series import thinned
from ..._plan.shapes import Report

SHADES = ("release-third", "release-fourth")


def versions(report: Report, view: View) -> Picture | None:
    """The picture, or None when no answer named its release."""
    time = timeline(report)
    rows, width = thinned([row for row in report["series"] if row["versions"]], 110 if view.narrow else 240)
    if time is None or not rows:
        return None
    shades = release_shades(report, Counter(name for row in rows for name in row["versions"]))
    entries, tall = legend(view, [(shade, name) for name, shade in shades.items()], y=2)
    frame = Frame(view=view, time=time, top=tall + STRIP, height=90 if view.narrow else 110)
    ticks = ((0.0, "0"), (0.5, "50 %"), (1.0, "100 %"))
    return svg(
        view,
        frame.bottom + AXIS + 2,
        entries,
        phase_bands(frame, report["phases"]),
        join(gridline(frame, frame.bottom - frame.height * share, label) for share, label in ticks),
        join(_area(frame, rows, width, list(shades), name, shade) for name, shade in shades.items()),
        time_axis(frame),
        moved_mark(frame, report),
        join(_hover(frame, row, width, shades) for row in rows),
        title="Releases answering over time",
        description=_description(frame, rows, report),
    )


def release_shades(report: Report, seen: Mapping[str, int]) -> dict[str, str]:
    """The class of each release, the new one first: it stands at the bottom and rises."""
    fixed = {report["release_to"]: "release-new", report["release_from"]: "release-old"}
    shades = {name: shade for name, shade in fixed.items() if name is not None and name in seen}
    for index, name in enumerate(sorted(set(seen) - set(shades))):
        shades[name] = SHADES[index] if index < len(SHADES) else "release-other"
    return shades


def _area(frame: Frame, rows: Sequence[Mapping[str, Any]], width: float, order: Sequence[str], name: str, shade: str) -> Markup:
    """The share of one release over time, as steps that stand on the shares of those before it; nothing where no request was answered."""
    path = ""
    for row in rows:
        answered = sum(row["versions"].values())
        share = row["versions"].get(name, 0) / answered if answered else 0
        if not share:
            continue
        below = sum(row["versions"].get(other, 0) for other in order[: order.index(name)]) / answered
        left, right = frame.x(row["t"]), frame.x(row["t"] + width)
        path += f"M{left:g},{frame.bottom - frame.height * below:.1f}v{-frame.height * share:.1f}H{right:g}v{frame.height * share:.1f}Z"
    return element("path", class_=f"share {shade}", d=path)


def _hover(frame: Frame, row: Mapping[str, Any], width: float, shades: Mapping[str, str]) -> Markup:
    """An invisible column whose tooltip shows the shares at its moment."""
    answered = sum(row["versions"].values()) or 1
    shares = ", ".join(f"{row['versions'][name] / answered:.0%} from {name}" for name in shades if row["versions"].get(name))
    left = frame.x(row["t"])
    area = {"x": left, "y": frame.top, "width": frame.x(row["t"] + width) - left, "height": frame.height}
    return element("rect", element("title", f"{frame.since(row['t'])}: {shares}"), class_="hover", **area)


def _description(frame: Frame, rows: Sequence[Mapping[str, Any]], report: Report) -> str:
    """When the new release was first seen and when the old one was last seen."""
    first = next((row["t"] for row in rows if row["versions"].get(report["release_to"])), None)
    last = next((row["t"] for row in reversed(rows) if row["versions"].get(report["release_from"])), None)
    new = f"{report['release_to']} never answered" if first is None else f"{report['release_to']} first answered at {frame.since(first)}"
    old = f"{report['release_from']} never answered" if last is None else f"{report['release_from']} last answered at {frame.since(last)}"
    return f"{new}; {old}, counted from the start of the run."
