# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and lines of HAProxy's command line. Pure.

A blank or a tab ends a word, a ``;`` a command, a line feed the line; a backslash before one of the first three, or before another one, has it count as itself.
A last word that begins with ``<<`` announces lines that follow. The line has to fit into a buffer of the process. Source: HAProxy's management guide, "Unix
Socket commands", and ``tune.bufsize``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# HAProxy's buffer has 16384 bytes unless `tune.bufsize` says otherwise, and keeps some of them free.
LINE_BYTES = 8000
_SPECIAL = re.compile(r"[\\; \t]")
_IMPOSSIBLE = re.compile(r"[\x00\r\n]|^<<|^$")


def word(text: str) -> str:
    """The text as one word of a command.

    :raises ValueError: when it cannot be one; the message says so.
    """
    if _IMPOSSIBLE.search(text) or not _is_unicode(text):
        raise ValueError(f"{text!r} cannot be an argument of a HAProxy command")
    return _SPECIAL.sub(r"\\\g<0>", text)


def lines_of(commands: Iterable[str]) -> list[list[str]]:
    """The commands in their order, by the lines that they are sent in: as few as fit."""
    lines: list[list[str]] = []
    room = 0
    for command in commands:
        size = len(command.encode("utf-8")) + 1
        if size > room:
            lines.append([])
            room = LINE_BYTES
        lines[-1].append(command)
        room -= size
    return lines


def readable(text: str) -> str:
    """The text for people, and for the result of a module, which may have no surrogates: what is no UTF-8 is shown as such."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def first_answer(answer: str) -> tuple[str, str]:
    """What the first command of a line is answered, and the rest: an empty line ends the first, which is all of it when it has nothing to say."""
    if answer.startswith("\n"):
        return "", answer[1:]
    first, _end, rest = answer.partition("\n\n")
    return f"{first}\n", rest


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\ufffd" not in text
