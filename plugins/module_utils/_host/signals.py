# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a module's process, or of its connection, as a failure like others: what is half done is put back."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Callable

HANGING_UP = (signal.SIGTERM, signal.SIGHUP)


def unwind_when_ended(
    error: type[Exception],
    numbers: Sequence[signal.Signals] = HANGING_UP,
    said: Callable[[signal.Signals], str] = lambda number: f"ended by signal {int(number)}",
) -> None:
    """From now on the first of these signals raises `error` with what is said of it; those after it are ignored, so that the way back is not cut short."""

    def unwind(received: int, _frame: object) -> None:
        for number in numbers:
            # Not SIG_IGN: a program that another thread is just starting would inherit it, and could not be ended by a signal any more.
            signal.signal(number, lambda _number, _frame: None)
        raise error(said(signal.Signals(received)))

    for number in numbers:
        signal.signal(number, unwind)
