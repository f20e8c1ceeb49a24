# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time as an argument, so that tests need no time."""

from __future__ import annotations

import random
import time
from typing import Callable, NamedTuple


class Clock(NamedTuple):
    """Time, in seconds: a steady clock, the wall's (epoch), a sleep, and a random number from 0 to 1."""

    steady: Callable[[], float] = time.monotonic
    epoch: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
