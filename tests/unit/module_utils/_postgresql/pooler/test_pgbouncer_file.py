# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file with PgBouncer's databases: what names the old server names the new one, and all else stays as it is."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer_file import Server, servers, with_server

OLD, NEW = Server("10.0.0.1", "5433"), Server("10.0.0.2", "6000")
TEXT = """\
[databases]
; tenant_x = host=10.0.0.1 port=5433
%include more.ini
tenant_a = host=10.0.0.1 port=5433 dbname=tenant_a pool_size=5
tenant_b=host='10.0.0.1' port = 5433
other = port=5433 host=10.0.0.9
local = dbname=x
"odd name" = host=10.0.0.1 dbname=q
* = host=10.0.0.1 port=5433
[pgbouncer]
admin_users = upgrade
stats_users = host=10.0.0.1 port=5433
"""


def test_where_each_database_is():
    assert servers(TEXT) == {"tenant_a": OLD, "tenant_b": OLD, "other": Server("10.0.0.9", "5433"), "odd name": Server("10.0.0.1", "5432"), "*": OLD}


def test_one_server_takes_the_place_of_another_and_nothing_else_changes():
    changed = with_server(TEXT, OLD, NEW)
    assert servers(changed) == {**servers(TEXT), "tenant_a": NEW, "tenant_b": NEW, "*": NEW}
    different = [line for line, before in zip(changed.splitlines(), TEXT.splitlines()) if line != before]
    assert different == ["tenant_a = host=10.0.0.2 port=6000 dbname=tenant_a pool_size=5", "tenant_b=host=10.0.0.2 port = 6000", "* = host=10.0.0.2 port=6000"]


def test_an_entry_without_a_port_gets_one():
    changed = with_server(TEXT, Server("10.0.0.1", "5432"), NEW)
    assert servers(changed)["odd name"] == NEW and servers(changed)["tenant_a"] == OLD


def test_there_and_back_is_where_it_began():
    assert servers(with_server(with_server(TEXT, OLD, NEW), NEW, OLD)) == servers(TEXT)


def test_a_file_that_is_included_has_no_heading():
    assert servers("a = host=h port=1\n") == {"a": Server("h", "1")}


def test_only_the_named_entries_are_moved():
    changed = with_server(TEXT, OLD, NEW, {"tenant_a"})
    assert servers(changed) == {**servers(TEXT), "tenant_a": NEW}


def test_blanks_quotes_and_lists_are_read_as_pgbouncer_does():
    text = '[databases]\nspaced   =   host = 10.0.0.1   port  =  5433\n"say ""x""" = host=\'10.0.0.1\' port=\'5433\'\nlist = host=10.0.0.1,10.0.0.3 port=5433\n'
    assert servers(text) == {"spaced": OLD, 'say "x"': OLD, "list": Server("10.0.0.1,10.0.0.3", "5433")}
    assert servers(with_server(text, OLD, NEW)) == {"spaced": NEW, 'say "x"': NEW, "list": Server("10.0.0.1,10.0.0.3", "5433")}
