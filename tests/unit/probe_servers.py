# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throwaway HTTP servers on 127.0.0.1 for the prober: one that behaves, and every kind of one that does not.

As a script it serves well-behaved answers until it is ended, and prints its port first.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable


def answer(status: str = "200 OK", body: bytes = b"fine", release: str = "1.0.0", *headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"X-Release: {release}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


class Call:
    """One request as the server sees it: its `head`, its `body`, and how many came before it on the connection and in total."""

    def __init__(self, server: Server, transport: asyncio.Transport, head: str, body: bytes, on_connection: int) -> None:
        self.server, self.transport, self.head, self.body = server, transport, head, body
        self.on_connection, self.in_total = on_connection, len(server.calls)

    def reply(self, data: bytes | None = None) -> None:
        """Answer; with Connection: close, end the connection then."""
        self.transport.write(answer() if data is None else data)
        if "connection: close" in self.head.lower():
            self.transport.close()

    def reset(self) -> None:
        """End the connection with an RST."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Server:
    """Calls `behave` with every request. `calls` has them all, `connections` says how many connections there were."""

    def __init__(self, behave: Callable[[Call], None] = Call.reply) -> None:
        self.behave = behave
        self.calls: list[Call] = []
        self.connections = 0
        self.port = 0
        self._listener: asyncio.AbstractServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Server:
        self._listener = await asyncio.get_running_loop().create_server(lambda: _Reader(self), "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._listener.close()
        for call in self.calls:
            call.transport.abort()


class _Reader(asyncio.Protocol):
    """Takes requests from one connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._server.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        length = sum(int(line.partition(":")[2]) for line in text.split("\r\n") if line.lower().startswith("content-length:"))
        if not end or len(rest) < length:
            return
        self._buffer = rest[length:]
        call = Call(self._server, self._transport, text, rest[:length], self._seen)
        self._seen += 1
        self._server.calls.append(call)
        self._server.behave(call)


_taken: list[socket.socket] = []


def closed_port() -> int:
    """A port of 127.0.0.1 where nobody listens, unless this test itself does later: it is taken as long as this process lives."""
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _taken.append(probe)
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


async def _serve_for_ever() -> None:
    async with Server() as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever())
