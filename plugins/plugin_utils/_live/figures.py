# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen's lines that are about the whole run: what is done, how far it is, capacity against the floor, and what users saw. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._report.text import sparkline
from .._schedule.error_budget import worst_first
from .._text.figures import count, milliseconds, offset, plural, release_change, seconds
from .._text.terminal import Line, both_ends, columns, inert, joined
from .members import DONE, STANDBY, Capacity, Pool
from .view import View
from .words import done_word

LABEL = 9  # columns of the labels at the left
LIVE, FLIGHT_CELL, STANDBY_CELL, GONE, FLOOR = "█", "▒", "▓", "░", "┃"
DONE_MARK, NOW_MARK, TODO_MARK = "✔", "▶", "·"
MOST_CELLS_PER_MEMBER = 4
NARROWEST_BAR, WIDEST_BAR = 12, 81
ROOM_FOR_EXTRAS = 15  # columns; so the bar keeps its length while members come and go
STALE_AFTER_S = 5.0
RECENT_S = 10


def title_line(view: View, width: int) -> Line:
    """What moves from where to where at the left, the time at the right."""
    left: Line = [(view.service or view.playbook or "playbook", "bold")]
    if view.release_to:
        left += [("  ", ""), (release_change(view.direction, view.release_from, view.release_to), ""), ("  ", ""), (view.method.replace("_", "-"), "faint")]
    pending = [member for member in view.members.values() if member.pending]
    if pending and view.shows_members:
        left += [("  ", ""), (f"{sum(member.state in (DONE, STANDBY) for member in pending)} of {len(pending)} {done_word(view)}", "")]
    if view.check:
        left += [("  ", ""), ("check mode", "warning")]
    return both_ends(left, _time(view), width)


def _time(view: View) -> Line:
    elapsed = offset(max(0.0, view.now - view.begun))
    if view.ended:
        return [("ended after " if view.ended == "run_ends" else "broke off after ", "faint" if view.ended == "run_ends" else "bad"), (elapsed, "bold")]
    if not view.in_roll or not view.members:
        return [(elapsed, "bold")]
    if view.holding[0] in ("paused", "stopped"):
        return [(elapsed, "bold"), (f"  {view.holding[0]}", "warning")]
    left = view.seconds_left()
    remaining = "time left unknown" if left is None else f"about {offset(left)} left" if left >= 1 else "nearly done"
    return [(elapsed, "bold"), (f"  {remaining}", "faint")]


def phase_line(view: View, width: int) -> Line:
    """The published phases: done, under way since when, to come. When they do not fit, those that are done are counted."""
    names = view.phase_names
    done = [name for name in names if "finished" in view.phases.get(name, {})]
    line = _phases(view, names)
    if columns(line) > width and len(done) > 1:
        line = [(f"{DONE_MARK} {plural(len(done), 'phase')}", "good"), *_phases(view, [name for name in names if name not in done], first=False)]
    return line


def _phases(view: View, names: list[str], *, first: bool = True) -> Line:
    line: Line = []
    to_come = False
    for name in names:
        times = view.phases.get(name)
        between = "" if first and not line else "  "
        if times is None:
            # One blank between those to come, so that all fit on 80 columns.
            line.append((f"{' ' if to_come else between}{TODO_MARK} {name}", "faint"))
            to_come = True
        elif "finished" in times:
            line.append((f"{between}{DONE_MARK} {name}", "good"))
        else:
            line.append((f"{between}{NOW_MARK} {name} {offset(max(0.0, view.now - times['started']))}", "busy"))
    return line


# -- capacity

def capacity_lines(view: View, width: int) -> list[Line]:
    """A bar for each pool. These lines are never left out: what is cut when a terminal is too narrow is the bar, not the figures."""
    label = min(16, max([LABEL, *(len(inert(pool.title or pool.name)) + 2 for pool in view.pools.values())]))
    return [_capacity_line(view, pool, width, label) for pool in view.pools.values()]


def _capacity_line(view: View, pool: Pool, width: int, label: int) -> Line:
    capacity = view.capacity(pool)
    style = "bad" if capacity.under else "bold"
    words: Line = [(f"{capacity.live} of {capacity.size} live", style), (f", floor {capacity.floor}", "bad" if capacity.under else "")]
    if view.side:
        words = _words_of_a_side(view, pool, capacity)
    if capacity.under:
        words.append((" UNDER THE FLOOR", "bad"))
    extra: Line = []
    if capacity.in_flight:
        extra.append((f", {capacity.in_flight} in flight", "busy"))
    if capacity.standing_by:
        extra.append((f", {capacity.standing_by} standing by", "busy"))
    if not capacity.seen:
        extra.append((", reckoned", "faint"))
    lowest = view.lowest_live.get(pool.name)
    if lowest is not None and lowest < capacity.live:
        extra.append((f", lowest {lowest}", "faint"))
    room = width - label - 2 - columns(words)
    drawn = capacity_bar(capacity, max(NARROWEST_BAR, min(WIDEST_BAR, room - ROOM_FOR_EXTRAS)) if room >= NARROWEST_BAR else room)
    line: Line = [*_label(pool.title or pool.name, label), *drawn, ("  " if drawn else "", ""), *words]
    for piece in extra:
        if columns(line) + len(piece[0]) <= width:
            line.append(piece)
    return line


def _words_of_a_side(view: View, pool: Pool, capacity: Capacity) -> Line:
    """A pool of blue-green: what counts is which one has the traffic."""
    colour = next((member.colour for member in view.members.values() if member.pool == pool.name), pool.name)
    if colour in view.serving:
        return [(f"{capacity.live} of {capacity.size} live", "bold"), (", has the traffic", "good")]
    return [(f"{capacity.live} of {capacity.size} ready, no traffic", "faint")]


def capacity_bar(capacity: Capacity, room: int) -> Line:
    """Live, in flight, standing by and gone as cells, with the floor marked; rounding never makes live capacity look better than it is."""
    if capacity.size <= 0 or room < 4:
        return []
    cells = min(room - 1, capacity.size * max(1, min(MOST_CELLS_PER_MEMBER, 40 // capacity.size)))
    floor = -(-capacity.floor * cells // capacity.size)
    live = min(capacity.live, capacity.size) * cells // capacity.size
    live = max(live, floor) if not capacity.under else min(live, max(0, floor - 1))
    standing = min(cells - live, -(-capacity.standing_by * cells // capacity.size))
    flight = min(cells - live - standing, -(-capacity.in_flight * cells // capacity.size))
    row = LIVE * live + STANDBY_CELL * standing + FLIGHT_CELL * flight
    row += GONE * (cells - len(row))
    styles = {LIVE: "bad" if capacity.under else "good", STANDBY_CELL: "busy", FLIGHT_CELL: "busy", GONE: "faint"}
    line: Line = []
    for index, cell in enumerate(row):
        if index == floor:
            line.append((FLOOR, "bold"))
        line.append((cell, styles[cell]))
    return joined(line if floor < cells else [*line, (FLOOR, "bold")])


# -- what users saw

def probe_lines(view: View, width: int) -> list[Line]:
    """What the prober counted, on a second line who saw the old release again, and how fast the last seconds were; empty without one."""
    if not view.probe:
        return []
    try:
        return _probe_lines(view, view.probe, width)
    except (KeyError, TypeError, ValueError, AttributeError):
        return [labelled("users", [("the prober's figures cannot be read", "warning")])]


def _probe_lines(view: View, live: Mapping[str, Any], width: int) -> list[Line]:
    failed = int(live["requests_failed"])
    line: Line = [*_label("users", LABEL), (f"{count(live['requests_scheduled'])} requests, ", "")]
    classes = ", ".join(f"{number} {name}" for name, number in worst_first(live.get("failures_by_class") or {}))
    line.append((f"{count(failed)} FAILED{f' ({classes})' if classes else ''}", "bad") if failed else ("0 failed", "good"))
    regressions = live.get("version_regressions")
    below = [labelled("", [(f"{plural(regressions, 'client')} saw an older release again", "bad")])] if regressions else []
    age = view.now - float(live["now"])
    if age > STALE_AFTER_S and not view.ended and not live.get("ended"):
        below.append(labelled("", [(f"no figures from the prober for {seconds(age)}", "warning")]))
        return [line, *below]
    rows = [row for row in live.get("series") or [] if row.get("p99") is not None]
    speed = f", p99 {milliseconds(max(row['p99'] for row in rows[-RECENT_S:]))}" if rows else ""
    for words in (speed, _share(view, rows)):
        if columns(line) + len(words) <= width:
            line.append((words, ""))
    room = width - columns(line) - 2
    spark = sparkline([row["p99"] for row in rows[-60:]], min(30, room)) if room >= 8 else ""
    return [[*line, (f"  {spark}", "faint")] if spark else line, *below]


def _share(view: View, rows: list[Mapping[str, Any]]) -> str:
    """How many of the newest answers came from the new release."""
    versions: dict[str, int] = {}
    for row in rows[-2:]:
        for name, number in (row.get("versions") or {}).items():
            versions[name] = versions.get(name, 0) + number
    if not view.release_to or not sum(versions.values()):
        return ""
    return f", {view.release_to} answers {100 * versions.get(view.release_to, 0) // sum(versions.values())} %"


def _label(text: str, width: int) -> Line:
    text = inert(text)
    return [(text[: width - 1].ljust(width), "faint")]


def labelled(label: str, line: Line) -> Line:
    """A line behind a label at the left."""
    return [*_label(label, LABEL), *line]
