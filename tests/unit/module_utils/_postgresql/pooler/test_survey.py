# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What refuses an exchange at a pooler, and what does not: each finding names the thing and the cure."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer_file import Server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.survey import (
    NOBODYS_DATABASE, Exchange, PoolerFacts, astray, listeners, survey, to_move,
)
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.findings import refusals, warnings

OLD, NEW, THIRD = Server("10.0.0.1", "5432"), Server("10.0.0.2", "5432"), Server("10.0.0.3", "5432")
PLANNED = Exchange(OLD, NEW, 15.0, given={})
CRASH = replace(PLANNED, needs_all=False)
CONFIG = {"so_reuseport": "0", "listen_port": "6432", "server_fast_close": "0", "query_wait_timeout": "120", "server_login_retry": "1"}
# 127.0.0.1:6432, twice, and once more as a connection; and 6433 once.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1920 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:1920 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:1920 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3
   3: 0100007F:1921 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4
"""


def row(name, server, **more):
    return {"name": name, "host": server.host, "port": server.port, "paused": "0", "disabled": "0", **more}


def pool(database, mode="transaction", active=1):
    return {"database": database, "pool_mode": mode, "sv_active": str(active)}


def facts(entries=None, databases=None, config=None, **more):
    entries = {"shop": OLD} if entries is None else entries
    found = [row(name, server) for name, server in entries.items()] if databases is None else databases
    return PoolerFacts("p1", "127.0.0.1, port 6432", "/etc/p/databases.ini", entries, databases=found, config={**CONFIG, **(config or {})}, **more)


HEALTHY = {
    "one entry": facts(),
    "readers at the standby": facts({"shop": OLD, "shop_ro": NEW}),
    "entries of other servers": facts({"shop": OLD, "other": THIRD, "list": Server("10.0.0.3,10.0.0.4", "5432")}),
    "a fallback and what it made": facts({"*": OLD}, [row("shop", OLD), row(NOBODYS_DATABASE, OLD)]),
    "moved by a run that was killed": facts({"shop": NEW}, [row("shop", OLD)]),
    "file newer than the pooler": facts({"shop": OLD}, [row("shop", NEW)]),
    "session pool without sessions": facts(pools=[pool("shop", "session", 0)]),
    "transaction pools": facts(pools=[pool("shop"), pool("pgbouncer", "statement")]),
    "sessions of another server": facts({"shop": OLD, "other": THIRD}, pools=[pool("other", "session")]),
    "alone on a port that could be shared": facts(config={"so_reuseport": "1"}, listeners=1),
}


@pytest.mark.parametrize("which", HEALTHY)
def test_a_healthy_pooler_is_not_refused(which):
    assert survey(HEALTHY[which], PLANNED) == [] == survey(HEALTHY[which], CRASH)


REFUSED = {
    "several processes": (facts(is_one=False), "reach different processes.*unix_socket_dir of its own"),
    "shared port": (facts(config={"so_reuseport": "1"}, listeners=2), "2 processes listen there, so_reuseport=1.*unix_socket_dir of its own"),
    "shared port elsewhere": (facts(config={"so_reuseport": "1"}), "how many processes listen there"),
    "peers": (facts(config={"so_reuseport": "1"}, peers=[{"peer_id": "1", "host": "/run/p1"}, {"peer_id": "2", "host": "/run/p2"}]),
              "its peers: 1 at /run/p1, 2 at /run/p2"),
    "by sockets, one left out": (facts(config={"so_reuseport": "1"}, listeners=2, is_by_socket=True),
                                 "2 processes share the port 6432.*0 of them are listed"),
    "entry of another file": (facts({"shop": OLD}, [row("shop", OLD), row("reports", OLD)]),
                              "sends reports to 10.0.0.1:5432, and /etc/p/databases.ini does not"),
    "fallback of another file": (facts({"shop": OLD}, [row("shop", OLD), row(NOBODYS_DATABASE, OLD)]), r"sends \* to 10.0.0.1:5432"),
    "list of hosts": (facts({"shop": OLD, "reports": Server("10.0.0.1,10.0.0.1", "5432")}), "several hosts for reports, 10.0.0.1 among them: name one"),
    "file that is not included": (facts({"shop": OLD}, []), "does not send shop to where .* says: see that its section .databases. includes that file"),
    "another name": (facts(aliases=["reports"]), "sends reports to the server 10.0.0.1:5432 by another name"),
    "folder": (facts(can_write=False), "whose folder cannot be written here"),
    "paused": (facts(is_paused=True), "is paused already: find out why, and RESUME it"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_cannot_be_led_is_refused_by_name_with_the_cure(which):
    found, text = REFUSED[which]
    for exchange in (PLANNED, CRASH):
        reported = survey(found, exchange)
        assert [finding.refuses for finding in reported] == [True], reported
        assert re.search(text, refusals(reported)) and refusals(reported).startswith(("pooler p1 (127", "sessions with pooler p1", "2 processes share"))


def test_processes_that_share_a_port_are_driven_when_each_is_given():
    found = facts(config={"so_reuseport": "1"}, listeners=2, is_by_socket=True)
    assert survey(found, replace(PLANNED, given={"6432": 2})) == []
    # Whoever drives one of them alone cannot know of the others.
    assert survey(found, replace(PLANNED, given=None)) == []


def test_a_pooler_that_is_down_refuses_a_planned_switchover_and_no_failover():
    dead = facts(is_dead=True, databases=[], can_write=False)
    assert "does not run: nothing listens there. Start it, or remove it" in refusals(survey(dead, PLANNED))
    assert refusals(survey(dead, CRASH)) == "" and "does not run, so no client uses it" in warnings(survey(dead, CRASH))[0]


def test_kept_sessions_are_ended_where_the_pooler_can_and_refused_where_a_pause_would_wait():
    kept = facts(pools=[pool("shop", "session", 3), pool("shop", "session", 0)])
    assert "keeps sessions for 3 clients of shop (pool_mode=session), and a pause waits until these clients disconnect" in refusals(survey(kept, PLANNED))
    assert survey(kept, CRASH) == []
    ended = replace(kept, config={**CONFIG, "server_fast_close": "1"})
    assert refusals(survey(ended, PLANNED)) == "" and "they are ended" in warnings(survey(ended, PLANNED))[0]


def test_what_makes_clients_wait_or_lose_their_connection_is_a_warning():
    reported = survey(facts(databases=[row("shop", OLD, paused="1"), row("b", OLD, disabled="1")], entries={"shop": OLD, "b": OLD},
                            config={"query_wait_timeout": "5", "server_login_retry": "15"}), PLANNED)
    assert refusals(reported) == "" and len(reported) == 4
    for finding, text in zip(reported, ("has shop paused", "has b disabled", "query_wait_timeout", "server_login_retry")):
        assert text in finding.text


def test_what_is_moved_is_what_is_at_the_old_server_or_all_that_a_killed_run_has_moved():
    assert to_move({"shop": OLD, "shop_ro": NEW, "other": THIRD}, OLD, NEW) == {"shop"}
    assert to_move({"shop": NEW, "other": THIRD}, OLD, NEW) == {"shop"}
    assert to_move({"other": THIRD}, OLD, NEW) == frozenset()


def test_a_pooler_that_does_not_send_where_its_file_says_is_reported():
    entries = {"shop": NEW, "other": THIRD}
    assert astray(entries, [row("shop", NEW), row("other", THIRD), row("reports", OLD)]) == []
    assert astray(entries, [row("shop", OLD), row("other", THIRD)]) == ["shop to 10.0.0.1:5432 and not to 10.0.0.2:5432"]
    assert astray(entries, [row("other", THIRD)]) == ["shop, which it does not know"]
    assert astray(entries, [row("shop", NEW)], {"shop"}) == []


def test_what_the_entry_for_all_others_has_made_does_not_stay_behind():
    assert astray({"*": NEW}, [row("shop", NEW), row("reports", THIRD), row(NOBODYS_DATABASE, NEW)], {"*"}, OLD) == []
    assert astray({"*": NEW}, [row(NOBODYS_DATABASE, OLD)], {"*"}) == [f"{NOBODYS_DATABASE} to {OLD} and not to {NEW}"]
    assert astray({"*": NEW}, [row("shop", OLD)], {"*"}, OLD) == [f"shop to {OLD} and not to {NEW}"]
    # Back again, nothing is wrong with what is at the old one.
    assert astray({"*": OLD}, [row("shop", OLD), row("shop_ro", NEW)], {"*"}, OLD) == []


def test_who_listens_on_a_port_is_counted_at_each_address():
    assert [listeners([TCP], port) for port in ("6432", "6433", "6434")] == [2, 1, 0]
    assert listeners([TCP, TCP], "6432") == 2 and listeners([], "6432") == 0
