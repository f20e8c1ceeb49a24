# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.http import HttpError, Limits, Request, fetch, require_url

HEAD = b"HTTP/1.1 200 OK\r\n"


class Server:
    """Answers each connection on a port of 127.0.0.1 with the same bytes, or as a function of the connection says."""

    def __init__(self, answer):
        self.received = []
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self.received.append(self._read(connection))
                    self._answer(connection) if callable(self._answer) else connection.sendall(self._answer)
                except OSError:
                    pass

    @staticmethod
    def _read(connection):
        content = b""
        while b"\r\n\r\n" not in content:
            content += connection.recv(65536)
        head, _separator, body = content.partition(b"\r\n\r\n")
        length = [int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:")]
        while length and len(body) < length[0]:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture(name="serve")
def _serve():
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def get(url, seconds=10.0, body_bytes=1000, **request):
    return fetch(Request(request.pop("method", "GET"), url, request.pop("headers", {}), **request), Limits(seconds, body_bytes))


def test_an_answer_comes_whole(serve):
    server = serve(HEAD + b"X-Release: 2.0.0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 15\r\n\r\n" + b'{"status":"ok"}')
    answer = get(server.url + "healthz?deep=1")
    assert (answer.status, answer.body, answer.truncated) == (200, '{"status":"ok"}', False)
    assert answer.headers == [("x-release", "2.0.0"), ("set-cookie", "a"), ("set-cookie", "b"), ("content-length", "15")]
    assert 0 < answer.seconds < 10
    assert server.received[0].startswith(b"GET /healthz?deep=1 HTTP/1.1\r\n")


def test_a_request_carries_its_method_headers_and_body(serve):
    server = serve(HEAD + b"\r\n")
    get(server.url, method="POST", headers={"Host": "shop.example", "X-Y": "z"}, body=b'{"a":1}')
    [sent] = server.received
    lines = sent.split(b"\r\n")
    assert lines[0] == b"POST / HTTP/1.1"
    assert lines[-1] == b'{"a":1}'
    assert {b"Host: shop.example", b"X-Y: z", b"Content-Length: 7", b"Connection: close"} <= set(lines)
    assert sum(line.lower().startswith(b"host:") for line in lines) == 1


def test_a_redirect_is_an_answer_and_not_followed(serve):
    server = serve(b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n")
    assert get(server.url).status == 302
    assert len(server.received) == 1


def test_a_proxy_of_the_environment_is_not_used(serve, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert get(serve(HEAD + b"\r\n").url).status == 200


def test_a_long_body_is_cut_off_and_said_to_be(serve):
    answer = get(serve(HEAD + b"\r\n" + b"x" * 5000).url, body_bytes=1000)
    assert (len(answer.body), answer.truncated) == (1000, True)


def test_a_body_that_is_not_utf8_is_text_all_the_same(serve):
    assert get(serve(HEAD + b"\r\n\xff\xfeok").url).body == "\ufffd\ufffdok"


def test_a_chunked_body_is_joined(serve):
    assert get(serve(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").url).body == "abc"


def trickle(connection):
    connection.sendall(HEAD + b"\r\n")
    for _second in range(200):
        connection.sendall(b"x")
        time.sleep(0.05)


def trickle_headers(connection):
    connection.sendall(HEAD)
    for number in range(200):
        connection.sendall(b"X-%d: y\r\n" % number)
        time.sleep(0.05)


def say_nothing(connection):
    connection.recv(1)


@pytest.mark.parametrize("answer", [trickle, trickle_headers, say_nothing])
def test_the_whole_answer_is_bounded_in_time(serve, answer):
    started = time.monotonic()
    with pytest.raises(HttpError, match=r"no whole answer within 0.4 s"):
        get(serve(answer).url, seconds=0.4)
    assert time.monotonic() - started < 9


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed without an answer"),
        (HEAD + b"Content-Length: 100\r\n\r\nabc", "in the middle of the answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no valid HTTP exchange"),
        (HEAD + b"X: " + b"y" * 70000 + b"\r\n\r\n", "no valid HTTP exchange"),
        (HEAD + b"X: y\r\n" * 200 + b"\r\n", "no valid HTTP exchange"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "in the middle of the answer|no valid HTTP exchange"),
    ],
)
def test_what_is_no_whole_answer_is_said_in_words(serve, answer, reason):
    with pytest.raises(HttpError, match=reason):
        get(serve(answer).url)


def test_a_refused_connection_is_said_in_words():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(HttpError, match=r"^connection refused$"):
        get(f"http://127.0.0.1:{port}/")


def test_a_certificate_is_checked_unless_told_otherwise(monkeypatch):
    contexts = []

    def connect(self):
        contexts.append(self._context)
        raise OSError("no network here")

    monkeypatch.setattr("http.client.HTTPSConnection.connect", connect)
    for validate in (True, False):
        with pytest.raises(HttpError):
            fetch(Request("GET", "https://127.0.0.1:1/", {}), Limits(1, 1, validate))
    assert [(context.verify_mode, context.check_hostname) for context in contexts] == [(ssl.CERT_REQUIRED, True), (ssl.CERT_NONE, False)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "percent-encoded"),
        ("http://a/b c", "percent-encoded"),
        ("http://a/\r\nX: y", "percent-encoded"),
        ("http://a/\u00fc", "percent-encoded"),
        ("ftp://a/b", "no HTTP address"),
        ("file:///etc/passwd", "no HTTP address"),
        ("127.0.0.1:8080/healthz", "no"),
        ("http:///healthz", "no HTTP address"),
        ("http://a:b/", "is no URL"),
        ("http://a:99999/", "is no URL"),
        ("http://a:0/", "no HTTP address"),
        ("http://[::1/", "is no URL"),
        ("http://user:secret@a/", "url of a contains a user name"),
    ],
)
def test_what_is_no_url_is_refused(url, reason):
    with pytest.raises(HttpError, match=reason) as caught:
        require_url(url)
    assert "secret" not in str(caught.value)


def test_a_header_that_would_smuggle_another_is_refused(serve):
    with pytest.raises(HttpError, match="no valid HTTP exchange"):
        get(serve(HEAD + b"\r\n").url, headers={"X": "a\r\nY: b"})
