# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prober's users: logical clients with their connections and cookies, on asyncio.Protocol. They never retry.

Like a browser, a client opens another connection when its connections are busy. So a request is sent at its time, and
a slow answer delays only its own request.
"""

from __future__ import annotations

import asyncio
import errno
import re
import ssl
from typing import Any, Protocol, cast

from . import record as outcomes
from .answer import expectation_of
from .http11 import AnswerError, AnswerParser, CookieJar, RequestTemplate
from .plan import MixEntry, Plan, Seat, Target

MAX_IDLE_CONNECTIONS = 6
# For a name with several addresses, asyncio reports the errors only as text.
_ERRNO = re.compile(r"\[Errno (\d+)\]")
# This machine has nothing left to send with: the service cannot be blamed for that.
_OWN_FAULTS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}


class Exchange:
    """One request on its way: `deadline` in seconds since the start; `ended` as soon as it has an outcome.

    `stalled_before`: the seconds for which the prober itself had stood still when it was sent.
    """

    __slots__ = ("carrier", "client", "deadline", "ended", "index", "newest_seen", "parser", "stalled_before")

    def __init__(self, index: int, deadline: float, client: Client, stalled_before: float = 0.0) -> None:
        self.index = index
        self.deadline = deadline
        self.stalled_before = stalled_before
        self.client = client
        self.parser = AnswerParser(client.entry.method, client.keeps_body)
        self.newest_seen = client.newest_seen
        self.ended = False
        self.carrier: Connection | asyncio.Task[None] | None = None


class Listener(Protocol):
    """Receives the outcome of each exchange, once for each."""

    def answered(self, exchange: Exchange) -> None:
        """The answer is complete, in the exchange's parser."""

    def failed(self, exchange: Exchange, outcome: int) -> None:
        """There was no whole answer."""


class Client:
    """One logical client: it keeps to one target and one kind of request. `newest_seen` is the newest release that answered it."""

    def __init__(self, seat: Seat, plan: Plan, listener: Listener, tls: ssl.SSLContext | None) -> None:
        self.seat = seat
        self.entry: MixEntry = plan.mix[seat.entry]
        self.target: Target = plan.target_of(seat)
        self.expectation = expectation_of(self.entry.kind, self.entry.headers, self.entry.contains, self.entry.expect)
        self.keeps_body = plan.version_key is not None or (self.expectation is not None and self.expectation.needs_body)
        self.newest_seen: tuple[Any, ...] | None = None
        self.listener = listener
        self.idle: list[Connection] = []
        self._cookies = CookieJar() if self.entry.kind == "sticky" else None
        self._reuses = self.entry.kind != "new"
        self._tls = tls if self.target.tls else None
        self._server_name = _server_name(self.target, plan) if self._tls else None
        self._template = _template(self.entry, self.target, plan)

    def send(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        """Send over an idle connection, or over a new one."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing():
                connection.carry(exchange)
                return
        exchange.carrier = loop.create_task(self._connect(exchange, loop))

    def request(self) -> bytes:
        """The bytes of the next request."""
        return self._template.render(self._cookies.header if self._cookies else b"")

    def answered(self, exchange: Exchange, connection: Connection) -> None:
        """Keep the cookies, and the connection if it may be used again."""
        if self._cookies and exchange.parser.set_cookies:
            self._cookies.remember(exchange.parser.set_cookies)
        if self._reuses and exchange.parser.reusable and len(self.idle) < MAX_IDLE_CONNECTIONS:
            self.idle.append(connection)
        else:
            connection.transport.close()
        self.listener.answered(exchange)

    def close(self) -> None:
        """Close what is idle."""
        for connection in self.idle:
            connection.transport.close()

    async def _connect(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await loop.create_connection(
                lambda: Connection(self, exchange),
                self.target.host,
                self.target.port,
                ssl=self._tls,
                server_hostname=self._server_name,
            )
        except OSError as error:
            if not exchange.ended:
                self.listener.failed(exchange, outcome_of_connect(error))


class Connection(asyncio.Protocol):
    """One TCP connection of a client. It carries one request at a time."""

    __slots__ = ("client", "exchange", "reused", "transport")

    # There from connection_made on, before which nothing else is called.
    transport: asyncio.Transport

    def __init__(self, client: Client, exchange: Exchange) -> None:
        self.client = client
        self.exchange: Exchange | None = exchange
        self.reused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what the connection was opened for, unless its time is over."""
        self.transport = cast(asyncio.Transport, transport)
        exchange = self.exchange
        if exchange is None or exchange.ended:
            self.transport.abort()
        else:
            self.carry(exchange)

    def carry(self, exchange: Exchange) -> None:
        """Send the request of this exchange now."""
        self.exchange = exchange
        exchange.carrier = self
        self.transport.write(self.client.request())

    def data_received(self, data: bytes) -> None:
        """Read the answer. Bytes without a pending request abort the connection."""
        exchange = self.exchange
        if exchange is None or exchange.ended:
            self.transport.abort()
            return
        try:
            complete = exchange.parser.feed(data)
        except AnswerError:
            self._fail(exchange, outcomes.MALFORMED)
            return
        if complete:
            self._finish(exchange)

    def connection_lost(self, exc: Exception | None) -> None:
        """Set the outcome of the request under way, if there is one."""
        if self in self.client.idle:
            self.client.idle.remove(self)
        exchange = self.exchange
        if exchange is None or exchange.ended:
            return
        if exc is None and exchange.parser.end_of_stream():
            self._finish(exchange)
        elif exchange.parser.started:
            self._fail(exchange, outcomes.TRUNCATED)
        else:
            self._fail(exchange, outcomes.RESET_ON_REUSED if self.reused else outcomes.RESET_NEW)

    def _finish(self, exchange: Exchange) -> None:
        self.exchange = None
        self.reused = True
        self.client.answered(exchange, self)

    def _fail(self, exchange: Exchange, outcome: int) -> None:
        self.exchange = None
        self.transport.abort()
        self.client.listener.failed(exchange, outcome)


def give_up(exchange: Exchange) -> None:
    """Drop the connection, or the attempt to get one, of an exchange whose time is over."""
    if isinstance(exchange.carrier, Connection):
        exchange.carrier.transport.abort()
    elif exchange.carrier is not None:
        exchange.carrier.cancel()


def outcome_of_connect(error: OSError) -> int:
    """The class of the error of a connection that failed."""
    if isinstance(error, ssl.SSLError):
        return outcomes.TLS
    if _OWN_FAULTS & {error.errno, *(int(number) for number in _ERRNO.findall(str(error)))}:
        return outcomes.UNSENT
    return outcomes.RESET_NEW if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)) else outcomes.REFUSED


def tls_context(validate_certs: bool) -> ssl.SSLContext:
    """A context for HTTPS targets."""
    context = ssl.create_default_context()
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _server_name(target: Target, plan: Plan) -> str:
    """The name that the certificate has to carry: that of the Host header when one was given."""
    given = {name.lower(): value for name, value in plan.headers.items()}.get("host", "")
    return given.partition(":")[0] or target.host


def _template(entry: MixEntry, target: Target, plan: Plan) -> RequestTemplate:
    headers = {"Content-Type": entry.content_type} if entry.content_type else {}
    if entry.kind == "new":
        headers["Connection"] = "close"
    return RequestTemplate(entry.method, target.base_path + entry.path, target.authority, {**headers, **plan.headers}, entry.body)
