# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a JSON document in which some values are changed, and everything else stands as its author wrote it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_BLANKS = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class _Part(NamedTuple):
    """An entry of an object or a list, between two of its commas and brackets: blanks, its key with the colon, its value, and blanks again.

    `start` is where the value begins in the text. In a list `key` is None, and `label` empty.
    """

    key: str | None
    before: str
    label: str
    start: int
    value: str
    after: str


def with_values_of(text: str, document: Any) -> str:
    """The text, in JSON, with the values of `document`.

    What is the same in both stays as it is written, byte for byte; a key that is new stands last in its object, written as the one before it. So taking it
    away again brings the former text back.

    :raises ValueError: when the text is no JSON.
    """
    start = _blanks_end(text, 0)
    value, end = _merged(text, start, document)
    return text[:start] + value + text[end:]


def _merged(text: str, start: int, wanted: Any) -> tuple[str, int]:
    """The value that begins at `start`, changed to `wanted`, and where it ends now."""
    found, end = _DECODER.raw_decode(text, start)
    if type(found) is type(wanted):
        if found == wanted:
            return text[start:end], end
        if isinstance(found, dict):
            return _merged_object(text, start, wanted), end
        if isinstance(found, list) and len(found) == len(wanted):
            parts = [part._replace(value=_merged(text, part.start, value)[0]) for part, value in zip(_parts(text, start), wanted)]
            return f"[{_joined(parts)}]", end
    return json.dumps(wanted, ensure_ascii=False), end


def _merged_object(text: str, start: int, wanted: dict[str, Any]) -> str:
    found = list(_parts(text, start))
    # Of a key that is there more than once, the last one counts.
    last = {part.key: number for number, part in enumerate(found)}
    kept = [part._replace(value=_merged(text, part.start, wanted[part.key])[0]) if last[part.key] == number else part
            for number, part in enumerate(found) if part.key in wanted]
    first_blanks, last_blanks = (found[0].before, found[-1].after) if found else ("", text[start + 1:_blanks_end(text, start + 1)])
    for key in (key for key in wanted if key not in last):
        kept.append(_like(kept[-1] if kept else _Part("", "", '"": ', 0, "", ""), key, wanted[key]))
        kept[-2:-1] = [part._replace(after="") for part in kept[-2:-1]]
    if not kept:
        return f"{{{first_blanks}{last_blanks}}}"
    kept[0] = kept[0]._replace(before=first_blanks)
    kept[-1] = kept[-1]._replace(after=last_blanks)
    return f"{{{_joined(kept)}}}"


def _like(part: _Part, key: str, value: Any) -> _Part:
    """Another part of an object, with the blanks of this one."""
    colon = part.label[_DECODER.raw_decode(part.label)[1]:]
    between = part.before or (" " if colon.endswith(" ") else "")
    return part._replace(key=key, before=between, label=json.dumps(key, ensure_ascii=False) + colon, value=json.dumps(value, ensure_ascii=False))


def _joined(parts: list[_Part]) -> str:
    return ",".join(part.before + part.label + part.value + part.after for part in parts)


def _parts(text: str, start: int) -> Iterator[_Part]:
    """The parts of the object or the list that begins at `start`, which is known to be JSON."""
    is_object, at = text[start] == "{", start + 1
    if text[_blanks_end(text, at)] in "]}":
        return
    while True:
        begin = _blanks_end(text, at)
        key, value = None, begin
        if is_object:
            key, end = _DECODER.raw_decode(text, begin)
            value = _blanks_end(text, _blanks_end(text, end) + 1)
        _found, end = _DECODER.raw_decode(text, value)
        behind = _blanks_end(text, end)
        yield _Part(key, text[at:begin], text[begin:value], value, text[value:end], text[end:behind])
        if text[behind] != ",":
            return
        at = behind + 1


def _blanks_end(text: str, start: int) -> int:
    found = _BLANKS.match(text, start)
    return found.end() if found else start
