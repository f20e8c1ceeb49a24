# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.migration import locks
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.session import Login as MariadbLogin, MariadbError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import session as own
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login, PostgresqlError


class Session:
    """A session that tells these processes of the server, one after the other and the last one for ever; the first session's `announced_pid` is 7."""

    announced_pid, database, server_version, is_closed = 7, "shop", 150000, False

    def __init__(self, *pids, fails=False):
        self._pids, self._fails = list(pids), fails
        self.asked, self.ran = 0, []

    def value(self, _statement):
        self.asked += 1
        if self._fails:
            raise PostgresqlError("the session was lost")
        return self._pids.pop(0) if len(self._pids) > 1 else self._pids[0]

    def run(self, statement):
        self.ran.append(statement)

    def close(self):
        self.is_closed = True

    limited = own.Connection.limited

    def shut_down(self):
        raise AssertionError("nobody waits")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass


@pytest.fixture
def opened(monkeypatch):
    """Has these sessions opened, in their order."""

    def prepare(*sessions):
        coming = iter(sessions)
        monkeypatch.setattr(own, "connect", lambda _login, _name: next(coming))

    return prepare


def test_the_server_s_own_session_is_taken_as_it_is(opened):
    session = Session(7)
    opened(session)
    with own.own_session(Login(), "shop") as found:
        assert found is session and session.asked == 1
    assert session.ran == []


def test_a_pooler_that_leaves_each_session_its_own_is_taken(opened):
    session, other = Session(41), Session(42)
    opened(session, other)
    with own.own_session(Login(), "shop") as found:
        assert found is session and other.asked == own.ROUNDS and session.ran == []
    # The pooler's next client finds no lock and no setting of this one.
    assert session.ran == ["DISCARD ALL"] and other.ran == []


@pytest.mark.parametrize(
    ("session", "other"),
    [
        # A pool of one process; the process that was free last; each in turn.
        (Session(41), Session(41)),
        (Session(41), Session(42, 42, 41)),
        (Session(41, 41, 41, 42), Session(43)),
        (Session(41), Session(42, 43)),
    ],
)
def test_a_pooler_of_transactions_is_refused_with_the_cure(opened, session, other):
    opened(session, other)
    refusal = r"db1, port 6432 is a pooler in front of database shop, which pools transactions.*server itself as login_host"
    with pytest.raises(PostgresqlError, match=refusal), own.own_session(Login(host="db1", port=6432), "shop"):
        raise AssertionError("nothing is done")


def test_what_cannot_be_reported_is_refused(opened):
    opened(Session(41), Session(42, fails=True))
    with pytest.raises(PostgresqlError, match=r"is unknown: the session was lost. Give the address"), own.own_session(Login(), "shop"):
        raise AssertionError("nothing is done")


def test_what_has_settings_of_its_own_is_refused_before_it_sets_them(opened):
    pooled = Session(41)
    opened(pooled, Session(41))
    with pytest.raises(PostgresqlError, match="which pools transactions or statements"):
        own.connect_patiently(Login(), "shop")
    assert pooled.ran == [] and pooled.is_closed
    session = Session(7)
    opened(session)
    assert own.connect_patiently(Login(), "shop") is session and session.ran and not session.is_closed


def test_a_proxy_in_front_of_mariadb_is_refused(monkeypatch):
    session = Session(41)
    session.id = 40
    monkeypatch.setattr(locks, "connect", lambda *_arguments: session)
    refusal = "is a proxy in front of database shop: it says that this is connection 40, the server that it is 41"
    with pytest.raises(MariadbError, match=refusal), locks.open_session(MariadbLogin(), "shop"):
        raise AssertionError("nothing is done")
    session.id = 41
    with locks.open_session(MariadbLogin(), "shop") as found:
        assert found.database is session
