# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a host's last upgrade took, kept on the host itself: the next roll starts with those that take longest."""

from __future__ import annotations

import math
import os

from .._host.small_files import SmallFileError, read_json

NAME = ".last_upgrade.json"
LARGEST = 4096


def read_seconds(root: str) -> float | None:
    """Seconds out of ``<root>/.last_upgrade.json``; None when there is no such file or it says nothing sensible, because it only decides an order."""
    try:
        seconds = read_json(os.path.join(root, NAME), limit=LARGEST)["seconds"]
    except (OSError, SmallFileError, KeyError, TypeError):
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds) or seconds < 0:
        return None
    return float(seconds)
