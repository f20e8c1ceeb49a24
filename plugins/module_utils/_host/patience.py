# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repeats requests, for a bounded time, to a load balancer that restarts, reloads or has no free session.

A request that only reads may always be repeated. A change may be repeated when it was certainly not carried out, or when carrying it out twice ends in
the same state; each caller says which.
"""

from __future__ import annotations

import random
import time
from typing import Callable, TypeVar

from .control_error import ControlError

# Longer than HAProxy keeps an idle session in one of its places (`stats timeout`, 10 s by default).
SECONDS = 20.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, PAUSE_GROWTH = 0.05, 1.0, 1.6

Answer = TypeVar("Answer")


class UnavailableError(ControlError):
    """A load balancer does not answer now; a retry may succeed.

    `may_be_done`: whether it may have carried out the request; `pause`: the seconds to wait that it requested.
    """

    def __init__(self, message: str, may_be_done: bool = True, pause: float = 0.0) -> None:
        super().__init__(message)
        self.may_be_done = may_be_done
        self.pause = pause


class Patience:
    """The time limit for repeated requests to one load balancer. After it ran out, each request is sent once, until one is answered.

    :param seconds: by default `SECONDS`; with 0 each request is sent once.
    """

    def __init__(self, seconds: float | None = None, steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 chance: Callable[[], float] = random.random) -> None:
        self._seconds = SECONDS if seconds is None else seconds
        self._steady, self._sleep, self._chance = steady, sleep, chance
        self._is_spent = False

    def call(self, attempt: Callable[[], Answer], may_repeat: bool = True) -> Answer:
        """What the attempt returns. Raises its last UnavailableError when there is no answer in time.

        :param may_repeat: whether a change that may have been carried out may be requested again.
        """
        give_up = self._steady() + (0.0 if self._is_spent else self._seconds)
        pause, attempts = FIRST_PAUSE_SECONDS, 0
        while True:
            attempts += 1
            try:
                answer = attempt()
            except UnavailableError as error:
                rest = give_up - self._steady()
                if error.may_be_done and not may_repeat:
                    raise
                if rest <= 0:
                    self._is_spent = True
                    if attempts > 1:
                        error.args = (f"{error} (asked {attempts} times in {self._seconds:g} s)",)
                    raise
                # Several that wait for the same load balancer come at different moments.
                self._sleep(min(max(pause * (0.5 + self._chance()), error.pause), rest))
                pause = min(LONGEST_PAUSE_SECONDS, pause * PAUSE_GROWTH)
            else:
                self._is_spent = False
                return answer
