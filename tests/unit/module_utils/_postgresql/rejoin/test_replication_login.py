# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to stream is tried by a process of its own, with either driver, and however the connection string is written."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import session as postgresql_session
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin import replication_login
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin.replication_login import identify
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError, conninfo_with


@pytest.fixture(params=["psycopg", "psycopg2"], name="driver", autouse=True)
def _driver(request, monkeypatch):
    pytest.importorskip(request.param)
    if request.param == "psycopg2":
        monkeypatch.setattr(postgresql_session, "DRIVERS", [postgresql_session._psycopg2])
    return request.param


@pytest.mark.parametrize("conninfo", [
    "host=db2 user=replicator", "host = 'db2'  user = replicator", "postgresql://replicator@db2", "postgres://replicator@db2/?application_name=old"])
def test_the_name_gets_into_a_connection_string_of_any_form(conninfo):
    made = conninfo_with(conninfo, application_name="db1")
    assert {"host=db2", "user=replicator", "application_name=db1"} <= set(made.split()) and "old" not in made


def test_what_is_no_connection_string_is_refused():
    with pytest.raises(PostgresqlError, match="no connection string of libpq"):
        conninfo_with("host=db2 nonsense", application_name="db1")


def test_who_does_not_answer_is_reported_and_the_environment_is_not_this_ones(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("PGPORT", "1")
    before = dict(os.environ)
    with pytest.raises(PostgresqlError, match=f"127.0.0.1.*{port}|{port}.*refused"):
        identify("host=127.0.0.1", {}, {"PGPORT": str(port)})
    assert dict(os.environ) == before


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(replication_login, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(PostgresqlError, match=r"no answer within 0.2 s"):
        identify(f"host=127.0.0.1 port={listener.getsockname()[1]}", {}, {})
