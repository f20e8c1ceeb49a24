# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``synchronous_standby_names``: for whom a commit waits, and whether it does so every time.

Source: PostgreSQL's documentation of that setting.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r'\s*("(?:[^"]|"")*"|[(),]|[^\s(),"]+)')
_NUMBERED = re.compile(r"\s*(?:(?:FIRST|ANY)\s+)?(?P<number>\d+)\s*\((?P<names>.*)\)\s*$", re.IGNORECASE | re.DOTALL)
EVERYBODY = "*"


def waits_for(setting: str) -> tuple[int, list[str]]:
    """For how many of which names a commit waits, these in lower case, as they are compared; (0, []) when it waits for no standby."""
    numbered = _NUMBERED.match(setting)
    number, listed = (int(numbered["number"]), numbered["names"]) if numbered else (1, setting)
    words = [token for token in _TOKEN.findall(listed) if token != ","]
    names = list(dict.fromkeys(word[1:-1].replace('""', '"').lower() if word.startswith('"') else word.lower() for word in words))
    return (number, names) if names else (0, [])


def always_waits_for(setting: str, name: str) -> bool:
    """Whether no commit is acknowledged that this standby, or receiver, does not have on its disk.

    False when other standbys are enough, because they may have acknowledged instead. False for ``*``, which may be any standby.
    """
    number, names = waits_for(setting)
    return name.lower() in names and EVERYBODY not in names and number >= len(names)
