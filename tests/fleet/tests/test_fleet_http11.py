# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's HTTP: where a request ends is beyond doubt, or the request is refused."""

from __future__ import annotations

import json

import http11
import pytest
from http11 import HttpError, Response, parse_head, render


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_a_plain_request():
    request = parse_head(head("GET /products?tenant=a&after=20 HTTP/1.1", "Host: shop", "X-Two: 1", "x-two:  2 "))
    assert (request.method, request.path, request.query) == ("GET", "/products", {"tenant": "a", "after": "20"})
    assert request.headers == {"host": "shop", "x-two": "1, 2"}
    assert request.keep_alive
    assert request.body_bytes == 0


@pytest.mark.parametrize(
    ("line", "headers", "keep_alive"),
    [
        ("GET / HTTP/1.1", ["Host: s"], True),
        ("GET / HTTP/1.1", ["Host: s", "Connection: close"], False),
        ("GET / HTTP/1.1", ["Host: s", "Connection: Upgrade, Close"], False),
        ("GET / HTTP/1.0", [], False),
        ("GET / HTTP/1.0", ["Connection: Keep-Alive"], True),
    ],
)
def test_how_long_a_connection_lasts(line, headers, keep_alive):
    assert parse_head(head(line, *headers)).keep_alive is keep_alive


def test_targets_are_decoded():
    request = parse_head(head("GET /a%20b?x=%C3%A9&x=2&empty= HTTP/1.1", "Host: s"))
    assert request.path == "/a b"
    assert request.query == {"x": "2", "empty": ""}
    assert parse_head(head("GET http://shop/healthz HTTP/1.1", "Host: shop")).path == "/healthz"
    assert parse_head(b"\r\n" + head("GET / HTTP/1.1", "Host: s")).path == "/"


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (400, ["GET /"]),
        (400, ["GET  / HTTP/1.1", "Host: s"]),
        (400, ["G@T / HTTP/1.1", "Host: s"]),
        (400, ["GET / HTTP/1.1\x00", "Host: s"]),
        (400, ["GET * HTTP/1.1", "Host: s"]),
        (400, ["GET /%ff HTTP/1.1", "Host: s"]),
        (400, ["GET /?x=%ff HTTP/1.1", "Host: s"]),
        (400, ["GET /?" + "x=1&" * 30 + " HTTP/1.1", "Host: s"]),
        (400, ["GET / SMTP/1.1", "Host: s"]),
        (505, ["GET / HTTP/2.0", "Host: s"]),
        (400, ["GET / HTTP/1.1"]),
        (400, ["GET / HTTP/1.1", "Host: s", "Host: t"]),
        (400, ["GET / HTTP/1.1", "Host : s"]),
        (400, ["GET / HTTP/1.1", "Host: s", " folded"]),
        (400, ["GET / HTTP/1.1", "Host: s", "nonsense"]),
        (400, ["GET / HTTP/1.1", "Host: s", "X: a\nb"]),
        (400, ["POST / HTTP/1.1", "Host: s", "Content-Length: 1", "Content-Length: 1"]),
        (400, ["POST / HTTP/1.1", "Host: s", "Content-Length: +1"]),
        (400, ["POST / HTTP/1.1", "Host: s", "Content-Length: 1, 1"]),
        (400, ["POST / HTTP/1.1", "Host: s", "Content-Length: "]),
        (413, ["POST / HTTP/1.1", "Host: s", f"Content-Length: {http11.MAX_BODY_BYTES + 1}"]),
        (501, ["POST / HTTP/1.1", "Host: s", "Transfer-Encoding: chunked"]),
        (501, ["POST / HTTP/1.1", "Host: s", "Transfer-Encoding: chunked", "Content-Length: 3"]),
        (417, ["POST / HTTP/1.1", "Host: s", "Expect: a miracle"]),
        (431, ["GET / HTTP/1.1", "Host: s", *(f"X-{n}: 1" for n in range(http11.MAX_HEADERS))]),
    ],
)
def test_doubtful_requests_are_refused(status, lines):
    with pytest.raises(HttpError) as caught:
        parse_head(head(*lines))
    assert caught.value.status == status
    assert caught.value.why


def test_an_answer_on_the_wire():
    wire = render(Response(201, {"a": "é"}, {"Allow": "GET"}), {"X-Release": "1.0.0"}, keep_alive=True)
    front, _empty, body = wire.partition(b"\r\n\r\n")
    lines = front.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 201 Created"
    assert {"X-Release: 1.0.0", "Allow: GET", "Connection: keep-alive", f"Content-Length: {len(body)}"} <= set(lines)
    assert json.loads(body) == {"a": "é"}


def test_an_answer_to_head_has_the_length_but_not_the_body():
    wire = render(Response(200, {"a": 1}), {}, keep_alive=False, with_body=False)
    assert wire.endswith(b"\r\n\r\n")
    assert b"Content-Length: 8\r\n" in wire
    assert b"Connection: close\r\n" in wire
