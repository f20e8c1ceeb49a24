# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a module's process, or of its connection, as a failure like others: what is half done is put back."""

from __future__ import annotations

import signal


def unwind_when_ended(error: type[Exception]) -> None:
    """From now on SIGTERM and SIGHUP raise `error`, the first of them; those after it are ignored, so that the way back is not cut short."""
    numbers = (signal.SIGTERM, signal.SIGHUP)

    def unwind(received: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise error(f"ended by signal {received}")

    for number in numbers:
        signal.signal(number, unwind)
