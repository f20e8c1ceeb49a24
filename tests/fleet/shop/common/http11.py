# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 as the shop needs it: what a request's head says, and what an answer looks like on the wire. Pure.

Keep-alive, bounded heads and bodies, and an error for whatever two parties could read in two ways: a front proxy and
this server must always agree on where a request ends.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 64 * 1024
MAX_HEADERS = 100
MAX_QUERY_FIELDS = 20

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DIGITS = re.compile(r"[0-9]{1,12}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class HttpError(Exception):
    """A request that is answered with an error; `headers` go with the answer."""

    def __init__(self, status: int, why: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = headers or {}


@dataclass(frozen=True)
class Request:
    """One request. Header names are in lower case; of a repeated query field the last value counts."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    keep_alive: bool
    body: bytes = b""

    @property
    def body_bytes(self) -> int:
        """The length that the head announces."""
        return int(self.headers.get("content-length", "0"))

    @property
    def awaits_continue(self) -> bool:
        """True when the client sends the body only after an interim answer 100."""
        return self.headers.get("expect", "").lower() == "100-continue"


@dataclass(frozen=True)
class Response:
    """An answer; `content` becomes its JSON body, which takes so many `seconds` to send."""

    status: int
    content: object
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def parse_head(head: bytes) -> Request:
    """Read a request's head, the empty line included; raise HttpError for anything that is not beyond doubt."""
    text = head.decode("latin-1")
    if not text.endswith("\r\n\r\n"):
        raise HttpError(400, "the request's head does not end with an empty line")
    # A server ignores an empty line before the request line (RFC 9112, 2.2).
    request_line, *lines = text[:-4].removeprefix("\r\n").split("\r\n")
    method, target, minor = _parse_request_line(request_line)
    headers = _parse_headers(lines)
    _require_plain_framing(headers, minor)
    path, query = _parse_target(target)
    return Request(method=method, path=path, query=query, headers=headers, keep_alive=_keeps_alive(headers, minor))


def _parse_request_line(line: str) -> tuple[str, str, int]:
    parts = line.split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not parts[1] or _CONTROL.search(line):
        raise HttpError(400, "malformed request line")
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise HttpError(505 if version.startswith("HTTP/") else 400, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    return method, target, int(version[-1])


def _parse_headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise HttpError(431, f"more than {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        # Space before the colon and folded lines are how requests are smuggled past a proxy (RFC 9112, 5.1 and 5.2).
        if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise HttpError(400, "malformed header")
        name, value = name.lower(), value.strip(" \t")
        if name in ("content-length", "host", "transfer-encoding") and name in headers:
            raise HttpError(400, f"header {name} is given twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _require_plain_framing(headers: dict[str, str], minor: int) -> None:
    """Refuse what this server does not read: transfer codings, strange lengths, unknown expectations, a missing host."""
    if "transfer-encoding" in headers:
        raise HttpError(501, "transfer codings are not supported: send a Content-Length")
    length = headers.get("content-length", "0")
    if not _DIGITS.fullmatch(length):
        raise HttpError(400, "malformed Content-Length")
    if int(length) > MAX_BODY_BYTES:
        raise HttpError(413, f"a body is at most {MAX_BODY_BYTES} bytes long")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise HttpError(417, "the only expectation met here is 100-continue")
    if minor == 1 and "host" not in headers:
        raise HttpError(400, "header host is missing")


def _parse_target(target: str) -> tuple[str, dict[str, str]]:
    try:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict"))
        path = unquote(parts.path, errors="strict")
    except ValueError as error:
        raise HttpError(400, "malformed request target") from error
    if not path.startswith("/"):
        raise HttpError(400, "malformed request target")
    return path, query


def _keeps_alive(headers: dict[str, str], minor: int) -> bool:
    options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
    if minor == 0:
        return "keep-alive" in options
    return "close" not in options


def render(response: Response, headers: dict[str, str], keep_alive: bool, with_body: bool = True) -> bytes:
    """The answer on the wire. Without a body (HEAD) the length is still that of the body."""
    body = json.dumps(response.content, separators=(",", ":")).encode() + b"\n"
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    everything = {
        "Date": formatdate(usegmt=True),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "keep-alive" if keep_alive else "close",
        **headers,
        **response.headers,
    }
    lines += [f"{name}: {value}" for name, value in everything.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body if with_body else b"")


def error_response(error: HttpError) -> Response:
    """An error as JSON: {"error": sentence}."""
    return Response(error.status, {"error": error.why}, error.headers)
