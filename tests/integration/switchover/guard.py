# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of a server as its service runs it, the fence as an operator runs it, and clients that come past the poolers and write wherever they can."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from ansible_collections.alwayson.upgrade.plugins.modules import database_fence
from fleet.ports import Endpoint
from fleet.postgres import OWNER
from integration.switchover.pair import DATABASE, Pair

PROGRAM = Path(__file__).resolve().parents[3] / "roles" / "database_guard" / "files" / "database_guard.py"
PAUSE_SECONDS = 0.005


def override(pair: Pair, name: str) -> Path:
    """The file that lets a server start once."""
    return pair.servers[name].directory / "start"


def guard(pair: Pair, name: str, **changes) -> list[str]:
    """The command line of the guard of a server, whose peers are the others; `changes` to its configuration."""
    server = pair.servers[name]
    peers = [{"name": other, "host": one.endpoint.address, "port": one.endpoint.port} for other, one in pair.servers.items() if other != name]
    options = {"data_directory": str(server.data), "bin_dir": str(server.binaries), "user": OWNER, "database": "postgres", "sslmode": "disable", "peers": peers,
               "answers": 1, "unknown": "refuse", "override": str(override(pair, name)), "wait_seconds": 0, **changes}
    path = pair.folder / f"guard-{name}.json"
    path.write_text(json.dumps(options), encoding="utf-8")
    return [sys.executable, str(PROGRAM), str(path)]


def asked(pair: Pair, name: str, *words: str, **changes) -> tuple[int, str]:
    """The guard's exit status, and what it says."""
    done = subprocess.run([*guard(pair, name, **changes), *words], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr.strip()


def fence_options(pair: Pair, name: str, **more) -> dict:
    """What database_fence is given."""
    server = pair.servers[name]
    return {"data_directory": str(server.data), "bin_dir": str(server.binaries), **more}


def fenced(pair: Pair, name: str, **more) -> dict:
    """What database_fence returns."""
    defaults = {option: spec.get("default") for option, spec in database_fence.ARGUMENTS.items()}
    return database_fence.fence({**defaults, **fence_options(pair, name, **more)}, check_mode=False)


@dataclass
class Direct:
    """Clients of a server itself, in threads while the block runs. They do not wait for a standby, so that nothing but the server keeps them from writing."""

    endpoint: Endpoint
    clients: int = 4
    attempts: int = 0
    # Attempts that the server itself answered with an error.
    answered: int = 0
    acknowledged: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Direct:
        self._threads = [threading.Thread(target=self._client, args=(number,), daemon=True) for number in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _client(self, client: int) -> None:
        session, number = None, 0
        while not self._over.is_set():
            number += 1
            try:
                if session is None or session.closed:
                    session = psycopg.connect(host=self.endpoint.address, port=self.endpoint.port, user=OWNER, dbname=DATABASE, autocommit=True,
                                              sslmode="disable", gssencmode="disable", options="-c synchronous_commit=local")
                session.execute("INSERT INTO acknowledged VALUES (%s, %s)", (-1 - client, number))
                self._count(attempts=1, acknowledged=1)
            except psycopg.Error as error:
                self._count(attempts=1, answered=int(error.sqlstate is not None))
            time.sleep(PAUSE_SECONDS)
        if session is not None:
            session.close()

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                setattr(self, name, getattr(self, name) + number)
