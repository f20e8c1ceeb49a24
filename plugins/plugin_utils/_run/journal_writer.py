# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the journal of a run: entries wait until it is known where, a broken chain is set aside, and trouble becomes a sentence, never an error.

The files themselves are given from outside, so that all of this can be tried without a disk, and with a full one.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any, Protocol

from .journal import CONTRADICTED, Head, Reading, head_from, missing_from, next_line, passing, read

FILE, HEAD_FILE = "journal.jsonl", "journal.head"
MOST_WAITING = 10_000


class JournalFile(Protocol):
    """What the writer needs of a file; see ``plugin_utils/_controller/append_only.py``."""

    path: str

    def locked(self) -> AbstractContextManager[None]: ...
    def unseen(self) -> bytes | None: ...
    def append(self, line: bytes) -> None: ...
    def set_aside(self, path: str) -> None: ...
    def keep(self, content: dict[str, Any]) -> None: ...
    def kept(self, beside: str) -> list[Any]: ...
    def warning_of_strangers(self, content: str) -> str: ...


class JournalWriter:
    """Call ``opens`` once the directory is known; ``adds`` before and after. Both return warnings for the user.

    :param file_at: makes the journal file of a path.
    :param put: replaces a small file, ``put(path, content)``.
    """

    def __init__(self, file_at: Callable[[str], JournalFile], put: Callable[[str, bytes], None]) -> None:
        self._file_at, self._put = file_at, put
        self._file: JournalFile | None = None
        self._waiting: list[tuple[dict[str, Any], float]] = []
        self._head = Head()
        self._prefix = b""
        self._in_trouble = False
        self._dropped = 0

    @property
    def directory(self) -> str:
        """Where the journal is kept; empty while that is unknown."""
        return os.path.dirname(self._file.path) if self._file else ""

    def opens(self, directory: str, at: float) -> list[str]:
        """From *at* on the journal is kept in this directory; what was added so far goes there too."""
        if self._file is None:
            self._file = self._file_at(os.path.join(directory, FILE))
        return [*self._write(at), *self._strangers()]

    def adds(self, event: Mapping[str, Any], at: float) -> list[str]:
        """Keep an event, on disk when this returns unless the returned sentences say otherwise."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((dict(event), at))
        else:
            self._dropped += 1
        return self._write(at) if self._file is not None else []

    def ends(self) -> list[str]:
        """The last word on what could not be kept."""
        lost = len(self._waiting) + self._dropped
        return [f"{lost} entries of this run are not in the journal {self._file.path}"] if self._file is not None and lost else []

    @property
    def _opened(self) -> JournalFile:
        if self._file is None:
            raise ValueError("the journal is written to before it is known where it is")
        return self._file

    def _write(self, now: float) -> list[str]:
        sentences: list[str] = []
        try:
            with self._opened.locked():
                sentences += self._catch_up(now)
                while self._waiting:
                    self._append(*self._waiting[0])
                    self._waiting.pop(0)
                # Before the journal is read by others: it contains every head that is older than itself, and no newer one.
                self._put(os.path.join(self.directory, HEAD_FILE), json.dumps(self._head._asdict()).encode("ascii") + b"\n")
                self._opened.keep(self._head._asdict())
        except OSError as error:
            return sentences + self._trouble(error)
        if self._in_trouble:
            self._in_trouble = False
            sentences.append(f"the journal {self._opened.path} is complete again, with every entry")
        return sentences

    def _strangers(self) -> list[str]:
        try:
            warning = self._opened.warning_of_strangers("the journal, the plan and the reports")
        except OSError:
            return []
        return [warning] if warning else []

    def _trouble(self, error: OSError) -> list[str]:
        if self._in_trouble:
            return []
        self._in_trouble = True
        return [f"the journal {self._opened.path} cannot be written: {error.strerror or error}; the run continues without it, and each new entry tries again"]

    def _catch_up(self, now: float) -> list[str]:
        """Read what this writer has not written itself, at first or since another run wrote to it."""
        content = self._opened.unseen()
        if content is None:
            return []
        reading = read(content)
        if reading.problem:
            return self._begin_anew(reading.problem, now)
        self._head, self._prefix = reading.head, reading.begins_with
        sentences = []
        if reading.torn:
            self._append(passing(reading), now)
            sentences.append(
                f"the last line of the journal {self._opened.path} is torn, because its run was killed while writing. The journal continues after it")
        return sentences + self._compare(reading, now)

    def _compare(self, reading: Reading, now: float) -> list[str]:
        """Whether the journal still holds what was kept of it. If not, it goes on from an entry that says so: what is there is not lost."""
        heads = filter(None, map(head_from, self._opened.kept(HEAD_FILE)))
        problem = next(filter(None, (missing_from(reading, head) for head in heads)), "")
        if not problem:
            return []
        self._append({"event": CONTRADICTED, "why": problem}, now)
        return [f"the journal {self._opened.path} is not the one that the run before left: {problem}"]

    def _begin_anew(self, problem: str, now: float) -> list[str]:
        kept = self._set_aside(now)
        self._opened.unseen()
        self._head, self._prefix = Head(), b""
        self._append({"event": "journal_begins_anew", "why": problem, "kept": os.path.basename(kept)}, now)
        return [f"the journal's chain is broken: {problem}. It is kept as {kept}, and a new journal begins"]

    def _set_aside(self, now: float) -> str:
        stamp = datetime.fromtimestamp(now, tz=timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        for number in range(1, 100):
            path = os.path.join(self.directory, f"journal.broken-{stamp}{'' if number == 1 else f'-{number}'}.jsonl")
            try:
                self._opened.set_aside(path)
                return path
            except FileExistsError:
                continue
        raise FileExistsError(f"{path} and others before it are there already")

    def _append(self, event: Mapping[str, Any], at: float) -> None:
        line, head = next_line(event, at, self._head)
        self._opened.append(self._prefix + line)
        self._head, self._prefix = head, b""
