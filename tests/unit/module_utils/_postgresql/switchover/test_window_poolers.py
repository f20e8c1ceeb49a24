# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which poolers take part in an exchange, and which ones are led when it was done before: by their files, and by what they say."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer_file import Server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.survey import PoolerFacts
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError, Window

OLD, NEW = Server("10.0.0.1", "5432"), Server("10.0.0.2", "5432")
CONFIG = {"so_reuseport": "0", "listen_port": "6432", "server_fast_close": "0", "query_wait_timeout": "120", "server_login_retry": "1"}


class Node:
    def __init__(self, name, address):
        self.name, self.address = name, address

    def __str__(self):
        return self.name


class Pooler:
    """Its file, and whether it does what that says."""

    def __init__(self, name, entries, follows=True, is_dead=False):
        self.name, self.entries, self.follows, self.dead, self.chosen = name, entries, follows, is_dead, None

    def servers(self):
        return self.entries

    def is_dead(self):
        return self.dead

    def has_followed(self):
        return self.follows

    @contextlib.contextmanager
    def opened(self):
        yield self

    def facts(self, _is_old, _is_urgent):
        rows = [{"name": name, "host": server.host, "port": server.port} for name, server in self.entries.items()]
        return PoolerFacts(self.name, "10.0.0.9, port 6432", "/etc/p.ini", self.entries, is_dead=self.dead, databases=rows, config=CONFIG)

    def port_if_shared(self, _facts):
        return None

    def choose(self, old, new):
        self.chosen = old, new


class Exchange(Window):
    """One that was done before, or is to be done."""

    is_done, is_demoted = False, True

    def survey(self):
        if self.is_done:
            self._require_followed()
        return not self.is_done

    def _nodes(self):
        return self.old, self.new

    def _is_demoted(self):
        return self.is_demoted


def exchange(*poolers, **more):
    window = Exchange(Node("db1", OLD), Node("db2", NEW), poolers, Limits())
    for name, value in more.items():
        setattr(window, name, value)
    return window


def test_a_pooler_that_missed_an_exchange_is_led_when_the_old_server_says_that_it_was_demoted():
    missed, led = Pooler("p1", {"shop": OLD}), Pooler("p2", {"shop": NEW})
    window = exchange(missed, led, is_done=True)
    assert window.dry_run() and window.stragglers == [missed] and window.result.warnings == []
    with pytest.raises(SwitchoverError, match=r"pooler p1 sends to 10.0.0.1:5432, and db2 is 10.0.0.2:5432 for it: correct the addresses, or its file"):
        exchange(missed, led, is_done=True, is_demoted=False).dry_run()


def test_a_pooler_that_does_not_do_what_its_file_says_is_led_although_its_file_is_right():
    behind, led = Pooler("p1", {"shop": NEW}, follows=False), Pooler("p2", {"shop": NEW})
    window = exchange(behind, led, is_done=True)
    assert window.dry_run() and window.stragglers == [behind]
    assert not exchange(led, is_done=True).dry_run()


def test_readers_at_the_old_server_are_named_and_left_there():
    window = exchange(Pooler("p1", {"shop": NEW, "shop_ro": OLD}), is_done=True, is_demoted=False)
    assert not window.dry_run() and window.stragglers == []
    assert window.result.warnings == [
        "pooler p1 sends shop_ro to db1, which takes no writes: unless clients are to read there, name 10.0.0.2:5432 in its file and RELOAD it"]


def test_a_pooler_that_is_down_is_left_out_only_where_it_need_not_run():
    up, down = Pooler("p1", {"shop": OLD, "shop_ro": NEW}), Pooler("p2", {"shop": OLD}, is_dead=True)
    window = exchange(up, down, needs_all_poolers=False)
    assert window.dry_run() and (window.poolers, window.down) == ([up], [down])
    # Also the file of the one that is down is to name the new server.
    assert up.chosen == down.chosen == (OLD, NEW) and "p2 (10.0.0.9, port 6432) does not run" in window.result.warnings[0]
    with pytest.raises(SwitchoverError, match=r"pooler p2 .* does not run: nothing listens there. Start it, .* Nothing has changed"):
        exchange(up, down).dry_run()
