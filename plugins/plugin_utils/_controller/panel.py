# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A panel at the bottom of a terminal that is drawn again in place, below everything else that is written.

The terminal is put into no special mode between two writes, so there is nothing to restore: also after kill -9 it works as before, and every line that
was written above the panel is in the terminal's own history. What is written to sys.stdout or sys.stderr meanwhile appears above the panel.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import sys
import termios
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
# Within one write: the cursor hidden, and no line of the panel that goes on on the next.
_HIDE, _SHOW, _CUT, _WRAP = "\x1b[?25l", "\x1b[?25h", "\x1b[?7l", "\x1b[?7h"
_CLEAR_REST, _CLEAR_LINE, _CLEAR_ALL = "\x1b[J", "\x1b[K", "\x1b[H\x1b[2J"
REMEMBERED_LINES = 200
UNKNOWN_SIZE = (80, 24)


class Panel:
    """The panel on the terminal behind the file descriptor `fd`; call `open` first and `close` at the end. Every method may be called from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.RLock()
        self._lines: list[str] = []
        self._drawn = 0
        self._size = (0, 0)
        self._typed = 0
        self._all_ours = False
        self._above: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self._streams: list[tuple[str, Any, Any]] = []
        self.lost = False

    @property
    def is_open(self) -> bool:
        """Whether what is written to the terminal goes above the panel."""
        return bool(self._streams)

    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal, those of an old one when it does not say."""
        try:
            columns, lines = os.get_terminal_size(self._fd)
        except OSError:
            return UNKNOWN_SIZE
        return (columns, lines) if columns > 0 and lines > 0 else UNKNOWN_SIZE

    def open(self) -> None:
        """From now on sys.stdout and sys.stderr, as far as they are this terminal, write above the panel."""
        with self._lock:
            if self.is_open:
                return
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if self._is_ours(stream):
                    stream.flush()
                    proxy = _Above(self, stream)
                    setattr(sys, name, proxy)
                    self._streams.append((name, stream, proxy))
            self._size = self.size()
            self._typed = self._typed_ahead()

    def close(self, *, keep: bool) -> None:
        """Give the streams back; the panel's last lines stay where they are, or go."""
        with self._lock:
            for name, stream, proxy in self._streams:
                proxy.flush_rest()
                if getattr(sys, name) is proxy:
                    setattr(sys, name, stream)
            if not keep and self._drawn:
                self._write(f"\r\x1b[{self._drawn}A{_CLEAR_REST}")
            self._streams, self._lines, self._drawn = [], [], 0

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, which must not be wider than the terminal, in the place of those before."""
        with self._lock:
            if not self.is_open:
                return
            self._lines = list(lines)
            self._redraw("")

    def write_above(self, text: str) -> None:
        """Write whole lines above the panel."""
        with self._lock:
            self._redraw(text.replace("\n", "\r\n"))
            self._above.extend(text.rstrip("\n").split("\n"))

    def _redraw(self, text: str) -> None:
        size, typed = self.size(), self._typed_ahead()
        begin = "\r" + (f"\x1b[{self._drawn}A" if self._drawn else "") + _CLEAR_REST
        if (size, typed) != (self._size, self._typed):
            self._size, self._typed = size, typed
            begin = self._anew(size)
        lines = self._lines[: max(1, size[1] - 1)]
        self._drawn = len(lines)
        self._write(_HIDE + begin + text + _CUT + "".join(f"{_CLEAR_LINE}{line}\r\n" for line in lines) + _WRAP + _CLEAR_REST + _SHOW)

    def _anew(self, size: tuple[int, int]) -> str:
        """Lines may have been wrapped, or moved by a line end that was typed. Where they are now is unknown, so all are written again.

        The first time, what others have left on the terminal is moved into its history; later there is nothing but what is written again.
        """
        push = "" if self._all_ours else f"\x1b[{size[1]};1H" + "\r\n" * size[1]
        self._all_ours = True
        return push + _CLEAR_ALL + "".join(f"{line}\r\n" for line in self._last_above(size))

    def _last_above(self, size: tuple[int, int]) -> list[str]:
        """The newest lines from above that fit on the terminal with the panel."""
        columns, room = size[0], size[1] - 1 - len(self._lines)
        shown: list[str] = []
        for line in reversed(self._above):
            room -= max(1, -(-len(_ESCAPE.sub("", line)) // max(1, columns)))
            if room < 0:
                break
            shown.insert(0, line)
        return shown

    def _write(self, text: str) -> None:
        """Write to the terminal. When the terminal is closed, output is dropped, and the run continues."""
        data = text.encode("utf-8", "replace")
        while data and not self.lost:
            data = data[self._written(data):]

    def _written(self, data: bytes) -> int:
        """How many bytes the terminal has taken, without waiting for more."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            select.select([], [self._fd], [], 1.0)
        except OSError:
            self.lost = True
        return 0

    def _typed_ahead(self) -> int:
        """How many bytes of finished lines were typed and not read: a line end that was typed has moved the panel."""
        try:
            if not os.isatty(0):
                return 0
            return struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, b"\0\0\0\0"))[0]
        except OSError:
            return 0

    def _is_ours(self, stream: Any) -> bool:
        try:
            return stream.isatty() and os.ttyname(stream.fileno()) == os.ttyname(self._fd)
        except (OSError, ValueError, AttributeError):
            return False


class _Above:
    """Stands in for a text stream: whole lines go above the panel, everything else is the stream's."""

    def __init__(self, panel: Panel, stream: Any) -> None:
        self._panel = panel
        self._stream = stream
        self._pid = os.getpid()
        self._rest = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if os.getpid() != self._pid:
            # A fork of this process: its locks may never be given back, and its output is not for this terminal's panel.
            return self._stream.write(text)
        whole, end, rest = (self._rest + text).rpartition("\n")
        self._rest = rest
        if end:
            self._panel.write_above(whole + end)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Whole lines are out already."""

    def flush_rest(self) -> None:
        """Write what was left without a line end."""
        if self._rest:
            self._panel.write_above(self._rest + "\n")
            self._rest = ""
