# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_engines import has_server
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.connections import unverified

REMOTE = {"postgresql_login_host": "10.0.0.5"}


@pytest.mark.parametrize("known", [{}, {"postgresql_login_host": "/run/postgresql"}, {"database_login_host": "127.0.0.1"},
                                   {"postgresql_login_host": "localhost"},
                                   {"database_engine": "sqlite", "database_login_host": "10.0.0.5"}, {**REMOTE, "postgresql_ssl_mode": "verify-full"},
                                   {**REMOTE, "database_ssl_mode": "verify-ca"}])
def test_a_server_on_its_own_host_and_one_that_is_verified_are_no_news(known):
    assert unverified(["db1"], ["p1"], {"db1": known, "p1": {"pooler": {"host": "127.0.0.1"}}}, has_server) == []


@pytest.mark.parametrize(("known", "said"), [
    (REMOTE, "is encrypted where the server offers it, and the server is not verified (ssl_mode prefer). To have the server verified, set postgresql_ssl_mode"),
    ({**REMOTE, "postgresql_ssl_mode": "require"}, "is encrypted, and the server is not verified (ssl_mode require)"),
    ({"database_login_host": "10.0.0.5", "database_ssl_mode": "disable"},
     "is not encrypted (ssl_mode disable). To have the server verified, set database_ssl_mode"),
])
def test_a_server_that_is_not_verified_is_named_with_the_cure(known, said):
    [sentence] = unverified(["db1", "db2"], [], {"db1": known, "db2": known}, has_server)
    assert sentence.startswith("db1 and db2: the session with its databases ") and said in sentence and "verify-full" in sentence


def test_a_pooler_that_is_not_verified_is_named():
    pooler = {"pooler": {"host": "10.0.0.7", "ssl_mode": "prefer"}}
    [sentence] = unverified([], ["p1", "p2"], {"p1": pooler, "p2": {"pooler": {"host": "10.0.0.8", "ssl_mode": "verify-full"}}}, has_server)
    assert sentence.startswith("p1: the session with its pooler ") and "ssl_mode: verify-full and ca_cert in pooler" in sentence
