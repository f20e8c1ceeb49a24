# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UNIX sockets in front of the fleet's HAProxy runtime APIs.

The module community.general.haproxy speaks to a UNIX socket only; the fleet's HAProxy listens on TCP, because an address in 127.0.0.0/8 has no limit of
length as a path has. So for each load balancer a thread of the bench carries a line of commands to the TCP side, and the answer back until HAProxy closes.
It adds no delay worth measuring and changes nothing of either.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from fleet.layout import LoadBalancer
from fleet.ports import Endpoint

# The module sleeps between its questions and asks each over a new connection.
IDLE_SECONDS = 30


class _Forwarder(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        super().__init__(str(path), _Line)


class _Line(socketserver.StreamRequestHandler):
    """One connection: a line there, the answer back."""

    def handle(self) -> None:
        self.request.settimeout(IDLE_SECONDS)
        line = self.rfile.readline()
        # Whoever asks sees a failure of HAProxy as HAProxy would show it: the connection ends.
        with contextlib.suppress(OSError), socket.create_connection((self.server.endpoint.address, self.server.endpoint.port), IDLE_SECONDS) as runtime:
            runtime.sendall(line)
            while answer := runtime.recv(65536):
                self.wfile.write(answer)


@contextlib.contextmanager
def runtime_sockets(balancers: Iterable[LoadBalancer]) -> Iterator[dict[str, str]]:
    """Inside the block each load balancer can be commanded at a UNIX socket: name to path, in a short folder, as paths of sockets have 107 bytes at most."""
    folder = Path(tempfile.mkdtemp(prefix="alwayson-"))
    servers = {balancer.name: _Forwarder(folder / f"{balancer.name}.sock", balancer.runtime) for balancer in balancers}
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True) for server in servers.values()]
    for thread in threads:
        thread.start()
    try:
        yield {name: str(server.server_address) for name, server in servers.items()}
    finally:
        for server, thread in zip(servers.values(), threads):
            server.shutdown()
            thread.join()
            server.server_close()
        shutil.rmtree(folder, ignore_errors=True)
