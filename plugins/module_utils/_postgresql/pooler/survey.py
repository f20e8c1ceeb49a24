# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pooler has to be like for its server to be exchanged behind it: decided from its configuration and its file, before any client is held.

Source: PgBouncer's documentation of its configuration file and of its console (`SHOW DATABASES`, `SHOW CONFIG`, `SHOW POOLS`, `SHOW STATE` since 1.19).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..switchover.findings import Finding
from .pgbouncer_file import FALLBACK, Server

SESSION = "session"
# A name that no database has, for the entry * to make one of.
NOBODYS_DATABASE = "alwayson_upgrade"
LOGIN_RETRY_MOST_SECONDS = 1.0
# A row of /proc/net/tcp whose socket listens.
_LISTENS = "0A"

Row = Mapping[str, str]


@dataclass(frozen=True)
class PoolerFacts:
    """One pooler as it was found.

    :param where: its address, for messages.
    :param file: the file with its entries.
    :param entries: database to server, as that file says it.
    :param is_dead: whether nothing listens at its address; the rest is not known then.
    :param databases: `SHOW DATABASES`; `config`: `SHOW CONFIG`; `pools`: `SHOW POOLS`; `peers`: `SHOW PEERS`.
    :param is_paused: None where it cannot say so.
    :param is_by_socket: whether it is reached by a Unix socket, which no other process shares.
    :param is_one: whether all sessions with its address reach one process.
    :param listeners: how many processes of this host listen on its port, 0 when that is not known.
    :param aliases: databases whose entry names the old server by another name.
    :param can_write: whether the file's folder can be written.
    """

    name: str
    where: str
    file: str
    entries: Mapping[str, Server]
    is_dead: bool = False
    databases: Sequence[Row] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    pools: Sequence[Row] = ()
    peers: Sequence[Row] = ()
    is_paused: bool | None = None
    is_by_socket: bool = False
    is_one: bool = True
    listeners: int = 0
    aliases: Sequence[str] = ()
    can_write: bool = True

    def __str__(self) -> str:
        return f"pooler {self.name} ({self.where})"


@dataclass(frozen=True)
class Exchange:
    """What is to be done: `old` and `new` as the poolers' files name them; clients are held for `window_seconds` at most.

    :param needs_all: whether no pooler may be down: not when the old server is dead.
    :param given: how many poolers of each port this run drives by a socket of their own; None when others of that host are driven by another run.
    """

    old: Server
    new: Server
    window_seconds: float
    needs_all: bool = True
    given: Mapping[str, int] | None = None


def survey(facts: PoolerFacts, exchange: Exchange) -> list[Finding]:
    """What is in the way, or worth a warning, at one pooler."""
    if facts.is_dead:
        return [_dead(facts, exchange)]
    return [*_processes(facts, exchange), *_entries(facts, exchange), *_state(facts, exchange), *_sessions(facts, exchange), *_limits(facts, exchange)]


def to_move(entries: Mapping[str, Server], old: Server, new: Server) -> frozenset[str]:
    """The entries that go from the old server to the new one; when a run that was killed has moved them already, those."""
    return frozenset(name for name, server in entries.items() if server == old) or frozenset(
        name for name, server in entries.items() if server == new)


def astray(entries: Mapping[str, Server], databases: Sequence[Row], names: Collection[str] | None = None, old: Server | None = None) -> list[str]:
    """A text for each database that the pooler does not send to where its file says; of these entries, or of all.

    :param old: the server that is demoted: what the entry * has made is not to stay there.
    """
    wanted = {name: server for name, server in entries.items() if names is None or name in names}
    found = {row["name"]: server_of(row) for row in databases}
    made = [name for name, server in found.items() if name not in entries and (name == NOBODYS_DATABASE or server == old)] if FALLBACK in wanted else []
    for name in made:
        wanted[name] = wanted[FALLBACK]
    missing = [f"{name}, which it does not know" for name in sorted(wanted) if name != FALLBACK and name not in found]
    return missing + [f"{name} to {found[name]} and not to {server}" for name, server in sorted(wanted.items()) if name in found and found[name] != server]


def server_of(row: Row) -> Server:
    """Where a row of `SHOW DATABASES` says that a database is."""
    return Server(row["host"], row["port"])


def listeners(tables: Sequence[str], port: str) -> int:
    """How many processes listen on a port, by the texts of /proc/net/tcp and /proc/net/tcp6: the most at one address."""
    at: dict[tuple[int, str], int] = {}
    for number, table in enumerate(tables):
        for line in table.splitlines()[1:]:
            _slot, local, _remote, state, *_rest = line.split()
            address, _colon, hexadecimal = local.rpartition(":")
            if state == _LISTENS and int(hexadecimal, 16) == int(port):
                at[number, address] = at.get((number, address), 0) + 1
    return max(at.values(), default=0)


def shares_port(config: Mapping[str, str]) -> bool:
    """Whether other processes may listen on the same port."""
    return config.get("so_reuseport", "0") not in ("0", "")


def _dead(facts: PoolerFacts, exchange: Exchange) -> Finding:
    if exchange.needs_all:
        return Finding(f"{facts} does not run: nothing listens there. Start it, or remove it from poolers if no client uses it")
    return Finding(f"{facts} does not run, so no client uses it: {facts.file} names {exchange.new} for its next start", False)


def _processes(facts: PoolerFacts, exchange: Exchange) -> Iterator[Finding]:
    cure = ("give each process a unix_socket_dir of its own, and name each one in poolers with that folder as its host" + _peers(facts))
    if not facts.is_one:
        yield Finding(f"sessions with {facts} reach different processes, and each one would have to be paused and resumed: {cure}")
    elif shares_port(facts.config) and not facts.is_by_socket and facts.listeners != 1:
        yield Finding(f"{facts} shares its port ({facts.listeners or 'how many'} processes listen there, so_reuseport=1), and a session reaches only one of "
                      f"them: {cure}")
    elif shares_port(facts.config) and exchange.given is not None:
        given = exchange.given.get(facts.config["listen_port"], 0)
        if facts.is_by_socket and facts.listeners > given:
            yield Finding(f"{facts.listeners} processes share the port {facts.config['listen_port']} of {facts}, and {given} of them are listed: {cure}")


def _peers(facts: PoolerFacts) -> str:
    peers = ", ".join(f"{row['peer_id']} at {row['host']}" for row in facts.peers)
    return f" (its peers: {peers})" if peers else ""


def _entries(facts: PoolerFacts, exchange: Exchange) -> Iterator[Finding]:
    known = {exchange.old, exchange.new}
    moved = to_move(facts.entries, exchange.old, exchange.new)
    found = {row["name"]: server_of(row) for row in facts.databases}
    several = [name for name, server in sorted({**facts.entries, **found}.items()) if "," in server.host and exchange.old.host in _hosts(server)]
    if several:
        yield Finding(f"{facts} has several hosts for {', '.join(several)}, {exchange.old.host} among them: name one server in each entry")
    foreign = [name for name, server in sorted(found.items()) if server == exchange.old and name not in facts.entries
               and facts.entries.get(FALLBACK) not in known]
    if foreign:
        yield Finding(f"{facts} sends {_described(foreign)} to {exchange.old}, and {facts.file} does not say so: have all entries of this server in that file, "
                      "and the section [databases] include it")
    unread = [name for name in sorted(moved - {FALLBACK}) if found.get(name) not in known]
    if unread:
        yield Finding(f"{facts} does not send {', '.join(unread)} to where {facts.file} says: see that its section [databases] includes that file, and "
                      "RELOAD it")
    if facts.aliases:
        yield Finding(f"{facts} sends {_described(facts.aliases)} to the server {exchange.old} by another name: name it {exchange.old} in {facts.file}")
    if not facts.can_write:
        yield Finding(f"{facts} has its entries in {facts.file}, whose folder cannot be written here: let this account write there")


def _described(names: Collection[str]) -> str:
    return ", ".join(sorted(FALLBACK if name == NOBODYS_DATABASE else name for name in names))


def _hosts(server: Server) -> list[str]:
    return [host.strip() for host in server.host.split(",")]


def _state(facts: PoolerFacts, exchange: Exchange) -> Iterator[Finding]:
    if facts.is_paused:
        yield Finding(f"{facts} is paused already: find out why, and RESUME it")
    for state in ("paused", "disabled"):
        names = [row["name"] for row in facts.databases if row.get(state, "0") not in ("0", "") and server_of(row) == exchange.old]
        if names:
            yield Finding(f"{facts} has {', '.join(sorted(names))} {state}, and that stays so", False)


def _sessions(facts: PoolerFacts, exchange: Exchange) -> Iterator[Finding]:
    here = {row["name"] for row in facts.databases if server_of(row) in (exchange.old, exchange.new)}
    kept = {row["database"]: int(row["sv_active"]) for row in facts.pools
            if row.get("pool_mode") == SESSION and row["database"] in here and int(row["sv_active"])}
    if not kept:
        return
    what = f"{facts} keeps sessions for {sum(kept.values())} clients of {', '.join(sorted(kept))} (pool_mode=session)"
    if facts.config.get("server_fast_close", "0") not in ("0", ""):
        yield Finding(f"{what}: they are ended, and these clients must connect again", False)
    elif exchange.needs_all:
        yield Finding(f"{what}, and a pause waits until these clients disconnect: set server_fast_close=1 and RELOAD it, so that such sessions are ended "
                      "between two transactions, or set pool_mode=transaction")


def _limits(facts: PoolerFacts, exchange: Exchange) -> Iterator[Finding]:
    wait = float(facts.config.get("query_wait_timeout") or 0)
    if 0 < wait < exchange.window_seconds:
        yield Finding(f"{facts} disconnects clients that wait for {wait:g} s (query_wait_timeout), and they may be paused for {exchange.window_seconds:g} s "
                      "(window_timeout): raise the first, or lower the second", False)
    retry = float(facts.config.get("server_login_retry") or 0)
    if retry > LOGIN_RETRY_MOST_SECONDS:
        yield Finding(f"{facts} tries a server that refused it again after {retry:g} s (server_login_retry), and its clients wait for that: set it to 1",
                      False)
