# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures that a running prober writes each second, for a reader that only watches."""

from __future__ import annotations

import json
import os
from typing import Any

from .._host.writers import open_own, other_writers

LIVE_FILE, RESULT_FILE = "live.json", "result.json"
MOST_BYTES = 4 << 20


class LiveFigures:
    """Looks into a prober's directory, at most once per `interval` seconds. What an earlier run left there is not shown.

    Nor are the figures of a directory in which other accounts may write: that prober counts as silent.
    """

    def __init__(self, since: float, interval: float = 1.0) -> None:
        self._since = since
        self._interval = interval
        self._looked_at = 0.0
        self._seen: tuple[Any, ...] = ()

    def newer(self, directory: str, now: float) -> dict[str, Any] | None:
        """The figures when they are others than the last time, with `ended` when the prober has written its result; else None."""
        if now - self._looked_at < self._interval:
            return None
        self._looked_at = now
        try:
            if other_writers(directory):
                return None
            path = os.path.join(directory, LIVE_FILE)
            found = os.lstat(path)
            ended = os.path.exists(os.path.join(directory, RESULT_FILE))
            if (found.st_mtime_ns, found.st_ino, ended) == self._seen or found.st_size > MOST_BYTES:
                return None
            with open_own(path) as handle:
                figures = json.loads(handle.read(MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        self._seen = (found.st_mtime_ns, found.st_ino, ended)
        if not isinstance(figures, dict) or not isinstance(figures.get("now"), (int, float)) or figures["now"] < self._since:
            return None
        return {**figures, "ended": ended}
