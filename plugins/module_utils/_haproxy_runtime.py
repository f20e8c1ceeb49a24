# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of commands to a process of HAProxy, and its answer: over TCP or over a UNIX socket, bounded in time and size."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import LoadBalancerError

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
RETRY_SECONDS = 0.05
ANSWER_BYTES = 32 * 1024 * 1024


class HaproxyError(LoadBalancerError):
    """An HAProxy could not be asked, or refused. The message names it, its endpoint, and what to do."""


class Runtime:
    """A process that answers at `endpoint`, ``tcp://host:port`` or ``unix:/path``: a worker, which hangs up after every line."""

    def __init__(self, name: str, endpoint: str, connect_seconds: float = CONNECT_SECONDS, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.name = name
        self.endpoint = endpoint
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._path, self._host, self._port = self._parse_endpoint()

    def ask(self, line: str) -> str:
        """Send one line of commands over a connection of its own; return the whole answer."""
        try:
            with self._connect() as connection:
                connection.settimeout(self._answer_seconds)
                self._send(connection, line)
                answer = self._receive(connection).decode("utf-8", "replace")
        except socket.timeout:
            raise self.error(f"does not answer within {self._answer_seconds:g} s: is the process frozen, or its host lost?") from None
        except OSError as error:
            raise self.error(f"cannot be reached: {error.strerror or error}. Is it running, with a stats socket there?") from error
        if not answer:
            raise self.error("hung up without an answer: does its stats socket allow this client, and enough connections (stats maxconn)?")
        if "Permission denied" in answer:
            raise self.error(f"denies {line!r}: give its stats socket the level admin")
        return answer

    def carry_out(self, line: str) -> None:
        """Have commands carried out that answer with nothing but an empty line each."""
        answer = self.ask(line)
        if answer.strip():
            raise self.error(f"answers {' '.join(answer.split())!r} to {line!r}")
        if answer.count("\n") != line.count(";") + 1:
            raise self.error(f"hung up before it carried out all of {line!r}: look into its log")

    def error(self, what: str) -> HaproxyError:
        """An error that names this process."""
        return HaproxyError(f"{self.name} ({self.endpoint}) {what}")

    def socat_address(self) -> str:
        """The endpoint as socat writes it."""
        return f"tcp:{self.endpoint[len('tcp://'):]}" if self._path is None else f"unix-connect:{self._path}"

    def _send(self, connection: socket.socket, line: str) -> None:
        connection.sendall(line.encode("ascii") + b"\n")

    def _connect(self) -> socket.socket:
        if self._path is None:
            return socket.create_connection((self._host, self._port), timeout=self._connect_seconds)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._connect_seconds)
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection

    def _receive(self, connection: socket.socket) -> bytes:
        """All that comes until HAProxy hangs up, bounded in time and size however slowly it drips."""
        give_up = time.monotonic() + self._answer_seconds
        received = bytearray()
        while True:
            connection.settimeout(max(0.001, give_up - time.monotonic()))
            part = connection.recv(65536)
            if not part:
                return bytes(received)
            received += part
            if len(received) > ANSWER_BYTES:
                raise self.error(f"answers more than {ANSWER_BYTES} bytes: is this the runtime API of an HAProxy?")

    def _parse_endpoint(self) -> tuple[str | None, str | None, int | None]:
        """The path of a UNIX socket, or a host and a port."""
        scheme, _colon, path = self.endpoint.partition(":")
        if scheme == "unix" and path.startswith("/"):
            return path, None, None
        try:
            parts = urlsplit(self.endpoint)
            if scheme == "tcp" and parts.hostname and parts.port and parts.netloc == self.endpoint[len("tcp://"):]:
                return None, parts.hostname, parts.port
        except ValueError:
            pass
        raise self.error("is no endpoint: write tcp://HOST:PORT or unix:/PATH")


class Master(Runtime):
    """The master process, which hangs up when nothing more comes, and starts itself anew at a reload."""

    def _send(self, connection: socket.socket, line: str) -> None:
        super()._send(connection, line)
        connection.shutdown(socket.SHUT_WR)

    def _connect(self) -> socket.socket:
        """Try again for a while: at a reload nobody listens for a moment, where a worker's socket is handed over."""
        give_up = time.monotonic() + self._connect_seconds
        while True:
            try:
                return super()._connect()
            except (ConnectionRefusedError, FileNotFoundError):
                if time.monotonic() >= give_up:
                    raise
                time.sleep(RETRY_SECONDS)
