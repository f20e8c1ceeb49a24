# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run on one screen: view in, lines out. Pure.

From top to bottom: what moves and how long it takes, the phases, live capacity against the floor, what users saw, the members with intended beside
actual, why no member starts, the last notable sentences, and how to pause. When there is little room the members shrink, never capacity or failures.
"""

from __future__ import annotations

import shlex

from .._text.figures import listed, natural, offset, plural, seconds
from .._text.terminal import Line, flowed, inert, painted
from .figures import LABEL, capacity_lines, labelled, phase_line, probe_lines, title_line
from .members import FLIGHT, PROBLEMS
from .members_panel import members_lines
from .view import View

NARROWEST, LOWEST = 40, 10
MOST_NOTES = 6
ROOMY = 20  # lines from which on empty lines part the sections


def render(view: View, width: int, height: int, *, colour: bool = False, control: str = "") -> list[str]:
    """The screen as at most *height* lines of at most *width* columns.

    :param colour: whether lines carry escape sequences for colours.
    :param control: the file that pauses the roll, empty when there is none.
    """
    width, height = max(NARROWEST, width), max(LOWEST, height)
    top = [title_line(view, width), *_where(view, width)]
    gap: list[Line] = [[]] if height >= ROOMY and view.members else []
    capacity = [*capacity_lines(view, width), *probe_lines(view, width)]
    top += [*(gap if capacity else []), *capacity]
    bottom = [*_holding(view, width), *_control(view, width, control)]
    notes = _notes(view)
    room = height - len(top) - len(bottom) - min(len(notes), 2) - 2 * len(gap)
    meanwhile = _now(view, width) if view.shows_members and not view.in_roll else []
    body = [*members_lines(view, width, room - len(meanwhile)), *meanwhile] if view.shows_members else _now(view, width)
    free = height - len(top) - len(body) - len(bottom) - 2 * len(gap)
    shown = notes[-min(max(0, free), MOST_NOTES):] if free > 0 else []
    lines = [*top, *(gap if body else []), *body, *(gap if shown or bottom else []), *shown, *bottom]
    return [painted(line, width, colour=colour).rstrip() if not colour else painted(line, width, colour=True) for line in lines[:height]]


def _where(view: View, width: int) -> list[Line]:
    """The phases of an upgrade; the play of any other playbook."""
    if view.phases or view.service:
        return [phase_line(view, width)]
    return [[(view.play, "")]] if view.play else []


def _now(view: View, width: int) -> list[Line]:
    """What goes on outside a roll: the task, how many hosts have done it, and who is at it since when."""
    if view.ended or not (view.task or view.running):
        return []
    tasks: dict[str, list[str]] = {}
    for host, (task, _since) in view.running.items():
        tasks.setdefault(task, []).append(host)
    if not tasks:
        return [labelled("now", [(view.task, "")])]
    lines: list[Line] = []
    for task, hosts in list(tasks.items())[:3]:
        longest = max(0.0, view.now - min(view.running[host][1] for host in hosts))
        done = f"{plural(len(view.task_hosts), 'host')} done, " if task == view.task and view.task_hosts else ""
        where = f"  {done}{listed(sorted(hosts, key=natural))}"
        lines.append(labelled("now" if not lines else "", [(task, ""), (where, "busy"), (f"  {seconds(longest)}" if longest >= 1 else "", "faint")]))
    return lines


def _holding(view: View, width: int) -> list[Line]:
    """Why no member starts, or why the roll stopped, on up to three lines."""
    kind, reason = view.holding
    if not kind or (kind == "waiting" and view.ended):
        return []
    # Waiting is normal while members are in flight, and shown faintly. It is not when no member is in flight and none may start.
    waiting = "faint" if any(member.state == FLIGHT for member in view.members.values()) else ""
    style = {"waiting": waiting, "stopped": "bad", "paused": "warning", "turns_back": "warning"}.get(kind, "")
    label = kind.replace("_", " ")
    lines = flowed(f"{label:<{max(LABEL, len(label) + 2)}}", [(word, style) for word in reason.split()], width, most=3, between=" ")
    return lines or [[(label, style)]]


def _notes(view: View) -> list[Line]:
    """The last notable sentences with the time at which they were said."""
    return [[(f"{offset(max(0.0, at - view.begun)):<{LABEL}}", "faint"), (sentence, level)] for at, level, sentence in view.notes]


def _control(view: View, width: int, control: str) -> list[Line]:
    """The commands for a second terminal, while there is a roll that can be paused."""
    if not control or view.ended or not view.in_roll or view.holding[0] == "stopped" or not any(member.pending for member in view.members.values()):
        return []
    word, others = ("go", "abort") if view.holding[0] == "paused" else ("pause", "go, abort")
    command = f"echo {word} > {shlex.quote(inert(control, narrow=False))}"
    where: Line = [(command, ""), (f"  (or {others})", "faint")]
    if LABEL + len(command) > width:
        # A command that is cut cannot be used: it goes over as many lines as it takes.
        return [labelled("control" if at == 0 else "", [(command[at:at + width - LABEL], "")]) for at in range(0, len(command), width - LABEL)]
    return [labelled("control", where)]


def keeps_something(view: View) -> bool:
    """Whether the last screen is worth staying on the terminal when the run is over."""
    return any(member.state in (FLIGHT, *PROBLEMS) or member.seconds is not None for member in view.members.values())
