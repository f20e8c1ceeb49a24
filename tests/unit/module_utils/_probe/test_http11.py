# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.http11 import AnswerError, AnswerParser, CookieJar, RequestTemplate

LENGTH = b"HTTP/1.1 200 OK\r\nX-Release: 1.0.0\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nbo\r\n2\r\ndy\r\n0\r\nX-Trailer: 1\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nbody"


def parsed(data: bytes, step: int = 1_000_000, method: str = "GET") -> AnswerParser:
    parser = AnswerParser(method, keep_body=True)
    for start in range(0, len(data), step):
        parser.feed(data[start:start + step])
    return parser


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("data", [LENGTH, CHUNKED])
def test_an_answer_is_complete_with_its_last_byte_however_it_is_cut(data, step):
    parser = parsed(data, step)
    assert (parser.complete, parser.status, parser.body, parser.reusable) == (True, 200, b"body", True)
    assert not parsed(data[:-1], step).complete


def test_header_names_do_not_depend_on_case():
    assert parsed(b"HTTP/1.1 200 OK\r\nx-RELEASE:  2.0.0 \r\ncontent-LENGTH: 0\r\n\r\n").headers["x-release"] == "2.0.0"


def test_a_body_without_length_ends_with_the_connection():
    parser = parsed(UNTIL_CLOSE)
    assert not parser.complete
    assert parser.end_of_stream()
    assert (parser.body, parser.reusable) == (b"body", False)


@pytest.mark.parametrize("data", [LENGTH, CHUNKED])
def test_the_end_of_the_connection_does_not_complete_what_was_cut_off(data):
    assert not parsed(data[:-1]).end_of_stream()
    assert not AnswerParser().end_of_stream()


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET"),
    ],
)
def test_answers_without_a_body_are_complete_with_their_head(data, method):
    parser = parsed(data, method=method)
    assert parser.complete and parser.reusable


def test_interim_answers_are_passed_over():
    parser = parsed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + LENGTH, step=5)
    assert (parser.complete, parser.status) == (True, 200)


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_a_connection_is_used_again_only_when_the_peer_allows_it(head, reusable):
    assert parsed(head + b"Content-Length: 0\r\n\r\n").reusable is reusable


def test_bytes_after_the_answer_make_the_connection_unusable():
    parser = parsed(LENGTH + b"more")
    assert parser.complete and not parser.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbody\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 70_000,
    ],
)
def test_what_is_no_http_is_an_error(data):
    with pytest.raises(AnswerError):
        parsed(data)


def test_a_parser_keeps_no_body_unless_asked_and_never_a_long_one():
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100_000
    parser = AnswerParser()
    assert parser.feed(long) and parser.body == b""
    assert len(parsed(long, step=999).body) == 65_536


def test_a_request_is_written_out_with_length_cookies_and_own_headers():
    template = RequestTemplate("POST", "/orders?tenant=b", "127.0.0.1:80", {"host": "shop.example.com", "Content-Type": "application/json"}, b"{}")
    head, _end, body = template.render(b"Cookie: a=1\r\n").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /orders?tenant=b HTTP/1.1"
    assert sorted(lines[1:]) == sorted(
        [b"host: shop.example.com", b"User-Agent: alwayson.upgrade-probe", b"Accept: */*", b"Content-Length: 2", b"Content-Type: application/json",
         b"Cookie: a=1"])
    assert body == b"{}"


def test_a_get_announces_no_body_and_an_empty_post_does():
    assert b"Content-Length" not in RequestTemplate("GET", "/", "h", {}, b"").render()
    assert b"Content-Length: 0\r\n" in RequestTemplate("POST", "/", "h", {}, b"").render()


def test_cookies_are_kept_replaced_and_dropped():
    jar = CookieJar()
    assert jar.header == b""
    jar.remember(["SRV=s1; path=/; Max-Age=100", "lang=de"])
    jar.remember(["SRV=s2; path=/"])
    assert jar.header == b"Cookie: SRV=s2; lang=de\r\n"
    jar.remember(["SRV=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/"])
    assert jar.header == b"Cookie: lang=de\r\n"
    jar.remember(["lang=de; max-age=0"])
    assert jar.header == b""
