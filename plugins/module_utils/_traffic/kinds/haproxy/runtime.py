# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of commands to a process of HAProxy, and its answer: over TCP or over a UNIX socket, bounded in time and size."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

from ...._host.patience import Patience, UnavailableError
from ...interface import LoadBalancerError
from . import words
from .session_places import NoPlaceError, place_at

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
ANSWER_BYTES = 32 * 1024 * 1024
_NO_WORKER = "Can't find the target PID"
# Said by a process that a reload has asked to end, in the session that it took right before. A backend that is `disabled` has no place in ``show stat``.
_ENDING = "Proxy is disabled."


class HaproxyError(LoadBalancerError):
    """An HAProxy was not reachable, or refused a command. The message names it, its endpoint, and what to do."""


class HaproxyUnavailableError(HaproxyError, UnavailableError):
    """An HAProxy does not answer now: it restarts, reloads, or has no free place for a session."""


class Runtime:
    """A process that answers at `endpoint`, ``tcp://host:port`` or ``unix:/path``: a worker, which hangs up after every line.

    Each line takes one session, and one process has one at a time. A line without an answer is sent again, see `Patience`.
    """

    def __init__(self, name: str, endpoint: str, connect_seconds: float = CONNECT_SECONDS, answer_seconds: float = ANSWER_SECONDS,
                 patience: Patience | None = None) -> None:
        self.name = name
        self.endpoint = endpoint
        self.patience = patience or Patience()
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._path, self._host, self._port = self._parse_endpoint()

    def ask(self, line: str) -> str:
        """Send one line of commands that only read; return the whole answer."""
        return words.readable(self.ask_exactly(line))

    def ask_exactly(self, line: str) -> str:
        """As `ask`, for a file or a comparison with one: with bytes that are no UTF-8 as surrogates, which no result of a module may have."""
        return self.patience.call(lambda: self._whole_answer(line))

    def carry_out(self, commands: Sequence[str]) -> None:
        """Have commands carried out that answer with nothing but an empty line each, and that end in the same state when they are carried out twice.

        They are sent as one line, or as several where it would be too long for HAProxy, one right after the other.
        """
        for line in words.lines_of(commands):
            self.patience.call(partial(self.carry_out_once, line))

    def ask_once(self, line: str) -> str:
        """As `ask`, by one session."""
        return words.readable(self._whole_answer(line))

    def _whole_answer(self, line: str) -> str:
        """HAProxy ends each command's answer with an empty line; without it a process that ended has cut it short."""
        answer = self.tell_once(line)
        if not self._is_whole(answer):
            raise self.unavailable(f"broke off its answer to {line!r} behind {answer[-40:]!r}: was it restarted?")
        return answer

    def tell_once(self, line: str) -> str:
        """The answer to a line as `ask_exactly` returns it, whole or not, by one session. Raise HaproxyUnavailableError when there is none now."""
        try:
            with place_at(self.endpoint, self._answer_seconds):
                answer = self._conversation(line)
        except NoPlaceError:
            raise self.unavailable("has no free session: other processes of this host use all of them", may_be_done=False) from None
        if not answer:
            raise self.unavailable("closed the connection without an answer: does its stats socket allow this client, and enough connections (stats maxconn)?")
        if "Permission denied" in answer:
            raise self.error(f"denies {line!r}: give its stats socket the level admin")
        return answer

    def carry_out_once(self, commands: Sequence[str]) -> None:
        """As `carry_out`, by one session, as one line."""
        line = ";".join(commands)
        answer = self.tell_once(line)
        if _ENDING in answer:
            raise self.unavailable(f"answers {' '.join(answer.split())!r} to {line!r}: its process ends, or the backend is disabled in its configuration")
        if answer.strip():
            raise self.error(f"answers {' '.join(answer.split())!r} to {line!r}")
        if answer.count("\n") != len(commands):
            raise self.unavailable(f"closed the connection before all of {line!r} was done: see its log")

    def word(self, text: str) -> str:
        """The text as one word of a command; raise HaproxyError when it cannot be one."""
        try:
            return words.word(text)
        except ValueError as error:
            raise self.error(f"cannot be asked: {error}") from error

    def _conversation(self, line: str) -> str:
        is_sent = False
        try:
            with self._connect() as connection:
                connection.settimeout(self._answer_seconds)
                is_sent = True
                self._send(connection, line)
                return self._receive(connection).decode("utf-8", "surrogateescape")
        except socket.timeout:
            raise self.unavailable(f"does not answer within {self._answer_seconds:g} s: is the process frozen, its host lost, or has it no free place for "
                                   "a session (stats maxconn)?", may_be_done=is_sent) from None
        except (socket.gaierror, PermissionError) as error:
            raise self.error(f"cannot be reached: {error.strerror or error}. Is it running, with a stats socket there?") from error
        except OSError as error:
            raise self.unavailable(f"cannot be reached: {error.strerror or error}. Is it running, with a stats socket there?", may_be_done=is_sent) from error

    def error(self, what: str) -> HaproxyError:
        """An error that names this process."""
        return HaproxyError(words.readable(f"{self.name} ({self.endpoint}) {what}"))

    def unavailable(self, what: str, may_be_done: bool = True) -> HaproxyUnavailableError:
        """An error that names this process, which may answer in a moment."""
        return HaproxyUnavailableError(words.readable(f"{self.name} ({self.endpoint}) {what}"), may_be_done)

    def socat_address(self) -> str:
        """The endpoint as socat writes it."""
        return f"tcp:{self.endpoint[len('tcp://'):]}" if self._path is None else f"unix-connect:{self._path}"

    def _is_whole(self, answer: str) -> bool:
        """Whether the last command's answer has its end; that of an empty list is nothing else."""
        return answer.endswith("\n\n") or answer == "\n"

    def _send(self, connection: socket.socket, line: str) -> None:
        connection.sendall(line.encode("utf-8") + b"\n")

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
    """The master process, which hangs up when nothing more comes, and re-executes itself at a reload: then it drops the sessions that it has."""

    def _is_whole(self, answer: str) -> bool:
        return super()._is_whole(answer) or answer.startswith(_NO_WORKER)

    def _send(self, connection: socket.socket, line: str) -> None:
        super()._send(connection, line)
        connection.shutdown(socket.SHUT_WR)
