# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PgBouncer is told, and what is made of its answers: beside a console that answers as several versions do."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler import pgbouncer
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer import PgBouncer, PoolerError, pause_all
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer_file import FALLBACK, Server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.survey import NOBODYS_DATABASE
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login, PostgresqlError

OLD, NEW = Server("10.0.0.1", "5432"), Server("10.0.0.2", "5432")


class Process:
    """One PgBouncer process, whose configuration is the file, unless it is broken.

    :param answers: what it refuses a command with.
    :param keeps_sessions: whether a pause does not come before its server connections are to be left.
    :param waits_for_the_dead: whether it does not come before they are cut off.
    :param hidden: how often its maintenance comes between the making of a database of the entry * and the next command.
    """

    def __init__(self, path, answers=None, is_broken=False, keeps_sessions=False, waits_for_the_dead=False, hidden=0):
        self.hidden = hidden
        self.waits_for_the_dead = waits_for_the_dead
        self.path, self.answers, self.is_broken, self.sessions, self.commands = path, answers or {}, is_broken, [], []
        self.left = threading.Event()
        if not keeps_sessions and not waits_for_the_dead:
            self.left.set()
        self.databases = self._read()

    def _read(self):
        return pgbouncer.servers(self.path.read_text(encoding="utf-8"))

    def run(self, command):
        self.commands.append(command)
        if command in self.answers:
            raise PostgresqlError(self.answers[command])
        if command == "PAUSE" and not self.left.wait(5):
            raise PostgresqlError("cut off")
        if command == ("SET query_timeout = 1" if self.waits_for_the_dead else "RECONNECT"):
            self.left.set()
        if command == "RELOAD" and not self.is_broken:
            self.databases = self._read()
        if command == f"RECONNECT {NOBODYS_DATABASE}":
            self._make_of_fallback()

    def _make_of_fallback(self):
        if FALLBACK not in self.databases:
            raise PostgresqlError(f"no such database: {NOBODYS_DATABASE}")
        self.hidden -= 1
        self.databases.pop(NOBODYS_DATABASE, None)
        if self.hidden < 0:
            self.databases[NOBODYS_DATABASE] = self.databases[FALLBACK]

    def records(self, statement):
        what = statement.split()[1]
        if what == "DATABASES":
            return [{"name": name, "host": server.host, "port": server.port, "paused": "0", "disabled": "0"} for name, server in self.databases.items()
                    if name != FALLBACK]
        if what == "CONFIG":
            return [{"key": name, "value": "0"} for name in ("query_timeout", "idle_transaction_timeout", "server_fast_close", "listen_port")]
        if what == "CLIENTS":
            # As with application_name_add_host=1.
            return [{"application_name": f"{name} - 127.0.0.1:4711"} for name in self.sessions]
        if what == "POOLS":
            return []
        raise PostgresqlError(f"unsupported command {statement}")


class Session:
    def __init__(self, process, name):
        self.process, self.name = process, name
        process.sessions.append(name)
        self.run, self.records = process.run, process.records

    def close(self):
        self.process.sessions.remove(self.name)

    def shut_down(self):
        self.process.left.set()


@pytest.fixture
def pooler(tmp_path, monkeypatch):
    """A function that makes one, reached by sessions with these processes, by turns."""
    path = tmp_path / "databases.ini"
    path.write_text("shop = host=10.0.0.1\nshop_ro = host=10.0.0.2\n", encoding="utf-8")

    def make(*processes):
        turns = iter(processes * 20)
        monkeypatch.setattr(pgbouncer, "connect_console", lambda _login, _name, application: Session(next(turns), application))
        return PgBouncer("p1", Login(host="127.0.0.1", port=6432), str(path))

    make.path = path
    return make


def moved(one):
    one.choose(OLD, NEW)
    one.point(OLD, NEW)


def test_a_reload_that_changes_nothing_is_no_success_although_it_is_answered_so(pooler):
    process = Process(pooler.path, is_broken=True)
    one = pooler(process)
    moved(one)
    with one.opened(), pytest.raises(PoolerError, match=r"pooler p1 .* has not taken .*: it sends shop to 10.0.0.1:5432 and not to 10.0.0.2:5432.*see its log"):
        one.follow()


def test_a_reload_that_complains_of_something_else_is_a_success_when_the_pooler_sends_where_it_should(pooler):
    process = Process(pooler.path, answers={"RELOAD": "RELOAD failed, see logs"})
    one = pooler(process)
    moved(one)
    with one.opened(), pytest.raises(PoolerError, match="RELOAD failed, see logs"):
        one.follow()
    process.databases = {"shop": NEW, "shop_ro": NEW}
    with one.opened():
        one.follow()
        assert one.has_followed()


def test_readers_at_the_standby_stay_there_when_the_others_go_back(pooler):
    one = pooler(Process(pooler.path))
    before = one.servers()
    moved(one)
    assert one.servers() == {"shop": NEW, "shop_ro": NEW}
    one.point(NEW, OLD)
    assert one.servers() == before


def test_two_sessions_with_two_processes_are_no_pooler(pooler):
    one = pooler(Process(pooler.path), Process(pooler.path))
    with pytest.raises(PoolerError, match="has two processes for two sessions: give each process its own address"), one.opened():
        pass


def test_a_pause_of_somebody_else_is_left_to_them(pooler):
    process = Process(pooler.path, answers={"PAUSE": "already suspended/paused"})
    one = pooler(process)
    with one.opened():
        with pytest.raises(PoolerError, match="refuses PAUSE"):
            pause_all([one], 1.0)
        with pytest.raises(PoolerError, match=r"was paused already, .* and stays paused: RESUME it"):
            one.resume()
    assert "RESUME" not in process.commands


def test_sessions_that_clients_keep_are_ended_when_the_pause_does_not_come(pooler):
    process = Process(pooler.path, keeps_sessions=True)
    one = pooler(process)
    with one.opened():
        pause_all([one], 3.0)
        one.resume()
    assert process.commands[:2] == ["PAUSE", "RECONNECT"] and process.commands[-1] == "RESUME"


def test_a_pause_that_does_not_come_is_given_up(pooler):
    process = Process(pooler.path, answers={"RECONNECT": "no"}, keeps_sessions=True)
    one = pooler(process)
    with one.opened(), pytest.raises(PoolerError, match=r"could not be paused within 0.3 s: a transaction is under way .* or a client keeps its session"):
        pause_all([one], 0.3)


def test_what_waits_for_a_dead_server_is_cut_off_and_nothing_else_ever(pooler):
    process = Process(pooler.path, waits_for_the_dead=True)
    one = pooler(process)
    with one.opened():
        with pytest.raises(PoolerError, match="could not be paused"):
            pause_all([one], 0.3)
        assert [reported for reported in process.commands if reported.startswith("SET")] == []
    process.commands.clear()
    process.left.clear()
    one = pooler(process)
    with one.opened():
        pause_all([one], 3.0, is_server_dead=True)
        one.resume()
    limits = ("query_timeout", "idle_transaction_timeout", "server_fast_close")
    reported = [reported for reported in process.commands if reported.startswith("SET")]
    assert reported == [f"SET {name} = {value}" for value in (1, 0) for name in limits] and process.commands[-1] == "RESUME"


def test_who_listens_nowhere_is_dead(tmp_path):
    path = tmp_path / "databases.ini"
    path.write_text("", encoding="utf-8")
    assert PgBouncer("p1", Login(host="127.0.0.1", port=1), str(path)).is_dead()
    assert PgBouncer("p1", Login(host=str(tmp_path), port=6432), str(path)).is_dead()


def test_an_entry_for_everything_else_is_seen_although_maintenance_hides_what_was_made_of_it(pooler):
    pooler.path.write_text("* = host=10.0.0.1\n", encoding="utf-8")
    process = Process(pooler.path, hidden=3)
    with pooler(process).opened() as one:
        one.is_dead = lambda: False
        seen = one.facts(lambda _server: False, is_urgent=True).databases
        assert {row["name"]: row["host"] for row in seen} == {NOBODYS_DATABASE: "10.0.0.1"} and process.hidden == -1
        process.hidden = 10
        with pytest.raises(PoolerError, match=r"does not show the database alwayson_upgrade that it made from its entry \*"):
            one.facts(lambda _server: False, is_urgent=True)


def test_a_reload_that_leaves_the_entry_for_everything_else_where_it_was_is_no_success(pooler):
    """What was made of it before has been hidden since."""
    pooler.path.write_text("* = host=10.0.0.1\n", encoding="utf-8")
    process = Process(pooler.path, is_broken=True, hidden=1)
    one = pooler(process)
    moved(one)
    with one.opened(), pytest.raises(PoolerError, match=r"has not taken .*: it sends alwayson_upgrade to 10.0.0.1:5432 and not to 10.0.0.2:5432"):
        one.follow()
    process.is_broken = False
    with one.opened():
        one.follow()
