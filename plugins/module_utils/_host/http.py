# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request over a new connection, in bounded time and with a bounded answer. Standard library only.

No proxy, no redirect and no retry comes between: what is returned is what this address answered.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple
from urllib.parse import SplitResult, urlsplit

from .credentials import shown_url

MAX_HEADER_LENGTH = 4096
USER_AGENT = "alwayson.upgrade"

_PRINTABLE_ASCII = re.compile(r"[!-~]+")


class HttpError(Exception):
    """There was no whole answer, or the request makes no sense; the message says so in words."""


class NoAnswerError(HttpError):
    """No complete answer was received; a retry may succeed. `is_sent`: whether the request may have arrived."""

    def __init__(self, message: str, is_sent: bool) -> None:
        super().__init__(message)
        self.is_sent = is_sent


class Request(NamedTuple):
    """What to ask: `headers` as {name: value}, `body` as bytes or None."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


class Limits(NamedTuple):
    """How long to wait for the whole answer (seconds), how much of its body to read, and whether to check certificates."""

    seconds: float
    body_bytes: int
    validate_certs: bool = True


class Answer(NamedTuple):
    """A whole answer: header names in lower case, the body as text, cut off when it is longer than allowed."""

    status: int
    headers: list[tuple[str, str]]
    body: str
    truncated: bool
    seconds: float


def require_url(url: str) -> SplitResult:
    """Split an http or https URL; raise HttpError when it is none."""
    if not _PRINTABLE_ASCII.fullmatch(url):
        raise HttpError(f"url {shown_url(url)!r} contains characters that a URL must have percent-encoded")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # The error may name a part of a password.
        raise HttpError(f"url {shown_url(url)!r} is no URL" + ("" if "@" in url else f": {error}")) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise HttpError(f"url {shown_url(url)!r} is no HTTP address: write http://host:port/path or https://host:port/path")
    if parts.username is not None:
        raise HttpError(f"url of {parts.hostname} contains a user name: send credentials in a header instead")
    return parts


def fetch(request: Request, limits: Limits, clock: Callable[[], float] = time.monotonic) -> Answer:
    """Send `request` and return the whole answer; raise HttpError when there is none within `limits.seconds`."""
    parts = require_url(request.url)
    connection = _connection(parts, limits)
    started, is_sent = clock(), False
    try:
        connection.connect()
        is_sent = True
        with _cut_after(connection.sock, started + limits.seconds - clock()) as cut:
            response = _exchange(connection, parts, request)
            body = response.read(limits.body_bytes + 1)
            # A read of so many bytes is silent about a connection that ended before them.
            if response.length and len(body) <= limits.body_bytes:
                raise http.client.IncompleteRead(body, response.length)
        if cut.is_set():
            raise NoAnswerError(f"no whole answer within {limits.seconds:g} s", is_sent)
    except (OSError, http.client.HTTPException, ValueError) as error:
        words = _in_words(error, limits.seconds, clock() - started)
        raise (NoAnswerError(words, is_sent) if _may_pass(error) else HttpError(words)) from error
    finally:
        connection.close()
    return Answer(
        status=response.status,
        headers=[(name.lower(), value[:MAX_HEADER_LENGTH]) for name, value in response.getheaders()],
        body=body[: limits.body_bytes].decode("utf-8", "replace"),
        truncated=len(body) > limits.body_bytes,
        seconds=clock() - started,
    )


def _connection(parts: SplitResult, limits: Limits) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=limits.seconds)
    context = ssl.create_default_context()
    if not limits.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, parts.port, timeout=limits.seconds, context=context)


def _exchange(connection: http.client.HTTPConnection, parts: SplitResult, request: Request) -> http.client.HTTPResponse:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": USER_AGENT, "Connection": "close", **request.headers}
    connection.request(request.method, target, body=request.body, headers=headers)
    return connection.getresponse()


@contextlib.contextmanager
def _cut_after(connected: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """Close the connection after `seconds`, however often a byte arrives. The event is set when that happened.

    A socket's timeout bounds a single read, and a complete answer takes many.
    """
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, seconds), cut)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _may_pass(error: Exception) -> bool:
    """Whether a retry may succeed: the connection was refused or has ended. An error of name resolution or of a certificate is permanent."""
    if isinstance(error, (socket.gaierror, ssl.SSLError)):
        return False
    return isinstance(error, (OSError, http.client.RemoteDisconnected, http.client.IncompleteRead))


def _in_words(error: Exception, limit: float, spent: float) -> str:
    if isinstance(error, socket.timeout) or spent >= limit:
        return f"no whole answer within {limit:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
        return "connection closed without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "connection closed in the middle of the answer"
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved ({error.strerror})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error.verify_message})"
    if isinstance(error, OSError):
        return f"no connection ({error.strerror or error})"
    return f"no valid HTTP exchange ({type(error).__name__}: {ascii(str(error))[:200]})"
