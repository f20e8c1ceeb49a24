# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How MariaDB is reached: verified when that is asked, and not in the clear when it is not to be."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import session as mariadb_session
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.session import Login, MariadbError, connect


@pytest.mark.parametrize(("mode", "verified", "named"), [
    ("require", ssl.CERT_NONE, False), ("verify-ca", ssl.CERT_REQUIRED, False), ("verify-full", ssl.CERT_REQUIRED, True)])
def test_what_is_asked_for_is_verified_also_without_a_file_of_authorities(mode, verified, named):
    context = Login(host="db1", ssl_mode=mode).keywords()["ssl"]
    assert (context.verify_mode, context.check_hostname) == (verified, named)
    assert ("--ssl-verify-server-cert" in Login(host="db1", ssl_mode=mode, ca_cert="/ca.pem").options()) == (verified == ssl.CERT_REQUIRED)


@pytest.mark.parametrize("login", [Login(host="db1"), Login(host="db1", ssl_mode="allow"), Login(socket="/run/m.sock", ssl_mode="verify-full")])
def test_what_may_be_in_the_clear_is_left_to_the_driver(login):
    assert "ssl" not in login.keywords()


def test_a_session_in_the_clear_is_none_where_it_was_to_be_encrypted(monkeypatch):
    """Some versions of the driver go on in the clear when the server, or somebody between, offers no TLS."""
    left, right = socket.socketpair()
    raw = SimpleNamespace(_sock=left, open=True, close=left.close, thread_id=lambda: 1, get_server_info=lambda: "10.11.19-MariaDB")
    monkeypatch.setattr(mariadb_session, "pymysql", SimpleNamespace(connect=lambda **_given: raw, MySQLError=OSError,
                                                                    constants=SimpleNamespace(CLIENT=SimpleNamespace(MULTI_STATEMENTS=0))))
    assert connect(Login(host="db1")).id == 1
    with pytest.raises(MariadbError, match="db1, port 3306 offers no encryption, and ssl_mode is verify-full"):
        connect(Login(host="db1", ssl_mode="verify-full"))
    assert left.fileno() == -1
    right.close()
    with pytest.raises(MariadbError, match="no session on db1"):
        connect(Login(host="db1", ssl_mode="verify-full", ca_cert="/nowhere"))
