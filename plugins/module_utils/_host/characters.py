# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which characters have no place in a name or in a text that people are shown.

Not `str.isprintable`: what it refuses differs from one Python to the next, and it refuses spaces that are no ASCII ones, and scripts that are newer than it is.
"""

from __future__ import annotations

import re

# What a terminal may take for a command.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
# Those, what ends a line, turns the direction of others, and what is half a character.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def has_controls(text: str) -> bool:
    """Whether a control character is in the text."""
    return _CONTROLS.search(text) is not None


def is_shown(text: str) -> bool:
    """Whether people see all of the text, in the order in which it stands there."""
    return _UNSHOWN.search(text) is None
