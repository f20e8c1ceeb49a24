# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The map in which HAProxy looks up where a request goes: as the process has it, and as its file keeps it for the next reload.

Source: HAProxy's management guide, ``show map``, ``set map``, ``add map``, ``del map``. A map's file has a key and a value on each line.
"""

from __future__ import annotations

import os
import re
import shlex

from ...._host.config_file import cure_of, one_writer, replace_alike, text_of
from .pattern_files import Entry, entries_of_map, entry_of, lines_of, parse_files, parse_map
from .process import Process
from .words import readable

# What a key or a value may be made of.
_WORD = re.compile(r"[A-Za-z0-9_.:/@+-]+")
_UNKNOWN = "Unknown map identifier"


def kept_route(text: str, key: str) -> str | None:
    """The value of a key in a map's file; None when it is not there."""
    return entries_of_map(text).get(key)


def text_with(text: str, key: str, value: str | None) -> str:
    """A map's file with another value for a key, or without it; comments and all other lines stay as they are, and so does the look of the key's own line.

    Later lines of the same key, which never count, go.
    """
    lines = lines_of(text)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    entries = {number: entry for number, line in enumerate(lines) if (entry := entry_of(line)) and entry.key == key}
    first = min(entries, default=None)
    rest = [_with_value(line, entries[number], value) if number == first and value is not None else line
            for number, line in enumerate(lines) if number not in entries or (number == first and value is not None)]
    if first is None and value is not None:
        if rest and not rest[-1].endswith("\n"):
            rest[-1] += end
        rest.append(f"{key} {value}{end}")
    return "".join(rest)


def _with_value(line: str, entry: Entry, value: str) -> str:
    """The line with another value, which white space separates from the key."""
    before = line[:entry.start]
    return f"{before}{'' if before.endswith((' ', chr(9))) else ' '}{value}{line[entry.end:]}"


class HaproxyMap:
    """One map of one load balancer.

    :param runtime: the process that has it.
    :param name: its file as the configuration names it, or the last part of that when there is only one such.
    :param is_kept: whether its file is on this host, and is to say the same as the process.
    """

    def __init__(self, runtime: Process, name: str, is_kept: bool) -> None:
        self.name = runtime.name
        self._runtime = runtime
        self._is_kept = is_kept
        self._kept_before: tuple[str, str] | None = None
        self.path = self._found(name)
        if is_kept:
            self._require_file()

    def routes(self) -> dict[str, str]:
        """Where the process sends the requests of each key."""
        answer = self._runtime.ask_current(f"show map {self._runtime.word(self.path)}")
        if answer.startswith(_UNKNOWN):
            raise self._runtime.error(f"has lost its map {self.path}: was it reloaded with another configuration?")
        return parse_map(answer)

    def route(self, key: str) -> str | None:
        """The same of one key; None when the map has no such key."""
        return self.routes().get(key)

    def kept(self, key: str) -> str | None:
        """Where the file sends them, which is what a reload reads. What is not kept is taken for what the process has."""
        if not self._is_kept:
            return self.route(key)
        value = kept_route(self._text(), key)
        return None if value is None else readable(value)

    def set_route(self, key: str, value: str | None) -> None:
        """Send them elsewhere, at once. A key that is added must not be added twice: when there was no answer, the map is read before the next attempt."""
        self._require_words(key, value)
        line = self._runtime.patience.call(lambda: self._set_once(key, value))
        self._runtime.tell_old_workers(line)

    def _set_once(self, key: str, value: str | None) -> str:
        is_there = key in self.routes()
        line = self._line("set" if is_there else "add", key, value)
        if is_there or value is not None:
            self._runtime.carry_out_once([line])
        return line

    def keep(self, key: str, value: str | None) -> None:
        """Have the file say so, by one rename. Asked for what it said before, it is again what it was, byte for byte, unless others have changed it."""
        self._require_words(key, value)
        if not self._is_kept:
            return
        try:
            # Keys of other routes may be changed at the same time.
            with one_writer(self.path, self._runtime.error):
                text = self._text()
                before, written = self._kept_before or ("", None)
                after = before if text == written and kept_route(before, key) == value else text_with(text, key, value)
                if after != text:
                    self._kept_before = text, after
                    replace_alike(self.path, after)
        except OSError as error:
            raise self._runtime.error(f"keeps its map in {self.path}, which cannot be written here: {error.strerror}. {cure_of(error)}, "
                                      "or set persist=false, and a reload restores the route in the file") from error

    def command(self, key: str, value: str | None) -> str:
        """What a person types in a shell to do the same with a key that is there. Sends nothing: it is shown when the process may not answer."""
        return f"echo {shlex.quote(self._line('set', key, value))} | socat stdio {shlex.quote(self._runtime.socat_address())}"

    def _line(self, verb: str, key: str, value: str | None) -> str:
        path = self._runtime.word(self.path)
        return f"del map {path} {key}" if value is None else f"{verb} map {path} {key} {value}"

    def _require_words(self, key: str, value: str | None) -> None:
        for word in (key, *([] if value is None else [value])):
            if not _WORD.fullmatch(word):
                raise self._runtime.error(f"cannot have {word!r} in its map: letters, digits and any of . _ : / @ + - make a key or a value")

    def _found(self, name: str) -> str:
        """The map that the configuration names so, whole or by its last part; or by another path to the same file, such as one through a link."""
        paths = parse_files(self._runtime.ask("show map"))
        found = [path for path in paths if name in (path, os.path.basename(path))] or [path for path in paths if _is_same_file(path, name)]
        if len(found) != 1:
            what = f"has no map {name!r}" if not found else f"has {len(found)} maps {name!r}"
            raise self._runtime.error(f"{what}: it has {', '.join(paths) or 'none'}. Give the file as a map(FILE) in its configuration names it")
        return found[0]

    def _require_file(self) -> None:
        if not os.path.isabs(self.path):
            raise self._runtime.error(f"names its map {self.path}, which depends on the folder that it was started in: have the configuration name the whole "
                                      "path, or set persist=false, and a reload restores the route in the file")
        if not os.path.isfile(self.path):
            raise self._runtime.error(f"keeps its map in {self.path}, which is not on this host: run this on the load balancer itself, or set persist=false, "
                                      "and a reload restores the route in the file")

    def _text(self) -> str:
        try:
            return text_of(self.path)
        except (OSError, ValueError) as error:
            raise self._runtime.error(f"keeps its map in {self.path}, which cannot be read here: {error}") from error


def _is_same_file(path: str, name: str) -> bool:
    try:
        return os.path.isabs(path) and os.path.isabs(name) and os.path.samefile(path, name)
    except OSError:
        return False
