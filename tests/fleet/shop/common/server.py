# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's HTTP server: one task per connection, and an end that cuts nobody off."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

from http11 import MAX_HEAD_BYTES, HttpError, Request, Response, error_response, parse_head, render

LOG = logging.getLogger("shop.server")
BACKLOG = 512
# Longer than any front proxy keeps an idle connection: the proxy closes first, so no request meets a closing server.
IDLE_SECONDS = 75
BODY_SECONDS = 10
WRITE_SECONDS = 10
PIECE_SECONDS = 0.1

Handler = Callable[[Request], Awaitable[Response]]


class Connection:
    """One client connection: requests one after another, each answered before the next is read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        self.reader = reader
        self.writer = writer
        self.server = server
        self.busy = False

    async def serve(self) -> None:
        """Answer requests until either side has had enough."""
        try:
            while await self._serve_one() and not self.server.closing:
                pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # The client went away or went silent: there is nobody to answer.
        finally:
            self.writer.close()

    async def _serve_one(self) -> bool:
        """Read and answer one request; False when the connection ends with it."""
        try:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), IDLE_SECONDS)
            self.busy = True
            request = await self._with_body(parse_head(head))
        except asyncio.LimitOverrunError:
            return await self._refuse(HttpError(431, f"a request's head is at most {MAX_HEAD_BYTES} bytes long"))
        except HttpError as error:
            # Where this request ends is in doubt, so the connection cannot carry another one.
            return await self._refuse(error)
        response = await self.server.answer(request)
        keep_alive = request.keep_alive and not self.server.closing
        await self._send_over(response.seconds, render(response, self.server.headers, keep_alive, with_body=request.method != "HEAD"))
        self.busy = False
        return keep_alive

    async def _with_body(self, request: Request) -> Request:
        if not request.body_bytes:
            return request
        if request.awaits_continue:
            await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return replace(request, body=await asyncio.wait_for(self.reader.readexactly(request.body_bytes), BODY_SECONDS))

    async def _refuse(self, error: HttpError) -> bool:
        await self._send(render(error_response(error), self.server.headers, keep_alive=False))
        # Closing with unread input makes the kernel send a reset, which can overtake the answer: take the rest in first.
        self.writer.write_eof()
        await asyncio.wait_for(self._discard(), timeout=1)
        return False

    async def _discard(self) -> None:
        while await self.reader.read(65536):
            pass

    async def _send_over(self, seconds: float, data: bytes) -> None:
        """Send in pieces that take so long together."""
        pieces = max(1, round(seconds / PIECE_SECONDS))
        size = -(-len(data) // pieces)
        for number in range(pieces):
            if number:
                await asyncio.sleep(PIECE_SECONDS)
            await self._send(data[number * size:(number + 1) * size])

    async def _send(self, data: bytes) -> None:
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), WRITE_SECONDS)


class Server:
    """Listens on one address. `handler` answers requests; `headers` go with every answer, errors of any kind included."""

    def __init__(self, handler: Handler, headers: dict[str, str]) -> None:
        self.handler = handler
        self.headers = headers
        self.closing = False
        self._connections: dict[asyncio.Task, Connection] = {}
        self._listener: asyncio.Server | None = None

    async def start(self, address: str, port: int) -> int:
        """Listen; return the port (which the kernel chooses when `port` is 0)."""
        self._listener = await asyncio.start_server(
            self._connected, address, port, family=socket.AF_INET, limit=MAX_HEAD_BYTES, backlog=BACKLOG, reuse_address=True
        )
        return self._listener.sockets[0].getsockname()[1]

    async def answer(self, request: Request) -> Response:
        """Have the request answered; whatever goes wrong becomes an answer, too."""
        try:
            return await self.handler(request)
        except HttpError as error:
            return error_response(error)
        except Exception:  # The last line of defence: one broken request must not end its connection without an answer.
            LOG.exception("%s %s", request.method, request.path)
            return error_response(HttpError(500, "internal error"))

    async def stop(self, grace: float) -> int:
        """Take no more connections, let requests in flight end within `grace` seconds; return how many were cut."""
        self.closing = True
        self._listener.close()
        for connection in self._connections.values():
            if not connection.busy:
                connection.writer.close()
        if not self._connections:
            return 0
        _done, cut = await asyncio.wait(list(self._connections), timeout=grace)
        for task in cut:
            task.cancel()
        return len(cut)

    def abort(self) -> None:
        """End as a process does that is killed: nobody is answered any more."""
        self.closing = True
        self._listener.close()
        for task, connection in list(self._connections.items()):
            connection.writer.transport.abort()
            task.cancel()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self)
        task = asyncio.ensure_future(connection.serve())
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)
