# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers inside the test's process: as many as a pool needs, each with an address, all with the answers that the test sets."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fleet.ports import Endpoint


class Answering:
    """`statuses` has the status that a path is answered with, and is 200 for every other one."""

    def __init__(self, endpoints: dict[str, Endpoint]) -> None:
        self.statuses: dict[str, int] = {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.wfile.write(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\nX-Served-By: %s\r\nX-Release: 1\r\n\r\n" % (
                    owner.statuses.get(self.path, 200), self.server.server_address[0].encode("ascii")))

            def log_message(self, *_words: object) -> None:
                """Nobody reads it."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address) -> None:
                """A client that hung up is no news."""

        self._servers = [Server((endpoint.address, endpoint.port), Handler) for endpoint in endpoints.values()]

    def __enter__(self) -> Answering:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
