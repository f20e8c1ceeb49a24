# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live capacity against the floor over time: what every load balancer saw live, at least."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..._text.figures import count, seconds
from ..._text.markup import Markup, element, join
from .frame import AXIS, STRIP, Frame, Picture, View, gridline, moved_mark, phase_bands, svg, time_axis, timeline
from ..._plan.shapes import Report

FINEST = 600  # stretches that a picture can show
Step = tuple[float, float, float]  # from, to, live members
Height = Callable[[float], float]  # where a number of members is in the picture
Sample = tuple[float, float | None]  # moment, live members


def capacity(report: Report, view: View) -> Picture | None:
    """The picture, or None when capacity was not sampled."""
    time = timeline(report)
    steps = live_steps(report["capacity"], until=0.0 if time is None else time.end)
    if time is None or not steps:
        return None
    frame = Frame(view=view, time=time, top=STRIP, height=100 if view.narrow else 120)
    floor = report["live_floor"]
    most = max([live for _from, _to, live in steps] + [report["pool_size"] or 0, floor or 0, 1])

    base = 0 if report["serving"] else _base(min(live for _from, _to, live in steps), floor, most)

    def y(live: float) -> float:
        return round(frame.bottom - (frame.height - 10) * (live - base) / (most - base), 2)

    ticks = sorted({base, most, *([] if floor is None or most - floor < (most - base) / 6 else [floor])})
    return svg(
        view,
        frame.bottom + AXIS + 2,
        phase_bands(frame, report["phases"]),
        join(gridline(frame, y(tick), count(tick)) for tick in ticks),
        join(_area(frame, step, y, filled=base == 0) for step in steps),
        join(_below(frame, step, floor, y) for step in steps if floor is not None and step[2] < floor),
        element("path", class_="capacity", d=_line(frame, steps, y)),
        _floor(frame, floor, y),
        _lowest(frame, min(steps, key=lambda step: (step[2], step[0] - step[1])), floor, y),
        time_axis(frame),
        moved_mark(frame, report),
        title="Live capacity of the pool that serves over time" if report["serving"] else "Live capacity against the floor over time",
        description=_description(report, steps),
    )


def _base(lowest: float, floor: float | None, most: float) -> float:
    """Where the scale begins: at 0, unless a large pool keeps so close to its top that nothing could be seen."""
    bottom = lowest if floor is None else min(floor, lowest)
    return 0 if bottom <= 0.75 * most else max(0, bottom - max(1, most - bottom))


def live_steps(samples: Sequence[Mapping[str, Any]], *, until: float) -> list[Step]:
    """The stretches of equal capacity: from, to, and the least that any load balancer counted live.

    A sample holds until the next one; the last one holds no longer than the samples usually stand apart.
    Nothing holds through a sample in which no load balancer could be read: there the stretches leave a gap.
    """
    seen = _thinned(sorted((row["t"], min(row["live"].values(), default=None)) for row in samples if row["t"] is not None))
    steps: list[Step] = []
    for index, (moment, live) in enumerate(seen):
        if live is None:
            continue
        ends = seen[index + 1][0] if index + 1 < len(seen) else min(until, moment + _usual_pause(seen))
        if steps and steps[-1][1:] == (moment, live):
            steps[-1] = (steps[-1][0], ends, live)
        else:
            steps.append((moment, ends, live))
    return steps


def _thinned(seen: list[Sample]) -> list[Sample]:
    """The lowest of neighbouring samples, when there are more than a picture can show."""
    size = max(1, -(-len(seen) // FINEST))
    groups = (seen[at:at + size] for at in range(0, len(seen), size))
    return [(group[0][0], min((live for _moment, live in group if live is not None), default=None)) for group in groups]


def _usual_pause(seen: Sequence[Sample]) -> float:
    return (seen[-1][0] - seen[0][0]) / (len(seen) - 1) if len(seen) > 1 else 1.0


def _line(frame: Frame, steps: Sequence[Step], y: Height) -> str:
    path, reached = "", None
    for started, ends, live in steps:
        path += f"V{y(live):g}H{frame.x(ends):g}" if started == reached else f"M{frame.x(started):g},{y(live):g}H{frame.x(ends):g}"
        reached = ends
    return path


def _area(frame: Frame, step: Step, y: Height, *, filled: bool) -> Markup:
    """What is under the line: coloured only when the scale begins at 0, because a cut area deceives."""
    started, ends, live = step
    left, right = frame.x(started), frame.x(ends)
    title = element("title", f"{frame.since(started)} to {frame.since(ends)}: {count(live)} live")
    return element("rect", title, class_="capacity-area" if filled else "hover", x=left, y=y(live), width=right - left, height=frame.bottom - y(live))


def _below(frame: Frame, step: Step, floor: float, y: Height) -> Markup:
    started, ends, live = step
    left, right = frame.x(started), frame.x(ends)
    title = element("title", f"{frame.since(started)} to {frame.since(ends)}: {count(live)} live, under the floor of {count(floor)}")
    return element("rect", title, class_="under-floor", x=left, y=y(floor), width=max(1.5, right - left), height=y(live) - y(floor))


def _floor(frame: Frame, floor: float | None, y: Height) -> Markup:
    if floor is None:
        return Markup("")
    line = element("line", class_="floor", x1=frame.view.left, x2=frame.right, y1=y(floor), y2=y(floor))
    return join([line, element("text", "floor", class_="label-floor small", x=frame.right + 6, y=y(floor) + 3.5)])


def _lowest(frame: Frame, step: Step, floor: float | None, y: Height) -> Markup:
    started, ends, live = step
    x = min(max((frame.x(started) + frame.x(ends)) / 2, frame.view.left + 36), frame.right - 36)
    above = y(max(live, floor or 0)) - 9
    return join(
        [
            element("circle", class_="lowest", cx=(frame.x(started) + frame.x(ends)) / 2, cy=y(live), r=3.5),
            element("text", f"lowest: {count(live)}", class_="strong", x=x, y=above, text_anchor="middle"),
        ]
    )


def _description(report: Report, steps: Sequence[Step]) -> str:
    floor = report["live_floor"]
    sentence = f"At the lowest moment {count(min(live for _from, _to, live in steps))} of {count(report['pool_size'])} members were live"
    if report["serving"]:
        return f"{sentence}, of the pool that had the traffic then."
    if floor is None:
        return f"{sentence}; no floor was given."
    below = sum(ends - started for started, ends, live in steps if live < floor)
    return f"{sentence}; the floor is {count(floor)}. Capacity was {f'under the floor for {seconds(below)}' if below else 'never under it'}."
