# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Availability and latency over time: one figure per second, failed requests as red marks, void windows hatched."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..._text.figures import count, milliseconds, plural
from ..._text.markup import Markup, element, join
from .frame import AXIS, STRIP, Frame, Picture, View, gridline, hatching, moved_mark, phase_bands, svg, time_axis, timeline
from .series import thinned, unbroken
from ..._plan.shapes import Report

LANE = 34  # the height of the lane of failed requests
Height = Callable[[float], float]  # where a latency is in the picture
SMALLEST = 0.1  # ms; the logarithmic scale has to end somewhere


def latency(report: Report, view: View) -> Picture | None:
    """The picture, or None when no second was measured."""
    time = timeline(report)
    rows, width = thinned(report["series"], 110 if view.narrow else 240)
    if time is None or not rows:
        return None
    frame = Frame(view=view, time=time, top=STRIP + LANE, height=150 if view.narrow else 190)
    low, high = _decades(rows)

    def y(value: float) -> float:
        share = (math.log10(max(value, SMALLEST)) - low) / (high - low)
        return round(frame.bottom - frame.height * min(1.0, max(0.0, share)), 2)

    lanes = Frame(view=view, time=time, top=STRIP, height=LANE + frame.height)
    return svg(
        view,
        frame.bottom + AXIS + 2,
        element("defs", hatching(view, "void", "hatch")),
        phase_bands(lanes, report["phases"]),
        join(gridline(frame, y(10.0**power), milliseconds(10.0**power)) for power in range(low, high + 1)),
        _curves(frame, rows, width, y),
        _failures(frame, rows, width),
        _void_windows(frame, report["void_windows"]),
        _last_labels(frame, rows, y),
        time_axis(frame),
        moved_mark(lanes, report),
        join(_hover(frame, row, width) for row in rows),
        title="Availability and latency over time",
        description=_description(report, width),
    )


def _decades(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """The powers of ten (ms) between which the scale runs: at least two decades."""
    values = [row[name] for row in rows for name in ("p50", "p99", "p100") if row[name] is not None] or [1.0]
    low = math.floor(math.log10(max(min(values), SMALLEST)))
    high = math.ceil(math.log10(max(*values, SMALLEST * 10)))
    return low, max(high, low + 2)


def _curves(frame: Frame, rows: Sequence[Mapping[str, Any]], width: float, y: Height) -> Markup:
    middle = width / 2
    parts = []
    for stretch in unbroken(rows, width, "p50", "p99"):
        p99 = [(frame.x(row["t"] + middle), y(row["p99"])) for row in stretch]
        p50 = [(frame.x(row["t"] + middle), y(row["p50"])) for row in stretch]
        parts += [element("path", class_="spread", d=_path(p99 + p50[::-1]) + "Z"), element("path", class_="p99", d=_path(p99))]
        parts.append(element("path", class_="p50", d=_path(p50)))
    parts += [
        element("circle", class_="p100", cx=frame.x(row["t"] + middle), cy=y(row["p100"]), r=1.7) for row in rows if row["p100"] is not None
    ]
    return join(parts)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points)


def _failures(frame: Frame, rows: Sequence[Mapping[str, Any]], width: float) -> Markup:
    """The lane above the plot: a red bar wherever requests failed, as tall as their share, never too small to see."""
    base = frame.top - 14
    parts = [
        element("text", "failed", x=frame.view.left - 8, y=base, text_anchor="end"),
        element("line", class_="grid", x1=frame.view.left, x2=frame.right, y1=base + 0.5, y2=base + 0.5),
    ]
    total = 0
    for row in rows:
        if not row["failed"]:
            continue
        total += row["failed"]
        middle = frame.x(row["t"] + width / 2)
        tall = 7 + (LANE - 22) * min(1.0, row["failed"] / max(1, row["scheduled"])) ** 0.5
        parts.append(element("line", class_="failed-line", x1=middle, x2=middle, y1=base, y2=frame.bottom))
        parts.append(element("rect", class_="failed", x=middle - 2, y=base - tall, width=4, height=tall, rx=1))
    parts.append(element("text", count(total), class_="bad" if total else "good", x=frame.right + 8, y=base))
    return join(parts)


def _void_windows(frame: Frame, windows: Sequence[Mapping[str, Any]]) -> Markup:
    parts = []
    for window in windows:
        if window["from"] is None or window["to"] is None:
            continue
        left, right = frame.x(window["from"]), frame.x(window["to"])
        title = element("title", f"void: the prober itself was late, by {milliseconds(window['send_lag_p99_ms'])} (p99)")
        area = {"x": left, "y": frame.top, "width": max(2.0, right - left), "height": frame.height}
        parts.append(element("rect", title, class_="void", fill=f"url(#{frame.view.key}-void)", **area))
        parts.append(element("text", "void", class_="small", x=(left + right) / 2, y=frame.top - 3, text_anchor="middle"))
    return join(parts)


def _last_labels(frame: Frame, rows: Sequence[Mapping[str, Any]], y: Height) -> Markup:
    """The names of the curves at their right ends, moved apart where they would touch."""
    last = [(y(row[name]), name) for name in ("p100", "p99", "p50") if (row := next((r for r in reversed(rows) if r[name] is not None), None))]
    words = {"p50": "p50", "p99": "p99", "p100": "longest"}
    parts, above = [], -math.inf
    for height, name in sorted(last):
        above = max(height, above + 13)
        parts.append(element("text", words[name], class_=f"label-{name} small", x=frame.right + 6, y=min(above, frame.bottom + 8) + 3.5))
    return join(parts)


def _hover(frame: Frame, row: Mapping[str, Any], width: float) -> Markup:
    """An invisible column that shows the figures of its second when the pointer is on it."""
    title = (
        f"{frame.since(row['t'])}: {plural(row['scheduled'], 'request')}, {count(row['failed'])} failed; "
        f"p50 {milliseconds(row['p50'])}, p99 {milliseconds(row['p99'])}, longest {milliseconds(row['p100'])}"
    )
    left = frame.x(row["t"])
    area = {"x": left, "y": frame.top - LANE, "width": frame.x(row["t"] + width) - left, "height": frame.height + LANE}
    return element("rect", element("title", title), class_="hover", **area)


def _description(report: Report, width: float) -> str:
    figures = report["latency_ms"]
    each = "one second" if width == 1 else f"{width:g} seconds, of which the worst is shown"
    return (
        f"{count(report['requests_failed'])} of {plural(report['requests_scheduled'], 'request')} failed. "
        f"Half were answered within {milliseconds(figures['p50'])}, 99 of 100 within {milliseconds(figures['p99'])}, all within "
        f"{milliseconds(figures['p100'])}. Each point is {each}; the scale is logarithmic."
    )
