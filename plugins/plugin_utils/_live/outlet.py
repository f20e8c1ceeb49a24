# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run is shown: lines of a log, lines of JSON, or a panel with the important lines above it. The terminal is given from outside.

When the panel fails, it is removed, one line says so, and the run is shown as a log from there on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .._text.figures import offset
from .._text.terminal import inert
from .screen import keeps_something, render
from .view import View
from .words import LogEntry

PLAIN, SCREEN, JSON = "plain", "screen", "json"
INDENT = " " * 9
# A burst of events is drawn at most so often per second; then a drawing waits for the next event.
MOST_DRAWN_PER_S, MOST_DRAWN_AT_ONCE = 15.0, 30.0
_QUIET_ON_SCREEN = ("step", "detail")
_QUIET_IN_JSON = ("ok", "skipped")


class Terminal(Protocol):
    """What the outlet needs of a panel; see ``plugin_utils/_controller/panel.py``."""

    @property
    def is_open(self) -> bool: ...
    def size(self) -> tuple[int, int]: ...
    def open(self) -> None: ...
    def draw(self, lines: Sequence[str]) -> None: ...
    def close(self, *, keep: bool) -> None: ...


class Outlet:
    """Shows events as they are reported.

    :param write: writes one line or several of a level, ``write(text, level)``.
    :param verbosity: how often ``-v`` was given.
    :param panel: the terminal's panel for the style ``screen``.
    :param control: the control file of a view, as it is shown to the user; empty when there is none.
    """

    def __init__(self, style: str, write: Callable[[str, str], None], *, verbosity: int = 0, colour: bool = False, panel: Terminal | None = None,
                 control: Callable[[View], str] = lambda view: "") -> None:
        self.style = style
        self._write, self._verbosity, self._colour, self._panel, self._control = write, verbosity, colour, panel, control
        self._suspended = False
        self._play_shown = ""
        self._tokens, self._drawn_at = MOST_DRAWN_AT_ONCE, 0.0

    # -- lines

    def show(self, view: View, event: Mapping[str, Any], entry: LogEntry | None) -> None:
        """Show one event with its sentence."""
        if self.style == JSON:
            if self._verbosity or (event["event"] != "included" and not (event["event"] == "result" and event["outcome"] in _QUIET_IN_JSON)):
                self._write(json.dumps(event, default=str), "info")
        elif entry is not None and self._is_shown(event, entry):
            self._head_of_play(view, event)
            indent = INDENT if entry.indented else ""
            first = f"{offset(max(0.0, event['at'] - view.begun)):>7}  {entry.sentence}"
            self._write("\n".join([first, *(indent + line for line in entry.details)]), entry.level)

    def _is_shown(self, event: Mapping[str, Any], entry: LogEntry) -> bool:
        if event["event"] == "play_begins":
            return False
        if self._verbosity:
            return True
        return entry.level not in (_QUIET_ON_SCREEN if self.style == SCREEN else ("detail",))

    def _head_of_play(self, view: View, event: Mapping[str, Any]) -> None:
        """The play's name before the first line from it; the plays of an upgrade are named by its phases."""
        if not view.phases and not view.service and view.play not in ("", self._play_shown) and event["event"] != "no_hosts":
            self._play_shown = view.play
            self._write(f"{offset(max(0.0, event['at'] - view.begun)):>7}  play {inert(view.play, narrow=False)}", "heading")

    # -- the panel

    def draw(self, view: View, *, now: float, force: bool = False) -> None:
        """Bring the panel up to date, unless it was drawn very often just now.

        :raises Exception: whatever goes wrong while a view is rendered; the caller takes the panel away by ``give_up``.
        """
        panel = self._panel
        if self.style != SCREEN or panel is None or self._suspended or not (force or self._may_draw(now)):
            return
        if not panel.is_open:
            panel.open()
        width, height = panel.size()
        panel.draw(render(view, width, height - 1, colour=self._colour, control=self._control(view)))

    def _may_draw(self, now: float) -> bool:
        self._tokens = min(MOST_DRAWN_AT_ONCE, self._tokens + max(0.0, now - self._drawn_at) * MOST_DRAWN_PER_S)
        self._drawn_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def suspend(self) -> None:
        """Another part of Ansible needs the terminal, for example to ask a question."""
        self._suspended = True
        if self._panel is not None and self._panel.is_open:
            self._panel.close(keep=False)

    def resume(self) -> None:
        """The terminal is ours again; the next drawing takes it."""
        self._suspended = False

    def give_up(self, why: str) -> None:
        """Show the rest of the run as a log."""
        if self.style == SCREEN:
            self.suspend()
            self.style = PLAIN
            self._write(f"the screen ends here: {inert(why, narrow=False)}; the run continues and is shown in lines", "warning")

    def close(self, view: View, *, now: float) -> None:
        """The last picture stays on the terminal when it says something."""
        panel = self._panel
        if self.style != SCREEN or panel is None or not panel.is_open:
            return
        self.draw(view, now=now, force=True)
        panel.close(keep=keeps_something(view))
