# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal in which nothing can be changed, removed or inserted unnoticed: every line carries the hash of the line before. Pure.

An entry is one line of JSON, ``{"seq": 1, "at": 1772719331.25, "event": ..., "prev": ..., "hash": ...}``. ``hash`` is the SHA-256 of the canonical JSON
of the entry without it (keys sorted, no spaces, ASCII), ``prev`` the hash of the entry before. The chain does not reveal when its newest entries are cut
off; a reader who kept the head, ``(seq, hash)``, elsewhere can.

A last line without its end is *torn*: its writer was killed. The journal continues after it with an entry that names the fragment's hash. The same
fragment with a line end, and nothing that goes on after it, was edited.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...module_utils._host.foreign_json import ForeignJsonError, parse

BEFORE_THE_FIRST = "0" * 64
PASSED = "goes_on_after_torn_line"
CONTRADICTED = "contradicts_a_head_that_was_kept"
_RESERVED = ("seq", "at", "prev", "hash")


class Head(NamedTuple):
    """The newest entry: its number, 0 before the first one, and its hash."""

    seq: int = 0
    hash: str = BEFORE_THE_FIRST


@dataclass(frozen=True)
class Reading:
    """What a journal holds. ``problem`` is the first thing wrong with it, in a sentence that names the line; ``torn`` is a last line without its end."""

    entries: tuple[dict[str, Any], ...]
    head: Head
    problem: str = ""
    torn: bytes = b""
    unended: bool = False

    @property
    def begins_with(self) -> bytes:
        """What to write before the next entry, so that it begins a new line."""
        return b"\n" if self.torn or self.unended else b""


def head_text(head: Head, path: str, first: str = "") -> str:
    """The head of the journal at `path`, as it is kept with the lock of a fleet: a line of JSON in which the path is a checksum.

    `first` is the hash of the journal's first entry, which distinguishes it from another journal at the same path.
    """
    return json.dumps({**head._asdict(), "journal": _name_of(path), **({"first": first} if first else {})}, sort_keys=True)


def first_of(content: bytes) -> str:
    """The hash of the first entry, which stays the same as long as the journal is the same one; empty when there is none."""
    entries = read(content.partition(b"\n")[0] + b"\n").entries
    return entries[0]["hash"] if entries else ""


def is_another(content: bytes, kept: str) -> bool:
    """Whether the journal is not the one of which this head was kept, cut or not, but one that was begun since: a CI runner empties its folder."""
    found, first = _parsed(kept), first_of(content)
    return bool(first) and isinstance(found, Mapping) and isinstance(found.get("first"), str) and found["first"] != first


def contradiction(content: bytes, path: str, kept: Iterable[str]) -> tuple[str, int]:
    """Why the journal at `path` is not the one whose newest head was kept, in a sentence, and which of the `kept` texts says so, oldest first.

    The sentence is empty when it is, and when nothing was kept of a journal at that path.
    """
    heads = [(number, found) for number, found in enumerate(map(_parsed, kept)) if isinstance(found, Mapping) and found.get("journal") == _name_of(path)]
    number, newest = heads[-1] if heads else (0, None)
    head = head_from(newest)
    return (missing_from(read(content), head) if head else ""), number


def _name_of(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _parsed(text: str) -> Any:
    try:
        return parse(text)
    except ForeignJsonError:
        return None


def head_from(content: Any) -> Head | None:
    """The head in what was kept of a journal, as JSON gives it; None when it holds none."""
    if not isinstance(content, Mapping):
        return None
    number, checksum = content.get("seq"), content.get("hash")
    return Head(number, checksum) if isinstance(number, int) and not isinstance(number, bool) and isinstance(checksum, str) else None


def next_line(event: Mapping[str, Any], at: float, head: Head) -> tuple[bytes, Head]:
    """The line of the entry that follows *head*, with its end, and the head that it makes.

    :raises ValueError: when the event uses a name that belongs to the chain.
    """
    used = sorted(set(event) & set(_RESERVED))
    if used:
        raise ValueError(f"a journal entry cannot carry {', '.join(used)}: these names belong to the chain")
    entry = {"seq": head.seq + 1, "at": round(float(at), 3), **{str(name): _plain(value) for name, value in event.items()}, "prev": head.hash}
    entry["hash"] = hash_of(entry)
    return _written(entry) + b"\n", Head(entry["seq"], entry["hash"])


def passing(reading: Reading) -> dict[str, Any]:
    """The event that must follow a torn line."""
    return {"event": PASSED, "bytes": len(reading.torn), "sha256": hashlib.sha256(reading.torn).hexdigest()}


def hash_of(entry: Mapping[str, Any]) -> str:
    """The hash of an entry, with or without its ``hash``."""
    canonical = json.dumps({name: value for name, value in entry.items() if name != "hash"}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def read(content: bytes) -> Reading:
    """Read a whole journal and check its chain up to the first problem."""
    *lines, last = content.split(b"\n")
    entries: list[dict[str, Any]] = []
    head, torn, trouble = Head(), b"", ""
    for number, line in enumerate(lines, start=1):
        entry, problem = _checked(line, head, number)
        if entry is None and _may_be_torn(line, head):
            torn, trouble = (torn + b"\n" + line if trouble else line), trouble or problem
            continue
        if entry is None or (trouble and not _passes(entry, torn)):
            return Reading(tuple(entries), head, trouble or problem)
        entries.append(entry)
        head, torn, trouble = Head(entry["seq"], entry["hash"]), b"", ""
    return _read_last(entries, head, (torn, trouble), last, len(lines) + 1)


def _read_last(entries: list[dict[str, Any]], head: Head, before: tuple[bytes, str], last: bytes, number: int) -> Reading:
    """The part behind the last line end: nothing, a whole entry, or a torn one; *before* is a torn line that nothing has gone on after yet."""
    torn, trouble = before
    if not last:
        return Reading(tuple(entries), head, trouble)
    entry, problem = _checked(last, head, number)
    if entry is not None and (not trouble or _passes(entry, torn)):
        return Reading((*entries, entry), Head(entry["seq"], entry["hash"]), unended=True)
    if entry is None and _may_be_torn(last, head):
        return Reading(tuple(entries), head, torn=torn + b"\n" + last if trouble else last)
    return Reading(tuple(entries), head, trouble or problem)


def journal_problem(content: bytes, kept: Head | None = None) -> str:
    """The first problem of a journal in a sentence, empty when there is none. A torn last line is no problem.

    :param kept: a head that was kept elsewhere; the journal must hold it.
    """
    reading = read(content)
    return reading.problem or (missing_from(reading, kept) if kept else "")


def missing_from(reading: Reading, kept: Head) -> str:
    """Why a journal cannot be the one whose head was kept, in a sentence; empty when it may be."""
    if kept == Head():
        return ""
    if kept.seq > reading.head.seq:
        return f"the journal ends with entry {reading.head.seq}, but entry {kept.seq} was kept elsewhere: its newest entries were cut off"
    if not any(entry["seq"] == kept.seq and entry["hash"] == kept.hash for entry in reading.entries):
        return f"entry {kept.seq} is not the one whose hash was kept elsewhere: the journal was rewritten"
    return ""


def _checked(line: bytes, head: Head, number: int) -> tuple[dict[str, Any] | None, str]:
    """The entry of a line when it is the one that follows *head*, and what is wrong otherwise."""
    try:
        entry = json.loads(line)
        whole = isinstance(entry, dict) and isinstance(entry.get("seq"), int) and "prev" in entry and _written(entry) == line
    except (ValueError, RecursionError):
        return None, f"line {number} is no entry of a journal"
    if not whole:
        return None, f"line {number} is not as it was written"
    if entry.get("hash") != hash_of(entry):
        return None, f"line {number} was changed: its hash does not match what it says"
    if entry["seq"] != head.seq + 1 or entry["prev"] != head.hash:
        return None, f"line {number} does not follow the line before: entries were removed, inserted or moved"
    return entry, ""


def _may_be_torn(line: bytes, head: Head) -> bool:
    """Whether a line is the beginning of the next entry and no more, perhaps with the zeros that a crashed disk leaves."""
    kept = line.rstrip(b"\0")
    try:
        json.JSONDecoder().raw_decode(kept.decode("ascii"))
        return False
    except (ValueError, RecursionError):
        beginning = b'{"seq":%d,"at":' % (head.seq + 1)
        return kept.isascii() and kept[:len(beginning)] == beginning[:len(kept)]


def _passes(entry: Mapping[str, Any], torn_line: bytes) -> bool:
    return entry.get("event") == PASSED and entry.get("sha256") == hashlib.sha256(torn_line).hexdigest()


def _written(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode("ascii")


def _plain(value: Any) -> Any:
    """The value as what JSON knows; everything else as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else str(value)
    return str(value)
