# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that something else has written, read without trust: what is odd in it is one error in words, and never one that comes up later. Pure.

Python's own reader recurses as deep as the text nests, takes what is not JSON (NaN, Infinity), makes infinity of 1e999, and half characters of escapes.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# Deeper than any API's answer, and far from where Python gives up, whatever is done with it afterwards.
DEEPEST = 100
MOST_DIGITS = 100
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


class ForeignJsonError(ValueError):
    """The text is no JSON, or none that anything sensible writes; the message is the reason only."""


class NotJsonError(ForeignJsonError):
    """The text is no JSON at all."""


def parse(text: str | bytes) -> Any:
    """What the text says; raise ForeignJsonError."""
    try:
        content = text.decode("utf-8") if isinstance(text, bytes) else text
        found = json.loads(content, parse_constant=_refuse, parse_float=_finite, parse_int=_short)
    except RecursionError:
        raise ForeignJsonError(f"it nests deeper than {DEEPEST} levels") from None
    except ForeignJsonError:
        raise
    except ValueError as error:
        raise NotJsonError(f"it is not JSON ({error})") from None
    # No more brackets than that cannot nest deeper.
    if content.count("[") + content.count("{") > DEEPEST and _depth_exceeds(found, DEEPEST):
        raise ForeignJsonError(f"it nests deeper than {DEEPEST} levels")
    if _HALF_CHARACTER.search(content):
        _require_whole_characters(found)
    return found


def _refuse(name: str) -> None:
    raise NotJsonError(f"it is not JSON ({name} is no number)")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ForeignJsonError(f"the number {text[:40]} is too large")
    return number


def _short(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ForeignJsonError(f"a number has {len(text)} digits")
    return int(text)


def _depth_exceeds(found: Any, most: int) -> bool:
    """Level by level, not by recursion."""
    level = [found]
    for _depth in range(most + 1):
        level = [inner for value in level if isinstance(value, (dict, list)) for inner in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return False
    return True


def _require_whole_characters(found: Any) -> None:
    try:
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ForeignJsonError("it has half a character") from None
