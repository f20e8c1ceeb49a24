# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load balancer's file said of members before they were taken out, kept beside it, so that every run brings them back as they were.

Callers hold the lock of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._host.config_file import ConfigFile
from .._host.small_files import READABLE, SmallFileError, read_json, replace

PURPOSE = "before"
MOST_BYTES = 4 * 1024 * 1024
# For what the file said nothing of.
ABSENT = None


class FormerStates:
    """Of the members in one file: a weight or a status each, `ABSENT` where there was none."""

    def __init__(self, file: ConfigFile) -> None:
        self._path = file.hidden(PURPOSE)

    def read(self, backend: str) -> dict[str, Any]:
        """By member; those that were never taken out are not in it."""
        found = self._content().get(backend)
        return found if isinstance(found, dict) else {}

    def keep(self, backend: str, states: Mapping[str, Any]) -> None:
        """These members are taken out now."""
        known = self.read(backend)
        if any(name not in known or known[name] != state for name, state in states.items()):
            content = {**self._content(), backend: {**known, **states}}
            replace(self._path, json.dumps(content).encode("utf-8"), READABLE)

    def _content(self) -> dict[str, Any]:
        try:
            found = read_json(self._path, MOST_BYTES)
        except (OSError, SmallFileError):
            return {}
        return found if isinstance(found, dict) else {}


def put_back(entry: dict[str, Any], key: str, state: Any) -> None:
    """Have an entry of the file say of a member what it said before."""
    if state is ABSENT:
        entry.pop(key, None)
    else:
        entry[key] = state
