# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 as a client needs it, without any I/O: one request out, one answer in, byte by byte if need be.

Knows Content-Length, chunked bodies with trailers, bodies that end with the connection, interim answers,
and whether the connection may be used again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

MAX_HEAD = 65_536
MAX_KEPT_BODY = 65_536
USER_AGENT = "alwayson.upgrade-probe"

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_EXPIRED = re.compile(r";\s*(?:max-age=(?:0|-[0-9]+)\s*(?:;|$)|expires=[^;]*\b1970\b)", re.IGNORECASE)


class AnswerError(Exception):
    """What came is no HTTP answer; the message says why."""


class CookieJar:
    """The cookies of one logical client, which only ever talks to one target. `header` is ready to be sent, or empty."""

    def __init__(self) -> None:
        self._cookies: dict[str, str] = {}
        self.header = b""

    def remember(self, set_cookies: Sequence[str]) -> None:
        """Take over the Set-Cookie values of an answer."""
        for line in set_cookies:
            name, _equals, value = line.partition(";")[0].partition("=")
            if _EXPIRED.search(line):
                self._cookies.pop(name.strip(), None)
            else:
                self._cookies[name.strip()] = value.strip()
        pairs = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        self.header = f"Cookie: {pairs}\r\n".encode("latin-1") if pairs else b""


class RequestTemplate:
    """A request that is sent again and again, written once; only the cookies differ."""

    def __init__(self, method: str, path: str, authority: str, headers: Mapping[str, str], body: bytes) -> None:
        lines = {"Host": authority, "User-Agent": USER_AGENT, "Accept": "*/*"}
        if body or method in ("POST", "PUT", "PATCH"):
            lines["Content-Length"] = str(len(body))
        for name, value in headers.items():
            lines = {kept: text for kept, text in lines.items() if kept.lower() != name.lower()}
            lines[name] = value
        text = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._head = text.encode("latin-1")
        self._rest = b"\r\n" + body

    def render(self, cookies: bytes = b"") -> bytes:
        """The bytes to send."""
        return self._head + cookies + self._rest


class AnswerParser:
    """Reads one answer. feed() until it returns True; `status`, `headers` and `reusable` are then known.

    `headers` maps lower-case names to the last value of that name; Set-Cookie is in `set_cookies` instead.
    `body` holds the first 64 KiB when `keep_body` is set, and is empty otherwise.
    """

    __slots__ = ("_bodiless", "_buffer", "_keep", "_left", "_state", "body", "complete", "headers", "reusable", "set_cookies", "started", "status")

    def __init__(self, method: str = "GET", keep_body: bool = False) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.reusable = True
        self.body = b""
        self.started = False
        self.complete = False
        self._bodiless = method == "HEAD"
        self._keep = keep_body
        self._buffer = b""
        self._left = 0
        self._state = AnswerParser._read_head

    def feed(self, data: bytes) -> bool:
        """Take in more bytes; True when the answer is complete. Raise AnswerError when this is no HTTP answer."""
        self.started = True
        self._buffer = self._buffer + data if self._buffer else data
        while not self.complete and self._state(self):
            pass
        if self.complete and self._buffer:
            self.reusable = False
        return self.complete

    def end_of_stream(self) -> bool:
        """The peer has closed the connection in an orderly way; True when that is how this answer ends."""
        self.reusable = False
        if self._state is AnswerParser._read_until_close:
            self.complete = True
        return self.complete

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD or not b"HTTP/".startswith(self._buffer[:5]):
                raise AnswerError("the head of the answer is no HTTP, or has no end")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4:]
        match = _STATUS_LINE.fullmatch(lines[0])
        if match is None:
            raise AnswerError(f"not a status line: {lines[0][:80]!r}")
        self.status = int(match[2])
        self._read_fields(lines[1:])
        if self.status < 200 and self.status != 101:
            return True
        self._choose_body(http_1_0=match[1] == "0")
        return True

    def _read_fields(self, lines: Sequence[str]) -> None:
        self.headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise AnswerError(f"not a header: {line[:80]!r}")
            name, value = name.lower(), value.strip()
            if name == "set-cookie":
                self.set_cookies.append(value)
            elif name == "content-length" and self.headers.get(name, value) != value:
                raise AnswerError("two different Content-Length headers")
            else:
                self.headers[name] = value

    def _choose_body(self, http_1_0: bool) -> None:
        connection = self.headers.get("connection", "").lower()
        self.reusable = "keep-alive" in connection if http_1_0 else "close" not in connection
        if self._bodiless or self.status in (204, 304):
            self.complete = True
        elif self.status == 101:
            self.complete, self.reusable = True, False
        elif "transfer-encoding" in self.headers:
            self._expect_encoded_body()
        elif "content-length" in self.headers:
            self._expect_length(self.headers["content-length"])
        else:
            self._state = AnswerParser._read_until_close

    def _expect_encoded_body(self) -> None:
        chunked = self.headers["transfer-encoding"].lower().rpartition(",")[2].strip() == "chunked"
        self._state = AnswerParser._read_chunk_size if chunked else AnswerParser._read_until_close

    def _expect_length(self, length: str) -> None:
        if not _LENGTH.fullmatch(length):
            raise AnswerError(f"not a Content-Length: {length[:80]!r}")
        self._left = int(length)
        self._state = AnswerParser._read_counted
        self.complete = self._left == 0

    def _take(self) -> None:
        """Take what belongs to the body from the buffer, up to the bytes still expected."""
        part, self._buffer = self._buffer[: self._left], self._buffer[self._left:]
        self._left -= len(part)
        if self._keep and len(self.body) < MAX_KEPT_BODY:
            self.body += part[: MAX_KEPT_BODY - len(self.body)]

    def _read_counted(self) -> bool:
        self._take()
        self.complete = self._left == 0
        return self.complete

    def _read_until_close(self) -> bool:
        self._left = len(self._buffer)
        self._take()
        return False

    def _next_line(self) -> bytes | None:
        line, newline, rest = self._buffer.partition(b"\r\n")
        if not newline:
            if len(self._buffer) > MAX_HEAD:
                raise AnswerError("a line of a chunked body has no end")
            return None
        self._buffer = rest
        return line

    def _read_chunk_size(self) -> bool:
        line = self._next_line()
        if line is None:
            return False
        size = line.partition(b";")[0].strip()
        if not _HEX.fullmatch(size):
            raise AnswerError(f"not the size of a chunk: {line[:80]!r}")
        self._left = int(size, 16)
        self._state = AnswerParser._read_chunk if self._left else AnswerParser._read_trailer
        return True

    def _read_chunk(self) -> bool:
        self._take()
        if self._left:
            return False
        self._state = AnswerParser._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        line = self._next_line()
        if line:
            raise AnswerError("a chunk is longer than announced")
        if line is None:
            return False
        self._state = AnswerParser._read_chunk_size
        return True

    def _read_trailer(self) -> bool:
        line = self._next_line()
        self.complete = line == b""
        return line is not None
