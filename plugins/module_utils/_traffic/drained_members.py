# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load balancer that knows only "in traffic" and "out" does not keep: the state that was requested for a member that is out, and how long ago.

It lives as long as the module. A member that another run took out is taken for one in maintenance that has just left, so nothing is assumed too early.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Callable

from .interface import DRAIN, MAINT, READY, RECHECK


class OutMembers:
    """The members that are out, by backend and name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._out: dict[tuple[str, str], tuple[str, float]] = {}
        self._left: dict[tuple[str, str], float] = {}

    def ask(self, backend: str, changes: Mapping[str, str]) -> None:
        """These changes were made now."""
        for name, change in changes.items():
            place = backend, name
            if change == READY:
                self._out.pop(place, None)
                self._left.pop(place, None)
            else:
                self._out[place] = change, self._clock()
                self._left.setdefault(place, self._clock())

    def admin(self, backend: str, name: str, is_in: bool) -> str:
        """The administrative state of a member that is in, or out."""
        place = backend, name
        if is_in:
            self._out.pop(place, None)
            self._left.pop(place, None)
            return READY
        asked = self._out.setdefault(place, (MAINT, self._clock()))[0]
        return DRAIN if asked in (DRAIN, RECHECK) else MAINT

    def is_asked(self, backend: str, name: str) -> bool:
        """Whether a member was taken out here."""
        return (backend, name) in self._out

    def is_confirmed(self, backend: str, name: str, recheck_seconds: float) -> bool:
        """Whether the reported health is current: during a recheck it has been reported for as long as a dead member needs to be noticed."""
        probed = self.probed_for(backend, name)
        return probed is None or probed >= recheck_seconds

    def assumed_sessions(self, backend: str, name: str, admin: str, quiet_seconds: float) -> int:
        """For load balancers that do not report sessions in flight: one session is assumed for so many seconds after a member has left."""
        return int(admin != READY and self.gone_for(backend, name) < quiet_seconds)

    def gone_for(self, backend: str, name: str) -> float:
        """For how many seconds at least a member is out of traffic."""
        return self._clock() - self._left.setdefault((backend, name), self._clock())

    def probed_for(self, backend: str, name: str) -> float | None:
        """For how many seconds a member has been rechecked; None when it is not."""
        asked, at = self._out.get((backend, name), (READY, 0.0))
        return self._clock() - at if asked == RECHECK else None
