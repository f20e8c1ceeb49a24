# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many application servers in one process, for fleets that are larger than a small machine has room for processes.

    crowd.py HOSTS    be the application server of every folder in HOSTS, until SIGTERM

Each has its address, its folder, its release and its service's files: `supervisor.py start DIR` and `stop DIR` command it as they command a supervisor. One
that is started reads which release is current; one that is stopped refuses connections. They share the process, the code of each release, and its connections
to the databases.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

# Run by its path, as a program: the fleet's other modules are found beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fleet.service import Files
from fleet.supervisor import only_supervisor

LOG = logging.getLogger("crowd")
POLL_SECONDS = 0.05
GRACE_SECONDS = 8.0
# To each tenant's database, of all members together.
MAX_CONNECTIONS = 24
# How old the answer to a member's health check may be as far as the databases are concerned.
CHECKED_SECONDS = 1.0
PRIORITY = -10
MARKER = ".release.json"


class Releases:
    """The code of the releases, by the checksum of their archive, and the databases as each release reaches them."""

    def __init__(self) -> None:
        self._loaded: dict[str, SimpleNamespace] = {}

    def of(self, folder: Path, tenants: dict[str, str]) -> SimpleNamespace:
        """What an application is made of: `number`, `shop`, `server`, `stores`."""
        key = json.loads((folder / MARKER).read_text(encoding="utf-8"))["sha256"]
        if key not in self._loaded:
            code = _imported(folder)
            code["pool"].MAX_CONNECTIONS = MAX_CONNECTIONS
            stores = {tenant: _checked_rarely(code["store"].Store(code["pool"].Pool(conninfo))) for tenant, conninfo in tenants.items()}
            self._loaded[key] = SimpleNamespace(shop=code["shop"], server=code["server"], stores=stores)
        return SimpleNamespace(number=(folder / "RELEASE").read_text(encoding="ascii").strip(), **vars(self._loaded[key]))


def _imported(folder: Path) -> dict:
    """A release's modules by name; another release has modules of the same names."""
    names = [path.stem for path in folder.glob("*.py") if path.stem != "app"]
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)


def _checked_rarely(store: object) -> object:
    """The store, whose check asks the database once in a while, whoever wants to know."""
    check, last = store.check, SimpleNamespace(task=None, at=float("-inf"))

    async def checked() -> None:
        now = asyncio.get_running_loop().time()
        if now - last.at >= CHECKED_SECONDS:
            last.at, last.task = now, asyncio.ensure_future(check())
        await asyncio.shield(last.task)

    store.check = checked
    return store


class Host:
    """One application server."""

    def __init__(self, directory: Path, releases: Releases) -> None:
        self.files = Files(directory)
        self._releases = releases
        self._settings = json.loads((directory / "env.json").read_text(encoding="utf-8"))
        self._server = None
        self._command = {"wanted": "up", "serial": None}
        self._seen: tuple | None = None
        self._turn = asyncio.Lock()
        self._starts, self._last_exit = 0, None
        self._tasks: set[asyncio.Task] = set()

    def look(self) -> None:
        """Begin to do what a command says that has come since."""
        with contextlib.suppress(FileNotFoundError):
            found = self.files.command.stat()
            if (found.st_ino, found.st_mtime_ns) != self._seen:
                self._seen = found.st_ino, found.st_mtime_ns
                self._command = self.files.read(self.files.command)
                self.obey()

    def obey(self) -> None:
        task = asyncio.ensure_future(self._build())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _build(self) -> None:
        async with self._turn:
            try:
                await (self._start() if self._command["wanted"] == "up" else self.stop())
            except Exception as error:  # A release that cannot be started ends this application, and no other.
                LOG.exception("%s cannot be started", self.files.directory.name)
                self._server, self._last_exit = None, 1
                self._log(str(error))
                self._tell("backoff")

    async def _start(self) -> None:
        if self._server is None:
            self._starts += 1
            self._tell("starting")
            await asyncio.sleep(float(self._settings["BOOT_SECONDS"]))
            # The link is followed now, once: a switch under a running application must not mix two releases.
            folder = (self.files.directory / "current").resolve(strict=True)
            code = self._releases.of(folder, json.loads(self._settings["TENANTS"]))
            name = self._settings["HOST_NAME"]
            shop = code.shop.Shop(code.number, name, code.stores, self.files.directory / "lame_duck")
            server = code.server.Server(shop.answer, {"X-Release": code.number, "X-Served-By": name})
            address, _colon, port = self._settings["LISTEN"].rpartition(":")
            await server.start(address, int(port))
            self._server = server
            self._log(f"release {code.number} listens on {address}:{port}")
        self._tell("running")

    async def stop(self) -> None:
        """As abruptly as the service is configured to be stopped."""
        if self._server is not None:
            server, self._server = self._server, None
            self._tell("stopping")
            if self.files.abrupt.exists():
                server.abort()
                self._last_exit = -int(signal.SIGKILL)
            else:
                await server.stop(GRACE_SECONDS)
                self._last_exit = 0
        self._tell("stopped")

    def abort(self) -> None:
        if self._server is not None:
            self._server.abort()

    def _tell(self, state: str) -> None:
        self.files.write(self.files.state, {"state": state, "serial": self._command["serial"], "pid": None, "started": None, "starts": self._starts,
                                            "last_exit": self._last_exit})

    def _log(self, text: str) -> None:
        with open(self.files.log, "a", encoding="utf-8") as log:
            log.write(text + "\n")


async def serve(hosts: Path) -> None:
    """Be all of them until SIGTERM or SIGINT."""
    end, releases = asyncio.Event(), Releases()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, end.set)
    with contextlib.ExitStack() as locks:
        crowd = [Host(directory, releases) for directory in sorted(hosts.iterdir())]
        for host in crowd:
            locks.enter_context(only_supervisor(host.files))
            host.look()
            if host._seen is None:
                host.obey()
        while not end.is_set():
            for host in crowd:
                host.look()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(end.wait(), POLL_SECONDS)
        for host in crowd:
            host.abort()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # On a busy machine one process would get the share of one, and stands for many.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    # A listener for each member, and the load balancers' connections to all of them.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(serve(Path(sys.argv[1]).absolute()))
