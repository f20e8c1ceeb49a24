# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs that change the roles of the same servers: one of them gets the lock, the other one is told who has it."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer import PgBouncer
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.run_lock import (
    EXCLUSIVE, HOLDERS, PATIENCE_SECONDS, RunLock, RunLockError,
)
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError, Window
from fake_load_balancer import Time


class Session:
    """One of a fake server; its lock ends with it."""

    def __init__(self, node, database):
        self.node, self.database, self.name = node, database, ""
        node.last_pid += 1
        self.pid = node.last_pid

    def run(self, script):
        if "application_name" in script:
            self.name = script.split("'")[1]
        if "unlock_all" in script:
            self.node.locks.pop(self, None)

    def value(self, statement):
        if "backend_pid" in statement:
            return self.pid
        mode = "ShareLock" if "_shared" in statement else EXCLUSIVE
        here = [other for session, other in self.node.locks.items() if session.database == self.database]
        if here and (mode == EXCLUSIVE or EXCLUSIVE in here):
            return False
        self.node.locks[self] = mode
        return True

    def rows(self, statement):
        assert statement == HOLDERS
        return [(session.pid, mode, session.name, "10.0.0.5", "2026-11-30 01:02:03 UTC") for session, mode in self.node.locks.items()]


class Node:
    """A server; `database` is the one that its sessions are in."""

    def __init__(self, name, database="postgres", server=None):
        self.name, self.database = name, database
        self.locks = server.locks if server else {}
        self.last_pid = 0 if not server else 100

    def __str__(self):
        return self.name

    @contextlib.contextmanager
    def with_spare(self):
        session = Session(self, self.database)
        yield session
        self.locks.pop(session, None)

    def rows(self, statement):
        return Session(self, self.database).rows(statement)


def run(*nodes, purpose="switchover db1>db2", is_shared=False, time=None):
    return RunLock(nodes, purpose, is_shared, (time or Time()).clock)


def test_a_second_run_is_refused_and_told_who_is_at_work_and_how_the_lock_of_a_dead_one_is_freed():
    db1, db2, time = Node("db1"), Node("db2"), Time()
    with run(db1, db2).taken():
        began = time.now
        with pytest.raises(RunLockError, match=r"another run is at work on db1: alwayson.upgrade \d+@.* switchover db1>db2 from 10.0.0.5, since 2026-11-30 "
                                               r"01:02:03 UTC, server process 1. Nothing was changed. .*pg_terminate_backend\(1\)"):
            run(db2, db1, purpose="switchover db2>db1", time=time).taken().__enter__()
        assert PATIENCE_SECONDS <= time.now - began < 2 * PATIENCE_SECONDS
        with pytest.raises(RunLockError, match="another run is at work on db2"), run(db2, purpose="failover db1>db2").taken():
            pass
    with run(db2, db1).taken():
        assert len(db1.locks) == len(db2.locks) == 1
    assert db1.locks == db2.locks == {}


def test_a_run_that_is_refused_on_the_second_server_lets_go_of_the_first():
    db1, db2 = Node("db1"), Node("db2")
    with run(db2, purpose="failover db1>db2").taken():
        with pytest.raises(RunLockError, match=r"at work on db2: .* failover db1>db2"), run(db1, db2).taken():
            pass
        assert db1.locks == {} and len(db2.locks) == 1


def test_runs_whose_sessions_are_in_two_databases_refuse_each_other():
    """An advisory lock counts in one database only."""
    db1 = Node("db1")
    with run(db1).taken(), pytest.raises(RunLockError, match="another run is at work on db1"), run(Node("db1", "other", db1)).taken():
        pass


def test_redirections_go_on_beside_each_other_and_not_beside_a_switchover():
    db1 = Node("db1")
    with run(db1, is_shared=True).taken(), run(db1, is_shared=True).taken(), pytest.raises(RunLockError, match="another run is at work"), run(db1).taken():
        pass
    with run(db1).taken(), pytest.raises(RunLockError, match="another run is at work"), run(Node("db1", "other", db1), is_shared=True).taken():
        pass


def test_a_lock_that_was_lost_or_is_not_alone_any_more_is_noticed():
    db1, db2 = Node("db1"), Node("db2")
    lock = run(db1, db2)
    with lock.taken():
        lock.require_held()
        other = Session(Node("db2", "other", db2), "other")
        db2.locks[other] = EXCLUSIVE
        with pytest.raises(RunLockError, match="has lost its lock on db2"):
            lock.require_held()
        del db2.locks[other]
        lock.require_held()
        db1.locks.clear()
        with pytest.raises(RunLockError, match="has lost its lock on db1"):
            lock.require_held()


class Exchange(Window):
    """One whose servers are `nodes`."""

    def __init__(self, nodes, poolers):
        self.nodes = nodes
        super().__init__(*nodes, poolers, Limits())

    def _nodes(self):
        return self.nodes[1:]


def test_failovers_of_one_primary_to_two_standbys_meet_at_the_poolers_file(tmp_path):
    """They have no living server in common."""
    db1, db2, db3 = Node("db1"), Node("db2"), Node("db3")
    poolers = [PgBouncer("pooler", Login(), str(tmp_path / "databases.ini")), PgBouncer("again", Login(), str(tmp_path / "databases.ini"))]
    with Exchange((db1, db2), poolers)._alone():
        with pytest.raises(SwitchoverError, match=r"another run is at work: process \d+ holds .*databases.ini.run.* Nothing was changed"):
            Exchange((db1, db3), poolers[:1])._alone().__enter__()
        with Exchange((db1, db3), [])._alone():
            pass
    with Exchange((db1, db3), poolers)._alone():
        pass
