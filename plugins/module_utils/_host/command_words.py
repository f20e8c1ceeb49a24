# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command line as a user gives it: a list of words, or a text. Pure."""

from __future__ import annotations

import shlex
from typing import Any


def words_of(command: Any, option: str, error: type[Exception] = ValueError) -> list[str]:
    """A command line as words: a list as it is, a text split as a shell would, without anything else that a shell does.

    :raises error: when it is neither, or its first word is empty; the message names *option*.
    """
    try:
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command or []]
    except (ValueError, TypeError) as wrong:
        raise error(f"{option} is {command!r}, which is no command line ({wrong}): give it as a list of words") from wrong
    if words and not words[0]:
        raise error(f"the first word of {option} is empty: name the program")
    return words
