# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throwaway application: `member.py ADDRESS PORT RELEASE`. Every answer names the release; GET /slow?ms=N takes its time.

The release `sick` answers everything with 503, its health check too.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS, PORT, RELEASE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
STATUS = b"503 Service Unavailable" if RELEASE == "sick" else b"200 OK"


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/slow?ms="):
            time.sleep(int(self.path.partition("=")[2]) / 1000)
        body = RELEASE.encode("ascii")
        # One write: the answer is whole or not there.
        self.wfile.write(
            b"HTTP/1.1 %s\r\nContent-Length: %d\r\nX-Release: %s\r\nX-Served-By: %s\r\n\r\n%s" % (STATUS, len(body), body, ADDRESS.encode("ascii"), body)
        )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def log_message(self, *_arguments) -> None:
        """Nobody reads it."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address) -> None:
        """A client that hung up is no news."""


Server((ADDRESS, PORT), Application).serve_forever()
