# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import threading

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import environment, session as postgresql

FOREIGN = {"PGHOSTADDR": "192.0.2.1", "PGSERVICE": "other", "PGOPTIONS": "-c statement_timeout=1", "PGCLIENTENCODING": "LATIN1", "PGDATABASE": "x", "PGTZ": "?"}
OWN = {"PGPASSFILE": "/pass", "PGSSLCERT": "/cert", "PATH": "/bin"}


def test_programs_get_nothing_that_redirects_their_sessions():
    found = environment.of_programs({**FOREIGN, **OWN}, {})
    assert found == {**OWN, "LC_MESSAGES": "C"}
    found = environment.of_programs(FOREIGN, {"idle_session_timeout": "0", "x.y": "a b\\"})
    assert found == {"PGOPTIONS": "-c idle_session_timeout=0 -c x.y=a\\ b\\\\", "LC_MESSAGES": "C"}


def test_a_server_is_asked_for_settings_that_it_has():
    assert [len(environment.patience(version)) for version in (130000, 140000, 170000)] == [3, 4, 5]


@pytest.fixture
def foreign(monkeypatch):
    for name, value in {**FOREIGN, **OWN}.items():
        monkeypatch.setenv(name, value)


def test_a_driver_finds_none_of_them_and_they_are_back_afterwards(foreign):
    with pytest.raises(ZeroDivisionError), environment.own_environment():
        assert not set(FOREIGN) & set(os.environ) and set(OWN) < set(os.environ)
        raise ZeroDivisionError
    assert {name: os.environ[name] for name in FOREIGN} == FOREIGN


def test_sessions_that_open_at_once_see_none_either(foreign):
    seen = []

    def look():
        for _time in range(200):
            with environment.own_environment():
                seen.append(set(FOREIGN) & set(os.environ))

    threads = [threading.Thread(target=look) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 800 and not any(seen)


def test_a_session_is_opened_in_that_environment(foreign, monkeypatch):
    seen = []

    class Driver:
        Error = OSError

        @staticmethod
        def connect(**_keywords):
            seen.append(set(FOREIGN) & set(os.environ))
            raise OSError("not here")

    monkeypatch.setattr(postgresql, "_driver", lambda _is_brief: Driver)
    with pytest.raises(postgresql.PostgresqlError):
        postgresql.connect(postgresql.Login())
    assert seen == [set()]
    assert "PGSERVICE" not in postgresql.Login().environment()


def test_a_patient_session_has_no_limit_that_the_server_set(monkeypatch):
    ran = []
    attributes = {"server_version": 150004, "announced_pid": 7, "value": lambda _self, _question: 7, "run": lambda _self, statement: ran.append(statement)}
    session = type("Session", (), attributes)()
    monkeypatch.setattr(postgresql, "connect", lambda *_arguments: session)
    assert postgresql.connect_patiently(postgresql.Login()) is session
    assert ran == ["SET statement_timeout = '0'", "SET idle_in_transaction_session_timeout = '0'", "SET idle_session_timeout = '0'", "SET lock_timeout = '30s'"]
