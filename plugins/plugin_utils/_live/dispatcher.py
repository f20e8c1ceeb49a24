# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of an event: into the view, into words, onto the outlet, into the journal. What shows a run is never what ends it.

Clock, terminal and files are given from outside.
"""

from __future__ import annotations

import os.path
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .._run.journal_writer import JournalWriter
from .._text.terminal import one_line
from .events import fold
from .outlet import SCREEN, Outlet
from .results import kept_of
from .view import View
from .words import LogEntry, log_entry


class Figures(Protocol):
    """Where the prober's figures come from; see ``module_utils/_probe/live_figures.py``."""

    def newer(self, directory: str, now: float) -> dict[str, Any] | None: ...


class Dispatcher:
    """Takes the events of one run, from any thread.

    :param clock: the time now, in epoch seconds.
    :param journal: where the run is kept; None when it is not.
    :param directory: where the journal goes when no service says otherwise, and whether the user has asked for that; without that, only a run that
        rolls is kept there.
    """

    def __init__(self, outlet: Outlet, clock: Callable[[], float], *, figures: Figures | None = None, journal: JournalWriter | None = None,
                 directory: tuple[str, bool] = ("", False)) -> None:
        self.view = View()
        self.outlet = outlet
        self._clock, self._figures, self._journal, self._directory = clock, figures, journal, directory
        self._lock = threading.RLock()
        self._rests_until = 0.0

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in what happened just now."""
        with self._lock:
            stamped = {**event, "at": self._clock()}
            try:
                events = fold(self.view, stamped)
            except Exception as error:
                events = [stamped]
                self.outlet.give_up(f"the event {stamped.get('event')} could not be taken in ({type(error).__name__}: {error})")
            for one in events:
                self._show(one)
            self._draw(stamped["at"])

    def ends(self) -> None:
        """The run is over: leave the terminal as a log, and say what the journal could not keep."""
        with self._lock:
            try:
                self.outlet.close(self.view, now=self._clock())
            except Exception as error:
                self.outlet.give_up(f"the last picture could not be drawn ({type(error).__name__}: {error})")
            for sentence in self._journal.ends() if self._journal else ():
                self._warn(sentence, self._clock())

    def breaks_off(self) -> None:
        """The process ends. When the run has not, it was interrupted, or an error ended it."""
        if self.view.begun and not self.view.ended:
            self.take({"event": "breaks_off"})
            self.ends()

    def _show(self, event: Mapping[str, Any]) -> None:
        try:
            entry = log_entry(self.view, event)
        except Exception as error:
            entry = LogEntry("warning", one_line(f"{event} could not be put into words ({type(error).__name__}: {error})", 2000))
        self.outlet.show(self.view, event, entry)
        for sentence in self._keep(event):
            self._warn(sentence, event["at"])

    def _warn(self, sentence: str, at: float) -> None:
        warning = {"event": "warning", "at": at, "text": sentence}
        self.outlet.show(self.view, warning, log_entry(self.view, warning))

    def _keep(self, event: Mapping[str, Any]) -> list[str]:
        """Into the journal, which opens as soon as it is known where it is."""
        if self._journal is None:
            return []
        kept = kept_of(event)
        sentences = self._journal.adds(kept, event["at"]) if kept else []
        if self._journal.directory:
            return sentences
        default, asked_for = self._directory
        directory = self.view.directory or (default if asked_for or self.view.play_rolls or self.view.rolling else "")
        return sentences + (self._journal.opens(directory, event["at"]) if directory else [])

    def _draw(self, now: float) -> None:
        if self.outlet.style != SCREEN or now < self._rests_until:
            return
        try:
            figures = self._figures.newer(os.path.join(self.view.directory, "probe"), now) if self._figures and self.view.directory else None
            if figures is not None:
                fold(self.view, {"event": "probe", "at": now, "live": figures})
            self.outlet.draw(self.view, now=now)
            # A large pool takes a while to draw: a tenth of the time at most.
            self._rests_until = now + min(2.0, 9 * max(0.0, self._clock() - now))
        except Exception as error:
            self.outlet.give_up(f"it could not be drawn ({type(error).__name__}: {error})")
