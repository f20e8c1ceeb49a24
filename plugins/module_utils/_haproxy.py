# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy as a load balancer, driven through its runtime API: over TCP or over its UNIX socket.

One connection carries one line of commands, joined by ``;``, which HAProxy works off in one go: the changes of one line are
seen together. A command that fails says so in words and does not stop the ones behind it, so every name is checked before
it is put into a line, and every word of an answer to a change is an error.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import time
from typing import Mapping, Sequence
from urllib.parse import urlsplit

from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy_stat import AnswerError, parse_view
from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy_workers import OldWorkers
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import (
    CUT,
    DRAIN,
    MAINT,
    PROBATION,
    READY,
    LoadBalancerError,
    View,
    require_distinct,
)

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
RETRY_SECONDS = 0.05
ANSWER_BYTES = 32 * 1024 * 1024

# What HAProxy itself allows in the name of a proxy or a server. Neither `;` nor white space can get into a line of commands.
_NAME = re.compile(r"[A-Za-z0-9_.:-]+")

# Out of maintenance HAProxy takes a server for healthy at once, on the word of its last check before: "UP 1/2". Its health set
# down in the same line, it has to pass its checks as often as the configuration demands (`rise`) before it counts as up again.
_COMMANDS = {
    READY: ("set server {server} state ready",),
    DRAIN: ("set server {server} state drain",),
    MAINT: ("set server {server} state maint",),
    PROBATION: ("set server {server} state drain", "set server {server} health down"),
    CUT: ("shutdown sessions server {server}",),
}

_UNKNOWN_BACKEND = ("No such proxy", "Can't find backend")


class HaproxyError(LoadBalancerError):
    """An HAProxy could not be asked, or refused. The message names it, its endpoint, and what to do."""


class Haproxy:
    """One HAProxy. `endpoint` is ``tcp://host:port`` or ``unix:/path``; its socket needs ``level admin`` to change anything."""

    def __init__(
        self,
        name: str,
        endpoint: str,
        master_endpoint: str | None = None,
        state_file: str | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        is_master: bool = False,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self._state_file = state_file
        self._is_master = is_master
        master = Haproxy(f"the master process of {name}", master_endpoint, is_master=True) if master_endpoint else None
        self._old_workers = OldWorkers(master.ask) if master else None
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._path, self._host, self._port = self._parse_endpoint()

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`."""
        if backend is None:
            return self._parse(self.ask("show info;show servers state;show stat -1 6 -1"))
        self._require_name("backend", backend)
        answer = self.ask(f"show info;show servers state {backend};show stat {backend} 6 -1")
        if any(part.startswith(_UNKNOWN_BACKEND) for part in answer.split("\n\n")):
            raise self._unknown_backend(backend)
        view = self._parse(answer)
        if backend not in view.backends:
            raise self._unknown_backend(backend)
        return self._old_workers.added_to(view, backend) if self._old_workers else view

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: all changes in one line of commands."""
        line = self._line(backend, changes)
        answer = self.ask(line)
        if answer.strip():
            raise self._error(f"answers {' '.join(answer.split())!r} to {line!r}")
        # Each command that was carried out answers with an empty line.
        if answer.count("\n") != line.count(";") + 1:
            raise self._error(f"hung up before it carried out all of {line!r}: look into its log")
        if self._old_workers and CUT in changes.values():
            self._old_workers.tell(self._line(backend, {member: change for member, change in changes.items() if change == CUT}))
        if self._state_file:
            self._keep_states()

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        return f"echo {shlex.quote(self._line(backend, changes))} | socat stdio {shlex.quote(self._socat_address())}"

    def ask(self, line: str) -> str:
        """Send one line of commands over a connection of its own; return the whole answer."""
        try:
            with self._connect() as connection:
                connection.settimeout(self._answer_seconds)
                connection.sendall(line.encode("ascii") + b"\n")
                if self._is_master:
                    # A master process hangs up when nothing more comes, a worker after every line.
                    connection.shutdown(socket.SHUT_WR)
                answer = self._receive(connection).decode("utf-8", "replace")
        except socket.timeout:
            raise self._error(f"does not answer within {self._answer_seconds:g} s: is the process frozen, or its host lost?") from None
        except OSError as error:
            raise self._error(f"cannot be reached: {error.strerror or error}. Is it running, with a stats socket there?") from error
        if not answer:
            raise self._error("hung up without an answer: does its stats socket allow this client, and enough connections (stats maxconn)?")
        if "Permission denied" in answer:
            raise self._error(f"denies {line!r}: give its stats socket the level admin")
        return answer

    def _keep_states(self) -> None:
        """Write down what every server is in, where a reload reads it: by one rename, so that it never reads a part."""
        states = self.ask("show servers state").rstrip("\n") + "\n"
        partial = f"{self._state_file}.new"
        try:
            with open(partial, "w", encoding="utf-8") as file:
                file.write(states)
            os.replace(partial, self._state_file)
        except OSError as error:
            raise self._error(f"keeps its state in {self._state_file}, which cannot be written here: {error.strerror}. A reload would bring everybody back "
                              "into traffic: let this account write in that folder, or drive the load balancer from itself") from error

    def _connect(self) -> socket.socket:
        give_up = time.monotonic() + self._connect_seconds
        while True:
            try:
                return self._connect_once()
            except (ConnectionRefusedError, FileNotFoundError):
                # At a reload a master process starts itself anew, and does not listen for a moment; a worker's socket is handed over.
                if not self._is_master or time.monotonic() >= give_up:
                    raise
                time.sleep(RETRY_SECONDS)

    def _connect_once(self) -> socket.socket:
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
                raise self._error(f"answers more than {ANSWER_BYTES} bytes: is this the runtime API of an HAProxy?")

    def _parse(self, answer: str) -> View:
        """Each command's answer ends with an empty line."""
        parts = answer.split("\n\n")
        try:
            if len(parts) != 4 or parts[3].strip():
                raise AnswerError(f"it answers {' '.join(answer.split())[:80]!r}, which is no state of an HAProxy")
            return parse_view(*parts[:3])
        except AnswerError as error:
            raise self._error(f"cannot be understood: {error}. Is this the runtime API of an HAProxy, with a level of operator or admin?") from error

    def _line(self, backend: str, changes: Mapping[str, str]) -> str:
        self._require_name("backend", backend)
        commands = []
        for member, change in changes.items():
            self._require_name("member", member)
            commands += [command.format(server=f"{backend}/{member}") for command in _COMMANDS[change]]
        return ";".join(commands)

    def _require_name(self, kind: str, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise self._error(f"cannot have a {kind} named {name!r}: letters, digits and any of . _ : - make a name")

    def _unknown_backend(self, backend: str) -> HaproxyError:
        known = sorted(self.read().backends)
        return self._error(f"has no backend {backend!r}: it has {', '.join(known) or 'none'}")

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
        raise self._error("is no endpoint: write tcp://HOST:PORT or unix:/PATH")

    def _socat_address(self) -> str:
        return f"tcp:{self.endpoint[len('tcp://'):]}" if self._path is None else f"unix-connect:{self._path}"

    def _error(self, what: str) -> HaproxyError:
        return HaproxyError(f"{self.name} ({self.endpoint}) {what}")


def open_load_balancers(specs: Sequence[Mapping[str, str]]) -> list[Haproxy]:
    """The load balancers of the option `load_balancers`; raise LoadBalancerError when one is given twice or has no usable endpoint."""
    require_distinct(specs)
    return [Haproxy(spec["name"], spec["endpoint"], spec.get("master_endpoint"), spec.get("state_file")) for spec in specs]
