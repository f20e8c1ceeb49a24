# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all pictures share: the view they are drawn for, the time axis, the phase bands, legends, and the SVG around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..._text.figures import offset, seconds
from ..._text.markup import Markup, element, join
from ..._plan.shapes import Report

STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
LETTER = 6.1  # the mean width of a letter at 11.5 px, in px
STRIP = 16  # the height of the phases' names
AXIS = 20  # the height of the time axis
LEGEND = 20  # the height of one line of a legend


class Picture(NamedTuple):
    """A picture and the words that say the same."""

    title: str
    description: str
    svg: Markup


@dataclass(frozen=True)
class View:
    """The size that a picture is drawn for. One page holds each picture twice: wide, and narrow for a telephone.

    ``left`` is the room for names; pictures of one page share it, so that their time axes stand under each other.
    ``key`` keeps the ids of several pictures on one page apart.
    """

    width: int = 860
    left: int = 64
    right: int = 50
    key: str = "wide"

    @property
    def narrow(self) -> bool:
        """Whether this is for a telephone."""
        return self.width < 600


@dataclass(frozen=True)
class Timeline:
    """The span of time that every picture shows; ``origin`` is 0:00, the start of the run. Epoch seconds."""

    start: float
    end: float
    origin: float


@dataclass(frozen=True)
class Frame:
    """A plot inside a view: where it stands and how time becomes x."""

    view: View
    time: Timeline
    top: float
    height: float

    @property
    def bottom(self) -> float:
        """The y of the time axis."""
        return self.top + self.height

    @property
    def right(self) -> float:
        """The x where the plot ends."""
        return self.view.width - self.view.right

    @property
    def plot_width(self) -> float:
        """The px that the whole time takes."""
        return self.right - self.view.left

    def x(self, moment: float) -> float:
        """The x of an epoch, kept inside the plot."""
        share = (moment - self.time.start) / (self.time.end - self.time.start)
        return round(self.view.left + self.plot_width * min(1.0, max(0.0, share)), 2)

    def since(self, moment: float) -> str:
        """The moment as a person reads it, from the start of the run."""
        return offset(moment - self.time.origin, hours=self.time.end - self.time.origin >= 3600)


def timeline(report: Report) -> Timeline | None:
    """The time that the pictures of this report show, or None when the report knows of no moment."""
    moments = [report.get("started"), report.get("finished"), report.get("probe_started"), report.get("probe_finished")]
    moments += [row["t"] for row in report["series"]] + [row["t"] + 1 for row in report["series"]] + [row["t"] for row in report["capacity"]]
    for row in [*report["phases"], *(stage for member in report["members"].values() for stage in member["stages"])]:
        moments += [row["started"], row["finished"]]
    moments += [member[edge] for member in report["members"].values() for edge in ("out_at", "in_at")]
    known = [moment for moment in moments if moment is not None]
    if not known or max(known) - min(known) <= 0:
        return None
    started = report.get("started")
    return Timeline(start=min(known), end=max(known), origin=min(known) if started is None else started)


def room_for_names(names: Iterable[str], *, least: int = 58, most: int = 132) -> int:
    """The left margin in which the names fit, or the most of it."""
    longest = max((len(name) for name in names), default=0)
    return int(min(most, max(least, longest * LETTER + 14)))


def time_axis(frame: Frame) -> Markup:
    """The axis under the plot, a label at round offsets from the start."""
    span = frame.time.end - frame.time.start
    step = next((step for step in STEPS if step * frame.plot_width / span >= 52), max(STEPS[-1], span / 4))
    first = -int((frame.time.origin - frame.time.start) // step)
    parts = [element("line", class_="axis", x1=frame.view.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom)]
    while (moment := frame.time.origin + first * step) <= frame.time.end:
        x = frame.x(moment)
        parts.append(element("line", class_="axis", x1=x, x2=x, y1=frame.bottom, y2=frame.bottom + 4))
        parts.append(element("text", frame.since(moment), x=x, y=frame.bottom + 16, text_anchor="middle"))
        first += 1
    return join(parts)


def phase_bands(frame: Frame, phases: Sequence[Mapping[str, Any]]) -> Markup:
    """The phases behind the plot as alternating bands, named above where the name has room."""
    parts = []
    for index, phase in enumerate(phases):
        if phase["started"] is None:
            continue
        ends = frame.time.end if phase["finished"] is None else phase["finished"]
        left, right = frame.x(phase["started"]), frame.x(ends)
        title = element("title", f"{phase['name']}: {frame.since(phase['started'])} to {frame.since(ends)}, {seconds(phase['seconds'])}")
        if index % 2 == 0:
            parts.append(element("rect", title, class_="band", x=left, y=frame.top - STRIP, width=right - left, height=frame.height + STRIP))
        if len(phase["name"]) * LETTER * 0.9 < right - left - 6:
            parts.append(element("text", phase["name"], class_="small", x=left + 4, y=frame.top - 5))
    return join(parts)


def moved_mark(frame: Frame, report: Report) -> Markup:
    """The moment at which all traffic moved: the cutover of a blue-green upgrade, or the flip of a half-pool; nothing when it moved member by member."""
    moment = report["moved_at"]
    if moment is None:
        return Markup("")
    word = f"cutover to {report['cutover_to']}" if report["cutover_to"] else "flip"
    x, room = frame.x(moment), len(word) * LETTER + 6
    before = x + room > frame.right
    title = element("title", f"{word} at {frame.since(moment)}: all traffic moved")
    return join(
        [
            element("line", title, class_="moved", x1=x, x2=x, y1=frame.top - 2, y2=frame.bottom),
            element("text", word, class_="label-moved small", x=x - 4 if before else x + 4, y=frame.top + 8, text_anchor="end" if before else "start"),
        ]
    )


def gridline(frame: Frame, y: float, label: str) -> Markup:
    """A horizontal line of the plot with its label at the left."""
    return join(
        [
            element("line", class_="grid", x1=frame.view.left, x2=frame.right, y1=y, y2=y),
            element("text", label, x=frame.view.left - 8, y=y + 4, text_anchor="end"),
        ]
    )


def legend(view: View, entries: Iterable[tuple[str, str]], *, y: float) -> tuple[Markup, float]:
    """A swatch and a word for each ``(class, word)``, wrapped to the view; and the height it takes."""
    parts, x, line = [], float(view.left), 0
    for name, word in entries:
        wanted = 16 + len(word) * LETTER + 14
        if x > view.left and x + wanted > view.width:
            x, line = float(view.left), line + 1
        parts.append(element("rect", class_=name, x=x, y=y + line * LEGEND - 1, width=10, height=10, rx=2))
        parts.append(element("text", word, x=x + 15, y=y + line * LEGEND + 8))
        x += wanted
    return join(parts), (line + 1) * LEGEND if parts else 0


def hatching(view: View, name: str, class_: str) -> Markup:
    """A pattern of slanted lines, to be used as ``fill="url(#<key>-<name>)"``."""
    line = element("line", class_=class_, x1=0, y1=0, x2=0, y2=6)
    return element("pattern", line, id=f"{view.key}-{name}", width=6, height=6, patternUnits="userSpaceOnUse", patternTransform="rotate(45)")


def svg(view: View, height: float, *layers: object, title: str, description: str) -> Picture:
    """The picture around these layers, with its title and description for those who cannot see it."""
    drawing = element(
        "svg",
        element("title", title, id=f"{view.key}-title"),
        element("desc", description, id=f"{view.key}-desc"),
        *layers,
        xmlns="http://www.w3.org/2000/svg",
        class_="picture",
        viewBox=f"0 0 {view.width} {height:.0f}",
        role="img",
        aria_labelledby=f"{view.key}-title {view.key}-desc",
    )
    return Picture(title, description, drawing)


def shortened(word: str, room: float) -> str:
    """The word, or its beginning and its end with an ellipsis between when it does not fit into so many px."""
    most = max(3, int(room / LETTER))
    if len(word) <= most:
        return word
    head = (most - 1) // 2
    return f"{word[:head]}…{word[-(most - 1 - head):]}"
