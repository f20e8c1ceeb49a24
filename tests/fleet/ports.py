# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and free ports. Every host of the fleet has an address of its own where the system lets us bind it."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import dataclass
from typing import ClassVar

# Below the range that systems take ports for outgoing connections from (Linux 32768, macOS 49152): a server that
# restarts finds its port again.
FIRST_PORT = 18000
LAST_PORT = 29999
FALLBACK = "127.0.0.1"


class PortError(Exception):
    """No port could be had."""


@dataclass(frozen=True)
class Endpoint:
    """A TCP endpoint; as text ADDRESS:PORT."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


class Ports:
    """Hands out endpoints, each once in this process, and no port twice even at two addresses.

    The ports are random so that two fleets on one machine rarely try the same.
    Processes of pytest-xdist that share the tests never do: each has ports of its own, since a server that is down for a while must find its port free.
    """

    _given: ClassVar[set[Endpoint]] = set()

    def __init__(self, source: random.Random | None = None) -> None:
        self._random = source or random.SystemRandom()
        self._numbers: set[int] = set()
        self._workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        self._worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

    def endpoint(self, address: str) -> Endpoint:
        """A free endpoint at `address`, or at 127.0.0.1 where `address` cannot be bound (macOS has 127.0.0.1 only)."""
        usable = address if _can_bind(address, 0) else FALLBACK
        for _attempt in range(200):
            endpoint = Endpoint(usable, self._own(self._random.randint(FIRST_PORT, LAST_PORT)))
            if endpoint not in self._given and endpoint.port not in self._numbers and _can_bind(usable, endpoint.port):
                self._given.add(endpoint)
                self._numbers.add(endpoint.port)
                return endpoint
        raise PortError(f"no free port found at {usable} between {FIRST_PORT} and {LAST_PORT}: is something listening on all of them?")

    def _own(self, port: int) -> int:
        """The port of this process that is next to this one."""
        own = port - port % self._workers + self._worker
        return own if FIRST_PORT <= own <= LAST_PORT else port


def _can_bind(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
