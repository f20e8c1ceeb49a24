# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny application of releases: serves what is in the folder `current` when it starts, on 127.0.0.1.

    server.py PORT FOLDER

GET /version tells the release, GET /hostile answers with what means harm to a controller, GET /artifact/NAME serves an artifact,
POST /orders answers 201, and everything else 404.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
HOSTILE = {
    "template": "{{ lookup('ansible.builtin.pipe', 'touch " + FOLDER + "/pwned') }}",
    "statement": "{% for x in range(3) %}x{% endfor %}",
    "__ansible_unsafe": "{{ 7 * 7 }}",
    "__ansible_vault": "nonsense",
    "ansible_facts": {"pwned": True},
    "terminal": "\x1b[2J\x1b[31m",
}


def release() -> str:
    with open(os.path.join(FOLDER, "current", "VERSION"), encoding="utf-8") as file:
        return file.read().strip()


RELEASE = release()


class Application(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/version":
            self._answer(200, {"release": RELEASE, "products": ["Apple", "Pear"], "token": self.headers.get("X-Token")})
        elif self.path == "/hostile":
            self._answer(200, HOSTILE)
        elif self.path.startswith("/artifact/"):
            with open(os.path.join(FOLDER, os.path.basename(self.path)), "rb") as file:
                self._send(200, "application/gzip", file.read())
        else:
            self._answer(404, {"error": "no such page"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with open(os.path.join(FOLDER, "orders"), "ab") as file:
            file.write(body + b"\n")
        self._answer(201, {"order": 1, "body": json.loads(body or b"null")})

    def _answer(self, status: int, content: dict) -> None:
        self._send(status, "application/json", json.dumps(content).encode("utf-8"))

    def _send(self, status: int, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("X-Release", RELEASE)
        self.send_header("X-Template", "{{ 7 * 7 }}")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments) -> None:
        pass


if __name__ == "__main__":
    if RELEASE.endswith("-broken"):
        sys.exit("this release does not start")
    ThreadingHTTPServer(("127.0.0.1", PORT), Application).serve_forever()
