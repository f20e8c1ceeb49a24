# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's server over real sockets: connections that last, answers to whatever arrives, an end that cuts nobody off."""

from __future__ import annotations

import asyncio
import json

import http11
import pytest
import server as servers
from http11 import HttpError, Request, Response

SECONDS = 60


async def echo(request: Request) -> Response:
    if request.path == "/slow":
        await asyncio.sleep(0.3)
    if request.path == "/stuck":
        await asyncio.sleep(SECONDS)
    if request.path == "/broken":
        raise RuntimeError("broken")
    if request.path == "/refused":
        raise HttpError(404, "nothing here")
    return Response(200, {"path": request.path, "body": request.body.decode()})


def talk(conversation) -> None:
    """Run a conversation with a fresh server."""

    async def run():
        server = servers.Server(echo, {"X-Release": "1.0.0"})
        port = await server.start("127.0.0.1", 0)
        await conversation(server, port)
        await server.stop(grace=1)

    asyncio.run(asyncio.wait_for(run(), SECONDS))


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], dict | None]:
    """One answer; the body is None when there is none."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    body = json.loads(await reader.readexactly(length)) if length else None
    return int(status.split()[1]), headers, body


async def ask(port: int, wire: bytes, patience: float = SECONDS) -> tuple[int, dict[str, str], dict | None, bytes]:
    """Send bytes on a new connection; return the answer, and what followed until the server closed or so many seconds passed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wire)
    answer = await read_answer(reader)
    try:
        rest = await asyncio.wait_for(reader.read(), patience)
    except TimeoutError:
        rest = b"(still open)"
    writer.close()
    return *answer, rest


def test_a_connection_carries_many_requests():
    async def conversation(_server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(3):
            writer.write(f"POST /{number} HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\n\r\nab{number}".encode())
            status, headers, body = await read_answer(reader)
            assert (status, body) == (200, {"path": f"/{number}", "body": f"ab{number}"})
            assert headers["x-release"] == "1.0.0"
        # Two at once, in one packet: answered in order.
        writer.write(b"GET /a HTTP/1.1\r\nHost: s\r\n\r\n" + b"GET /b HTTP/1.1\r\nHost: s\r\n\r\n")
        assert [(await read_answer(reader))[2]["path"] for _answer in range(2)] == ["/a", "/b"]
        writer.close()

    talk(conversation)


def test_a_request_in_small_pieces():
    async def conversation(_server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in b"POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 2\r\n\r\nhi":
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await read_answer(reader))[2] == {"path": "/x", "body": "hi"}
        writer.close()

    talk(conversation)


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: s\r\nX: " + b"x" * http11.MAX_HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 3 * http11.MAX_HEAD_BYTES, 431),
        (b"POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 999999\r\n\r\n" + b"x" * 100_000, 413),
        (b"POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    ],
)
def test_what_cannot_be_read_is_answered_and_the_connection_closed(wire, status):
    async def conversation(_server, port):
        found, headers, body, rest = await ask(port, wire)
        assert found == status
        assert headers["connection"] == "close"
        assert headers["x-release"] == "1.0.0"
        assert body["error"]
        assert rest == b""
        assert (await ask(port, b"GET /ok HTTP/1.0\r\n\r\n"))[0] == 200

    talk(conversation)


@pytest.mark.parametrize(("path", "status"), [("/broken", 500), ("/refused", 404)])
def test_an_error_of_the_application_keeps_the_connection(path, status):
    async def conversation(_server, port):
        found, _headers, body, rest = await ask(port, f"GET {path} HTTP/1.1\r\nHost: s\r\n\r\n".encode(), patience=0.5)
        assert (found, rest) == (status, b"(still open)")
        assert body["error"]

    talk(conversation)


def test_head_and_continue():
    async def conversation(_server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HEAD /x HTTP/1.1\r\nHost: s\r\n\r\n")
        front = await reader.readuntil(b"\r\n\r\n")
        assert front.startswith(b"HTTP/1.1 200 ")
        assert b"Content-Length: 24\r\n" in front
        writer.write(b"POST /y HTTP/1.1\r\nHost: s\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await read_answer(reader))[2] == {"path": "/y", "body": "ok"}
        writer.close()

    talk(conversation)


def test_a_client_that_leaves_in_the_middle_harms_nobody():
    async def conversation(server, port):
        for half in (b"GET / HT", b"POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 10\r\n\r\nabc", b"GET /slow HTTP/1.1\r\nHost: s\r\n\r\n"):
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(half)
            await writer.drain()
            writer.transport.abort()
        assert (await ask(port, b"GET /ok HTTP/1.0\r\n\r\n"))[0] == 200
        while server._connections:
            await asyncio.sleep(0.01)

    talk(conversation)


def test_stopping_lets_requests_in_flight_end_and_takes_no_new_ones():
    async def conversation(server, port):
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        idle_writer.write(b"GET /idle HTTP/1.1\r\nHost: s\r\n\r\n")
        await read_answer(idle_reader)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: s\r\n\r\n")
        while not any(connection.busy for connection in server._connections.values()):
            await asyncio.sleep(0.01)
        assert await server.stop(grace=30) == 0
        status, headers, body = await read_answer(reader)
        assert (status, headers["connection"], body["path"]) == (200, "close", "/slow")
        assert await reader.read() == b""
        assert await idle_reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        for open_writer in (writer, idle_writer):
            open_writer.close()

    talk(conversation)


def test_stopping_cuts_what_does_not_end():
    async def conversation(server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stuck HTTP/1.1\r\nHost: s\r\n\r\n")
        while not any(connection.busy for connection in server._connections.values()):
            await asyncio.sleep(0.01)
        assert await server.stop(grace=0.01) == 1
        assert await reader.read() == b""
        writer.close()

    talk(conversation)
