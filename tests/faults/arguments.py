# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watch on the arguments of all processes of this machine, which anybody on it can read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

PAUSE_S = 0.02


class ArgumentWatch:
    """Looks again and again while it is entered; `seen` are the arguments that held the word, `looks` how often it looked."""

    def __init__(self, word: str) -> None:
        self._word = word.encode()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seen: list[bytes] = []
        self.looks = 0

    def __enter__(self) -> ArgumentWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(PAUSE_S):
            self.looks += 1
            # Not by glob, which fails when a process ends between its look at the folder and the one at the file.
            for number in filter(str.isdecimal, os.listdir("/proc")):
                try:
                    arguments = Path("/proc", number, "cmdline").read_bytes()
                except OSError:
                    continue
                if self._word in arguments:
                    self.seen.append(arguments)
