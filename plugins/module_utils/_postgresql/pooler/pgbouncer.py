# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PgBouncer through its administration console: clients are held while the server behind it is exchanged.

PAUSE waits for the transactions under way, without a timeout: it runs in a thread whose session is closed when it takes too long. Success is read
from the pooler's state: before 1.25 a RELOAD that failed is answered like one that succeeded.
Source: PgBouncer's documentation of its console; its issue 715 on a RESUME beside a PAUSE.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, Callable

from ..._database.interface import SSL_MODES
from ..._host.config_file import ConfigFile
from ..session import APPLICATION, Connection, Login, PostgresqlError, connect_console, server_name
from .pgbouncer_file import FALLBACK, Server, servers, with_server
from .survey import NOBODYS_DATABASE, PoolerFacts, astray, listeners, server_of, shares_port, to_move

CONSOLE = "pgbouncer"
NOT_PAUSED, ALREADY_PAUSED = "not paused", "already suspended/paused"
KNOCK_SECONDS = 1.0
# Sessions that are to reach one process. Two processes that share an address pass that once in 32 times.
SESSIONS = 6
# How often a database that was hidden between two commands is made again.
ATTEMPTS = 10
SOCKET_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
# A session that is kept (pool_mode=session) is ended when the pause does not come for so long, and again after as long.
RECONNECT_SECONDS = 0.1
# What ends a server connection whose server is dead and does not say so: one with a statement or a transaction under way, and one that a client keeps.
CUT_OFF = ("query_timeout", "idle_transaction_timeout", "server_fast_close")

# The option pooler, and the elements of the option poolers.
POOLER = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 6432},
    "user": {"type": "str", "default": "pgbouncer"},
    "password": {"type": "str", "no_log": True},
    "ssl_mode": {"type": "str", "default": "prefer", "choices": list(SSL_MODES)},
    "ca_cert": {"type": "path"},
    "file": {"type": "path", "required": True},
}
ARGUMENTS = {"poolers": {"type": "list", "elements": "dict", "default": [], "options": POOLER}}


class PoolerError(Exception):
    """A pooler cannot be reached, or does not carry out a command. The message names it."""


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
        # The entries that are moved, there and back; None: all that name a server.
        self._moved: frozenset[str] | None = None
        self._old: Server | None = None
        self._is_anothers_pause = False
        self._before_cut_off: dict[str, str] = {}

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
            own = f"pausing {secrets.token_hex(8)}"
            self._pausing, self._commanding = self._session(own), self._session()
            if not self._sees([own]):
                raise self.error("has two processes for two sessions: give each process its own address, and list each one in poolers")
            yield self
        finally:
            for session in (self._pausing, self._commanding):
                if session is not None:
                    session.close()
            self._pausing = self._commanding = None

    def servers(self) -> dict[str, Server]:
        """Where its file says that its databases are."""
        return servers(self._file.read())

    def choose(self, old: Server, new: Server) -> None:
        """Have `point` move what is at the old server now, and nothing that is at the new one on purpose."""
        self._moved, self._old = to_move(self.servers(), old, new), old

    @property
    def moved(self) -> frozenset[str]:
        """The entries that `point` moves."""
        return self._moved or frozenset()

    def point(self, old: Server, new: Server) -> None:
        """Have its file name `new` where it names `old`. `follow` makes it so."""
        try:
            self._file.rewrite(lambda text: with_server(text, old, new, self._moved))
        except OSError as error:
            raise self.error(f"has its entries in {self._file.path}, which cannot be replaced: {error.strerror}. Let this account write in that folder, and "
                             "have the file be no mount of its own") from error

    def pause(self) -> None:
        """Hold every client's next transaction; returns when no transaction is under way any more."""
        try:
            self._tell(self._there(self._pausing), "PAUSE")
        except PoolerError as error:
            self._is_anothers_pause = ALREADY_PAUSED in str(error)
            raise

    def reconnect(self) -> None:
        """Leave each server connection after its transaction; with `server_fast_close` also those that a client keeps (``pool_mode=session``)."""
        self._tell(self._there(self._commanding), "RECONNECT")

    def cut_off(self) -> None:
        """End each server connection that is not free within a second, with the client that waits for it; `resume` and a RELOAD end that again."""
        if self._before_cut_off:
            return
        config = self._config()
        self._before_cut_off = {name: config[name] for name in CUT_OFF}
        for name in CUT_OFF:
            self._tell(self._there(self._commanding), f"SET {name} = 1")

    def shut_down(self) -> None:
        """End the sessions that wait for it."""
        for session in (self._pausing, self._commanding):
            if session is not None:
                session.shut_down()

    def give_up_pausing(self) -> None:
        """End the session in which `pause` waits."""
        if self._pausing is not None:
            self._pausing.shut_down()

    def follow(self) -> None:
        """Read the file, and leave the server connections that it does not name any more. PoolerError unless it says then that it sends where its file says."""
        reason = "see its log"
        try:
            self._tell(self._there(self._commanding), "RELOAD")
        except PoolerError as error:
            reason = str(error)
        self.require_followed(reason)

    def require_followed(self, reason: str = "RELOAD it, and see its log") -> None:
        """PoolerError unless it sends where its file says."""
        wrong = self._astray()
        if wrong:
            raise self.error(f"has not taken what {self._file.path} says: it sends {', '.join(wrong)}. Something in its configuration is wrong: {reason}")

    def has_followed(self) -> bool:
        """Whether it uses the servers in its file, and no database is paused."""
        return not self._is_paused() and not self._astray()

    def _astray(self) -> list[str]:
        entries = self.servers()
        # Clients are held meanwhile, so SHOW DATABASES is sent only when there is an entry *.
        databases = self._databases() if FALLBACK in entries else self._rows("DATABASES")
        return astray(entries, databases, self._moved, self._old)

    def open_databases(self) -> list[str]:
        """The databases that clients can use."""
        return [row["name"] for row in self._rows("DATABASES") if {row["paused"], row["disabled"]} <= {"0", ""}]

    def resume(self) -> None:
        """Let the clients go on; one that was not paused goes on as well."""
        if self._is_anothers_pause:
            raise self.error("was paused already, by another session or a killed run, and stays paused: RESUME it")
        for name, value in self._before_cut_off.items():
            self._tell(self._there(self._commanding), f"SET {name} = {value}")
        self._before_cut_off = {}
        try:
            self._tell(self._there(self._commanding), "RESUME")
        except PoolerError as error:
            if NOT_PAUSED not in str(error):
                raise

    def is_dead(self) -> bool:
        """Whether nothing listens at its address, as its host says."""
        host = self._login.host or ""
        try:
            if host.startswith("/"):
                with socket.socket(socket.AF_UNIX) as way:
                    way.settimeout(KNOCK_SECONDS)
                    way.connect(f"{host}/.s.PGSQL.{self._login.port}")
            else:
                socket.create_connection((host, self._login.port), timeout=KNOCK_SECONDS).close()
        except OSError as error:
            return error.errno in (errno.ECONNREFUSED, errno.ENOENT)
        return False

    def facts(self, is_old: Callable[[Server], bool], is_urgent: bool = False) -> PoolerFacts:
        """What a survey looks at. Opens its own sessions, and changes nothing that lasts.

        :param is_old: whether an entry's server is the one that is demoted, by another name.
        :param is_urgent: whether clients may be held already: several sessions are not opened then to see that they reach one process.
        """
        file = self._file.path
        # Beside a mistake in the file's path or rights a dead pooler is nothing.
        found = PoolerFacts(self.name, server_name(self._login), file, self.servers(), can_write=os.access(os.path.dirname(file), os.W_OK | os.X_OK))
        try:
            with self._commanded():
                return self._asked(found, is_old, is_urgent)
        except PoolerError:
            if self.is_dead():
                return replace(found, is_dead=True)
            raise

    @contextlib.contextmanager
    def _commanded(self) -> Iterator[None]:
        """Have a session for commands while the block runs: the one that `opened` has made, or another one."""
        if self._commanding is not None:
            yield
            return
        with self._session() as session:
            self._commanding = session
            try:
                yield
            finally:
                self._commanding = None

    def _asked(self, found: PoolerFacts, is_old: Callable[[Server], bool], is_urgent: bool) -> PoolerFacts:
        databases = self._databases()
        config = self._config()
        is_by_socket = (self._login.host or "").startswith("/")
        return replace(
            found, databases=databases, config=config, pools=self._rows("POOLS"), peers=self._rows_if_any("PEERS"),
            is_paused=None if is_urgent else self._is_paused(),
            is_by_socket=is_by_socket, is_one=is_by_socket or is_urgent or self._is_one(),
            listeners=self._listeners(config["listen_port"]) if shares_port(config) else 0,
            aliases=[row["name"] for row in databases if is_old(server_of(row)._replace(host=row["host"] or config["unix_socket_dir"]))])

    def _databases(self) -> list[dict[str, str]]:
        """`SHOW DATABASES`. The entry * appears only as a database that was made from it, and a pooler without that entry refuses to make one.

        PgBouncer's maintenance, three times a second, hides such a database again while no client uses it.
        """
        for _attempt in range(ATTEMPTS):
            try:
                self._tell(self._there(self._commanding), f"RECONNECT {NOBODYS_DATABASE}")
                is_made = True
            except PoolerError:
                is_made = False
            rows = [row for row in self._rows("DATABASES") if row["name"] != CONSOLE]
            if not is_made or any(row["name"] == NOBODYS_DATABASE for row in rows):
                return rows
        raise self.error(f"does not show the database {NOBODYS_DATABASE} that it made from its entry *: make it answer its console faster")

    def port_if_shared(self, facts: PoolerFacts) -> str | None:
        """The port that it shares with other processes, when it is reached by its own socket; None otherwise."""
        return facts.config["listen_port"] if facts.is_by_socket and shares_port(facts.config) else None

    def login_like(self, login: Login) -> Login:
        """How a client with the user of that login reaches databases through it."""
        return replace(login, host=self._login.host, port=self._login.port, ssl_mode=self._login.ssl_mode, ca_cert=self._login.ca_cert)

    def _is_one(self) -> bool:
        """Whether several sessions reach the process that carries out the commands."""
        with contextlib.ExitStack() as stack:
            names = [f"looking {secrets.token_hex(8)}" for _number in range(SESSIONS - 1)]
            for name in names:
                stack.enter_context(self._session(name))
            return self._sees(names)

    def _sees(self, names: Sequence[str]) -> bool:
        """Whether the process that carries out the commands has the sessions with these names. Assumed before 1.18, which does not report names."""
        clients = self._rows("CLIENTS")
        if not clients or "application_name" not in clients[0]:
            return True
        # With application_name_add_host the client's address follows.
        return all(any(row["application_name"].startswith(_application(name)) for row in clients) for name in names)

    def _listeners(self, port: str) -> int:
        """How many processes listen on its port, 0 when it is on another host or that cannot be seen."""
        if not _is_here(self._login.host or ""):
            return 0
        tables = []
        for path in SOCKET_TABLES:
            with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
                tables.append(file.read())
        return listeners(tables, port)

    def _there(self, session: Connection | None) -> Connection:
        if session is None:
            raise self.error("is used outside of the block in which its sessions are open")
        return session

    def _rows(self, what: str) -> list[dict[str, str]]:
        try:
            return self._there(self._commanding).records(f"SHOW {what}")
        except PostgresqlError as error:
            raise self.error(f"refuses SHOW {what}: {error}") from error

    def _is_paused(self) -> bool | None:
        """None for one before 1.19, which does not say so."""
        return next((row["value"] == "yes" for row in self._rows_if_any("STATE") if row["key"] == "paused"), None)

    def _config(self) -> dict[str, str]:
        return {row["key"]: row["value"] for row in self._rows("CONFIG")}

    def _rows_if_any(self, what: str) -> list[dict[str, str]]:
        """Empty where this version does not know of it."""
        with contextlib.suppress(PoolerError):
            return self._rows(what)
        return []

    def _session(self, name: str = "commanding") -> Connection:
        try:
            return connect_console(self._login, CONSOLE, _application(name))
        except PostgresqlError as error:
            raise self.error(f"gives no session of its console: {error}") from error

    def _tell(self, session: Connection, command: str) -> None:
        try:
            session.run(command)
        except PostgresqlError as error:
            raise self.error(f"refuses {command}: {error}") from error


def _application(session: str) -> str:
    return f"{APPLICATION} {session}"


def _is_here(host: str) -> bool:
    """Whether a host is this one, which can bind its own addresses only."""
    if host.startswith("/"):
        return True
    try:
        kind, _type, _protocol, _name, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as way:
            way.bind(address)
    except OSError:
        return False
    return True


def of(options: Sequence[Mapping[str, Any]]) -> list[PgBouncer]:
    """The poolers that a module's option describes."""
    names = [option["name"] for option in options]
    if len(set(names)) < len(names):
        raise PoolerError(f"poolers has a name twice: {', '.join(names)}")
    return [
        PgBouncer(option["name"], Login(host=option["host"], port=option["port"], user=option["user"], password=option["password"],
                                        ssl_mode=option["ssl_mode"], ca_cert=option["ca_cert"]), option["file"])
        for option in options
    ]


def pause_all(poolers: Sequence[PgBouncer], seconds: float, is_server_dead: bool = False) -> None:
    """Pause all poolers at once. Raises PoolerError when one is not paused in time; the others may be paused then.

    :param is_server_dead: the transactions under way will never end, so their connections are closed.
    """
    if not poolers:
        return
    with ThreadPoolExecutor(max_workers=len(poolers)) as threads:
        pausing = {pooler: threads.submit(pooler.pause) for pooler in poolers}
        late, give_up = list(poolers), time.monotonic() + seconds
        while late and time.monotonic() < give_up:
            wait(pausing.values(), timeout=min(RECONNECT_SECONDS, give_up - time.monotonic()))
            late = [pooler for pooler in late if not pausing[pooler].done()]
            for pooler in late:
                with contextlib.suppress(PoolerError):
                    pooler.reconnect()
                    if is_server_dead:
                        pooler.cut_off()
        for pooler in late:
            pooler.give_up_pausing()
    if late:
        raise late[0].error(f"could not be paused within {seconds:g} s: a transaction is under way for longer than that, or a client keeps its session "
                            "(pool_mode=session without server_fast_close=1). End it, or wait for its end")
    for future in pausing.values():
        future.result()


def resume_all(poolers: Iterable[PgBouncer]) -> list[str]:
    """Resume all poolers, also after an error with one of them; a sentence for each that could not be resumed."""
    return [problem for pooler in poolers if (problem := _resume_problem(pooler))]


def _resume_problem(pooler: PgBouncer) -> str:
    try:
        pooler.resume()
    except PoolerError as error:
        return str(error)
    return ""
