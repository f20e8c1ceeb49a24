# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first Ctrl-C as a message, the second one as what it always was."""

from __future__ import annotations

import signal
import threading
from typing import Any, Callable


# Why the operator ended this run: strategies of later plays read it.
ended_by_operator: list[str] = []


class FirstInterrupt:
    """While this context is entered, the first SIGINT calls `tell`; every further one does what it did before.

    Only the main thread receives signals: elsewhere this does nothing.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._usual: Any = None

    def __enter__(self) -> FirstInterrupt:
        if threading.current_thread() is threading.main_thread():
            self._usual = signal.signal(signal.SIGINT, self._first)
        return self

    def __exit__(self, *error: object) -> None:
        if self._usual is not None:
            signal.signal(signal.SIGINT, self._usual)
            self._usual = None

    def _first(self, number: int, frame: object) -> None:
        self.__exit__()
        self._tell()
