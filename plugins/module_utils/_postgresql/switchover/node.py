# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server as one of two that exchange their roles: what it is, how far it is, fenced, promoted.

Source: PostgreSQL's documentation of its system administration functions and of ``pg_stat_wal_receiver``.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..._host.waiting import wait_for
from ..catalog import identity, user_databases
from ..environment import UNLIMITED, setting_statement
from ..pooler.pgbouncer_file import Server
from ..session import Connection, Login, PostgresqlError, conninfo_parameters, literal, own_session
from . import advisory_signals, facts as switchover_facts
from .survey import READ_ONLY, Facts

KNOCK_SECONDS, FENCE_SECONDS = 1.0, 5.0
REFUSES, LISTENS, SILENT = "refuses", "listens", "silent"
# A run that is about to promote a standby holds it, shared. The guard of a server (roles/database_guard) that this standby lets start as a primary holds it
# exclusively for some seconds. An advisory lock counts in one database, which is login_db.
PROMOTION_LOCK = 4_909_207_133_501
MESSAGE_PREFIX = "alwayson.upgrade"
FENCE = READ_ONLY
# Its own statements may write while those of others are read only, have no timeout, and wait for this server's disk only.
OWN_SETTINGS = setting_statement({FENCE: "off", "synchronous_commit": "local", "lock_timeout": "0", **UNLIMITED})
END_TRANSACTIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""


@dataclass(frozen=True)
class Position:
    """What a server is and how far its log is: `lsn` is what it has written, or as a standby replayed."""

    system_identifier: str
    in_recovery: bool
    lsn: str


class Node:
    """One server. Its session is opened by `opened`.

    :param address: how the poolers' files name it.
    """

    def __init__(self, name: str, login: Login, address: Server) -> None:
        self.name = name
        self.address = address
        self._login = login
        self._opened: Connection | None = None
        # Open from before a run's first change until its end: the way in when the server has no place for another session.
        self._spare: Connection | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self._login.host}:{self._login.port})"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Node]:
        """Have its session open while the block runs."""
        before = self._opened
        with contextlib.ExitStack() as stack:
            try:
                self._opened = stack.enter_context(_session_with(self._login))
            except PostgresqlError:
                if not self._spare_answers():
                    raise
                self._opened = self._spare
            try:
                yield self
            finally:
                self._opened = before

    @contextlib.contextmanager
    def with_spare(self) -> Iterator[Connection]:
        """Have a second session open while the block runs, which `opened` gives when the server gives no other one."""
        with _session_with(self._login) as session:
            self._spare = session
            try:
                yield session
            finally:
                self._spare = None

    def _spare_answers(self) -> bool:
        """Whether the spare session is there, and its server is alive; one that hangs is cut off."""
        if self._spare is None:
            return False
        try:
            with self._spare.limited(KNOCK_SECONDS):
                return bool(self._spare.value("SELECT true"))
        except PostgresqlError:
            return False

    @property
    def _session(self) -> Connection:
        """The session that `opened` has opened."""
        if self._opened is None:
            raise PostgresqlError(f"{self} is asked outside of the block in which its session is open")
        return self._opened

    def login(self) -> Login:
        """How it is reached."""
        return self._login

    def may_be(self, server: Server) -> bool:
        """Whether an address that is not its own may lead to it, too."""
        return server != self.address and server.port == self.address.port and bool(server.host) and "," not in server.host

    def has_address(self, server: Server) -> bool:
        """Whether that is its address by another name, as the resolver here says."""
        return self.may_be(server) and bool(_addresses(server.host) & _addresses(self.address.host))

    def is_also(self, server: Server) -> bool:
        """Whether that address leads to this server: both report the same system identifier and are no standbys. False when no server answers there."""
        there = Node(server.host, replace(self._login, host=server.host), server)
        with contextlib.suppress(PostgresqlError), self.opened(), there.opened():
            return there.system_identifier() == self.system_identifier() and not there.is_in_recovery() and not self.is_in_recovery()
        return False

    def shut_down(self) -> None:
        """End a wait for this server that may never end."""
        if self._opened is not None:
            self._opened.shut_down()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        return self._session.rows(statement)

    def signal(self, what: str) -> bool:
        """Set a signal on this server, see `_postgresql.switchover.advisory_signals`."""
        return advisory_signals.signal(self._session, what)

    def clear(self, what: str) -> None:
        """Clear a signal."""
        advisory_signals.clear(self._session, what)

    def signals(self, names: Iterable[str]) -> set[str]:
        """Those of the signals that are set now."""
        return advisory_signals.signals(self._session, names)

    def knock(self) -> str:
        """Try to connect: `LISTENS` when the port is open, `REFUSES` when its host refuses the connection, `SILENT` without an answer."""
        try:
            socket.create_connection((self._login.host, self._login.port), timeout=KNOCK_SECONDS).close()
        except ConnectionRefusedError:
            return REFUSES
        except OSError:
            return SILENT
        return LISTENS

    def is_refusing(self) -> bool:
        """Whether its host says that nothing listens there, and no session that was opened before is alive: then the server is dead."""
        return self.knock() == REFUSES and not self._spare_answers()

    def is_in_recovery(self) -> bool:
        """Whether it takes no writes because it is a standby."""
        return bool(self._session.value("SELECT pg_is_in_recovery()"))

    def position(self) -> Position:
        """See `Position`."""
        facts = identity(self._session)
        lsn = self._session.value("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text")
        return Position(facts["system_identifier"], not facts["primary"], lsn)

    def facts(self, lasting_seconds: float | None = None) -> Facts:
        """See `_postgresql.switchover.facts`. `lasting_seconds`: transactions that have lasted so long are among them."""
        return switchover_facts.gather(self._session, str(self), lasting_seconds)

    def unlogged_tables(self) -> list[str]:
        """Those of every database."""
        return switchover_facts.unlogged_tables(self._login, user_databases(self._session))

    def readers_in_the_way(self) -> list[str]:
        """On a standby: those whom replay waits for."""
        return [text for _pid, text in self._session.rows(switchover_facts.READERS)]

    def end_readers_in_the_way(self) -> list[str]:
        """End the sessions of those whom replay waits for, but for those that this role may not end; who they were."""
        ended = []
        for pid, text in self._session.rows(switchover_facts.READERS):
            with contextlib.suppress(PostgresqlError):
                self._session.run("SELECT pg_terminate_backend(%s)", (pid,))
                ended.append(text)
        return ended

    def writers(self) -> list[str]:
        """Who is writing, although it is fenced."""
        return [row[0] for row in self._session.rows(switchover_facts.WRITERS)]

    def snapshot(self) -> str:
        """Which transactions that wrote have ended and which have not. When it is the same later, nothing was written in between."""
        return self._session.value("SELECT pg_current_snapshot()::text")

    def is_fed(self) -> bool:
        """Whether it streams at this moment: then its primary is alive."""
        return self._session.value("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") > 0

    def streams_as_named(self) -> tuple[str, bool]:
        """The name under which it streams, or would if its primary is gone; and whether that name is configured, see `has_own_name`."""
        given, cluster_name = conninfo_parameters(self.setting("primary_conninfo") or ""), self.setting("cluster_name") or ""
        return switchover_facts.streaming_name(given, cluster_name), switchover_facts.has_own_name(given, cluster_name)

    def setting(self, name: str) -> str:
        """A setting of the server, as text."""
        return self._session.value("SELECT setting FROM pg_settings WHERE name = %s", (name,))

    def configure(self, name: str, value: str | None) -> None:
        """Change a setting of the whole server (None: as its files have it), and have it take that."""
        self._session.run(f"ALTER SYSTEM RESET {name}" if value is None else f"ALTER SYSTEM SET {name} = {literal(value)}")
        self._session.run("SELECT pg_reload_conf()")

    def checkpoint(self) -> None:
        """Run CHECKPOINT."""
        self._session.run("CHECKPOINT")

    def is_fenced(self) -> bool:
        """Whether new transactions are read only by default."""
        return self._session.value("SELECT reset_val FROM pg_settings WHERE name = %s", (FENCE,)) == "on"

    def fence(self) -> None:
        """Make new transactions read only by default, and end those under way of clients that bypass the poolers."""
        self.configure(FENCE, "on")
        if not wait_for(self.is_fenced, FENCE_SECONDS, 0.001):
            raise PostgresqlError(f"{self} does not take {FENCE}=on: see its log")
        self._session.rows(END_TRANSACTIONS)

    def unfence(self) -> None:
        """Have it take writes again, if it is a primary."""
        self.configure(FENCE, None)

    def end_of_log(self) -> str:
        """The end of what it has acknowledged, which is on the disk then: also commits that did not wait for that (``synchronous_commit=off``)."""
        self._session.run(f"SELECT pg_logical_emit_message(true, '{MESSAGE_PREFIX}', 'switchover')")
        return self._session.value("SELECT pg_current_wal_lsn()::text")

    def has_replayed(self, lsn: str) -> bool:
        """Whether it has everything up to there."""
        return bool(self._session.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)))

    def bytes_behind(self, lsn: str) -> int:
        """How much of its primary's log it has not replayed."""
        return int(self._session.value("SELECT pg_wal_lsn_diff(%s::pg_lsn, pg_last_wal_replay_lsn())", (lsn,)))

    def claim_promotion(self) -> bool:
        """Keep the guard of another server from starting that beside this standby, as long as this session lasts; False when it has just done so."""
        return bool(self._session.value("SELECT pg_try_advisory_lock_shared(%s)", (PROMOTION_LOCK,)))

    def write(self) -> None:
        """Have one transaction take the way of every client's: read only if it is so by default here, and acknowledged when theirs would be."""
        self._session.run(f"RESET {FENCE}; RESET synchronous_commit")
        if self._session.value("SELECT current_setting('transaction_read_only')") == "on":
            raise PostgresqlError(f"{self} takes no writes: {FENCE} is on there")
        self._session.run(f"SELECT pg_logical_emit_message(true, '{MESSAGE_PREFIX}', 'promoted')")

    def timeline(self) -> int:
        """The timeline that it writes on, as a primary."""
        return int(self._session.value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"), 16)

    def system_identifier(self) -> str:
        """What names its data."""
        return identity(self._session)["system_identifier"]

    def promote(self) -> None:
        """Begin to make it a primary."""
        if not self._session.value("SELECT pg_promote(false)"):
            raise PostgresqlError(f"{self} refuses to be promoted: see its log")


@contextlib.contextmanager
def _session_with(login: Login) -> Iterator[Connection]:
    with own_session(login) as session:
        session.run(OWN_SETTINGS)
        yield session


def _addresses(host: str) -> set[str]:
    with contextlib.suppress(OSError):
        return {str(found[4][0]) for found in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    return set()
