# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny HTTP server on 127.0.0.1 that stands for the API of a load balancer: routes in a dictionary, every request kept."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request: header names in lower case, the body as text."""

    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reply(NamedTuple):
    """One answer: text is sent as it is, None as nothing, all else as JSON."""

    status: int
    content: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


# The connection ends without an answer, as when the server is replaced in this moment.
DROPPED = Reply(0)


class JsonServer:
    """`routes` has for each ``METHOD /path`` a Reply, what a good one says, or a function of the request that makes either. Else it is 404."""

    def __init__(self, routes: dict[str, Any] | None = None, port: int = 0) -> None:
        self.routes: dict[str, Any | Callable[[Asked], Any]] = dict(routes or {})
        self.requests: list[Asked] = []
        self._listener = _Listener(("127.0.0.1", port), _Handler)
        self._listener.owner = self
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> JsonServer:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(5)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def changes(self) -> list[Asked]:
        """The requests that were no GET."""
        return [asked for asked in self.requests if asked.method != "GET"]

    def lines(self) -> list[str]:
        return [asked.line for asked in self.requests]

    def reply(self, asked: Asked) -> Reply:
        self.requests.append(asked)
        found = self.routes.get(asked.line, Reply(404, {"error": "no such path"}))
        made = found(asked) if callable(found) else found
        return made if isinstance(made, Reply) else Reply(200, made)


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    owner: JsonServer


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("utf-8")
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, content, extra = self.server.owner.reply(Asked(self.command, self.path, headers, body))
        if status == DROPPED.status:
            self.close_connection = True
            return
        sent = b"" if content is None else (content if isinstance(content, str) else json.dumps(content)).encode("utf-8")
        self.send_response(status)
        for name, value in {**extra, "Content-Length": str(len(sent))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, *_words: object) -> None:
        """Nothing on the screen."""
