# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a fleet is made of what the tasks left in the variables of each host."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.picture import (
    database_purposes, front_urls, live_source, observed_fleet, observed_member, service_calls,
)

SERVICE = {"hosts": {"members": ["app1"], "load_balancers": ["lb1", "lb2"], "databases": ["db1", "db2"], "database_servers": ["db2", "db3"], "poolers": []},
           "backend": "app", "traffic_via": None, "migrations": "/srv/migrations", "direction": "upgrade", "database_standbys": "1"}
BALANCER = {"backends": {"app": {"members": {"app1": {"live": True, "admin": "ready", "health": "up"}}}}}
INFO = {"current": "1.0.0", "previous": None, "available": {"2.0.0": {}}, "last_upgrade_seconds": None, "serving": True, "user": "deploy", "running": True,
        "problems": [], "asked": [], "changed": False}
HOSTVARS = {
    "lb1": {"front_url": "http://lb1", "traffic_endpoint": "tcp://10.0.0.2:9999", "traffic_kind": "haproxy", "traffic_headers": {"X-Token": "secret"}},
    "lb2": {"traffic_state_file": "/var/lib/haproxy/state"},
    "app1": {"alwayson_member": observed_member(INFO)},
    "db1": {"alwayson_database_info": {"databases": {"shop": {}}, "replicas": [], "missing_privileges": []}, "postgresql_tenants": {"shop": ["acme"]},
            "database_login_host": "10.0.0.51"},
    "db2": {"alwayson_database_info": {"failed": True, "msg": "no route to host"}, "postgresql_login_host": "10.0.0.52"},
    "db3": {"postgresql_login_host": "127.0.0.1"},
}
SEEN = {"traffic": [{"load_balancers": {"lb1": BALANCER}}, {"load_balancers": {"lb2": BALANCER}}],
        "migrations": ["/srv/migrations/2.0.0/expand/001_add.sql"], "interrupted": None, "intent": {}}


def test_each_load_balancer_is_called_as_its_host_says_and_no_secret_is_kept():
    assert service_calls(SERVICE, HOSTVARS) == [
        {"host": "lb1", "load_balancers": [{"name": "lb1", "endpoint": "tcp://10.0.0.2:9999", "kind": "haproxy"}]},
        {"host": "lb2", "load_balancers": [{"name": "lb2", "endpoint": "unix:/run/haproxy/admin.sock", "state_file": "/var/lib/haproxy/state"}]},
    ]


def test_a_load_balancer_without_a_front_has_an_empty_one():
    assert front_urls(SERVICE, HOSTVARS) == {"lb1": "http://lb1", "lb2": ""}


def test_live_capacity_is_read_by_the_controller_only_where_it_drives_the_load_balancers():
    calls = [{"host": "localhost", "load_balancers": [{"name": "lb1", "endpoint": "tcp://10.0.0.2:9999"}]}]
    assert live_source(SERVICE, calls, HOSTVARS) is None
    assert live_source({**SERVICE, "traffic_via": "localhost"}, calls, HOSTVARS) == {
        "load_balancers": [{"name": "lb1", "endpoint": "tcp://10.0.0.2:9999", "headers": {"X-Token": "secret"}}], "backend": "app"}


@pytest.mark.parametrize(("info", "updates", "expected"), [
    (INFO, None, {"release": "1.0.0", "patches": None, "lost": None, "unreachable": False, "expected_s": 0}),
    ({**INFO, "last_upgrade_seconds": 12.5}, {"updates": []}, {"expected_s": 12.5, "patches": {"updates": []}}),
    (INFO, {"failed": True, "msg": "apt is locked"}, {"patches": {"problem": "apt is locked"}}),
    ({"failed": True, "msg": "no release_root"}, None, {"release": None, "lost": "no release_root", "unreachable": False, "preflight": {}}),
    ({"unreachable": True, "msg": "timed out"}, None, {"lost": "timed out", "unreachable": True, "preflight": {}, "available": {}}),
])
def test_a_member_is_what_its_modules_returned(info, updates, expected):
    found = observed_member(info, updates)
    assert {name: found[name] for name in expected} == expected


def test_the_preflight_of_a_member_is_what_the_plan_reads_of_it():
    assert observed_member(INFO)["preflight"] == {"serving": True, "user": "deploy", "running": True, "problems": [], "asked": []}


@pytest.mark.parametrize(("changes", "purposes"), [
    ({}, ["logical", "migrations", "standbys"]),
    ({"migrations": None, "database_standbys": 0}, ["logical"]),
    ({"direction": "rollback"}, ["standbys"]),
])
def test_a_role_is_asked_for_what_the_run_does(changes, purposes):
    assert database_purposes({**SERVICE, **changes}, "logical") == purposes


def test_the_picture_has_what_was_read_and_names_what_was_not():
    seen = observed_fleet(SERVICE, HOSTVARS, SEEN, lambda engine: engine != "sqlite")
    assert set(seen["load_balancers"]) == {"lb1", "lb2"} and seen["agree"] and set(seen["members"]) == {"app1"}
    assert seen["migrations"] == ["2.0.0/expand/001_add.sql"] and seen["interrupted"] is None and seen["intent"] == {}
    assert seen["databases"] == {"db1": {"shop": {}}} and seen["replicas"] == {"db1": []} and seen["missing_privileges"] == {"db1": []}
    assert seen["lost_databases"] == {"db2": "no route to host"} and seen["tenants"] == {"db1": {"shop": ["acme"]}, "db2": {}}
    assert len(seen["unverified"]) == 2 and "db3" not in str(seen["unverified"])


def test_without_migrations_and_databases_the_picture_has_none():
    service = {**SERVICE, "migrations": None, "hosts": {**SERVICE["hosts"], "databases": [], "database_servers": []}}
    seen = observed_fleet(service, HOSTVARS, {**SEEN, "migrations": []}, lambda engine: engine != "sqlite")
    assert seen["migrations"] == [] and seen["databases"] == {} and seen["lost_databases"] == {} and seen["unverified"] == []
