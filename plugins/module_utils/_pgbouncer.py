# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PgBouncer through its administration console: clients are held while the server behind it is exchanged.

PAUSE waits for the transactions under way, and has no limit of its own: it runs in a thread whose session is cut off when it takes too long.
Source: PgBouncer's documentation of its console; its issue 715 on a RESUME beside a PAUSE.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Iterable, Iterator, Mapping, Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._config_file import ConfigFile
from ansible_collections.alwayson.upgrade.plugins.module_utils._pgbouncer_file import Server, servers, with_server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, Login, PostgresqlError, connect_console, server_name

CONSOLE = "pgbouncer"
NOT_PAUSED = "not paused"

# The option pooler, and the elements of the option poolers.
POOLER = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 6432},
    "user": {"type": "str", "default": "pgbouncer"},
    "password": {"type": "str", "no_log": True},
    "ssl_mode": {"type": "str", "default": "prefer"},
    "file": {"type": "path", "required": True},
}
ARGUMENTS = {"poolers": {"type": "list", "elements": "dict", "default": [], "options": POOLER}}


class PoolerError(Exception):
    """A pooler cannot be reached, or does not do what it is told. The message names it."""


class PgBouncer:
    """One PgBouncer. Its sessions are opened by `opened`, before they are needed.

    :param file: the file with the entries of its databases, on this host.
    """

    def __init__(self, name: str, login: Login, file: str) -> None:
        self.name = name
        self._login = login
        self._file = ConfigFile(file, self.error)
        self._pausing: Connection | None = None
        self._commanding: Connection | None = None

    def error(self, what: str) -> PoolerError:
        """An error that names it."""
        return PoolerError(f"pooler {self.name} ({server_name(self._login)}) {what}")

    @property
    def lock_file(self) -> str:
        """The file that a run locks which exchanges the servers in its file."""
        return self._file.hidden("run")

    @contextlib.contextmanager
    def opened(self) -> Iterator[PgBouncer]:
        """Have its sessions open while the block runs."""
        try:
            self._pausing, self._commanding = self._session(), self._session()
            yield self
        finally:
            for session in (self._pausing, self._commanding):
                if session is not None:
                    session.close()
            self._pausing = self._commanding = None

    def servers(self) -> dict[str, Server]:
        """Where its file says that its databases are."""
        return servers(self._file.read())

    def point(self, old: Server, new: Server) -> bool:
        """Have its file name `new` where it names `old`; whether it did. `follow` makes it so."""
        before = self._file.read()
        self._file.rewrite(lambda text: with_server(text, old, new))
        return self._file.read() != before

    def pause(self) -> None:
        """Hold every client's next transaction; returns when no transaction is under way any more."""
        self._tell(self._pausing, "PAUSE")

    def shut_down(self) -> None:
        """End whatever waits for it."""
        for session in (self._pausing, self._commanding):
            if session is not None:
                session.shut_down()

    def give_up_pausing(self) -> None:
        """End the session in which `pause` waits."""
        if self._pausing is not None:
            self._pausing.shut_down()

    def follow(self) -> None:
        """Read the file, and leave the server connections that it does not name any more."""
        self._tell(self._commanding, "RELOAD")

    def resume(self) -> None:
        """Let the clients go on; one that was not paused goes on as well."""
        try:
            self._tell(self._commanding, "RESUME")
        except PoolerError as error:
            if NOT_PAUSED not in str(error):
                raise

    def _session(self) -> Connection:
        try:
            return connect_console(self._login, CONSOLE)
        except PostgresqlError as error:
            raise self.error(f"gives no session of its console: {error}") from error

    def _tell(self, session: Connection, command: str) -> None:
        try:
            session.run(command)
        except PostgresqlError as error:
            raise self.error(f"refuses {command}: {error}") from error


def of(options: Sequence[Mapping]) -> list[PgBouncer]:
    """The poolers that a module's option describes."""
    names = [option["name"] for option in options]
    if len(set(names)) < len(names):
        raise PoolerError(f"poolers has a name twice: {', '.join(names)}")
    return [
        PgBouncer(option["name"], Login(host=option["host"], port=option["port"], user=option["user"], password=option["password"],
                                        ssl_mode=option["ssl_mode"]), option["file"])
        for option in options
    ]


def pause_all(poolers: Sequence[PgBouncer], seconds: float) -> None:
    """Pause all of them at once. When one does not manage in time, raise PoolerError; the others may be paused then."""
    if not poolers:
        return
    with ThreadPoolExecutor(max_workers=len(poolers)) as threads:
        pausing = {pooler: threads.submit(pooler.pause) for pooler in poolers}
        _done, unfinished = wait(pausing.values(), timeout=seconds)
        late = [pooler for pooler, future in pausing.items() if future in unfinished]
        for pooler in late:
            pooler.give_up_pausing()
    if late:
        raise late[0].error(f"did not come to rest within {seconds:g} s: a transaction is under way for longer than that. End it, or wait for its end")
    for future in pausing.values():
        future.result()


def resume_all(poolers: Iterable[PgBouncer]) -> list[str]:
    """Resume all of them, whatever becomes of the others; a sentence for each that could not be."""
    problems = []
    for pooler in poolers:
        try:
            pooler.resume()
        except PoolerError as error:
            problems.append(str(error))
    return problems
