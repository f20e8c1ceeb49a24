# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who drives which load balancer, and what is asked of a member."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.observation import member_tests, smoke_urls, traffic_calls, with_headers

TCP = ["tcp://10.0.0.2:9999", "tcp://10.0.0.3:9999"]


def test_each_drives_itself_or_one_drives_all():
    assert traffic_calls(["lb1"], ["unix:/run/lb.sock"]) == [{"host": "lb1", "load_balancers": [{"name": "lb1", "endpoint": "unix:/run/lb.sock"}]}]
    together = traffic_calls(["lb1", "lb2"], TCP, "localhost")
    assert [(call["host"], [each["endpoint"] for each in call["load_balancers"]]) for call in together] == [("localhost", TCP)]


def test_what_survives_a_reload_is_passed_on_where_it_is_given():
    calls = traffic_calls(["lb1", "lb2"], TCP, None, ["unix:/run/master.sock", ""], ["", "/var/lib/haproxy/state"])
    assert [call["load_balancers"][0] for call in calls] == [
        {"name": "lb1", "endpoint": TCP[0], "master_endpoint": "unix:/run/master.sock"},
        {"name": "lb2", "endpoint": TCP[1], "state_file": "/var/lib/haproxy/state"},
    ]


def test_other_kinds_have_settings_of_their_own():
    calls = traffic_calls(["lb1", "lb2"], ["http://10.0.0.2:9901", "file:/etc/nginx/app.conf"], None, (), (), ["envoy", "nginx"], [{}, {"pid_file": "/run/n"}],
                          [{"X-Token": "t"}, {}])
    assert [call["load_balancers"][0] for call in calls] == [
        {"name": "lb1", "endpoint": "http://10.0.0.2:9901", "kind": "envoy", "headers": {"X-Token": "t"}},
        {"name": "lb2", "endpoint": "file:/etc/nginx/app.conf", "kind": "nginx", "settings": {"pid_file": "/run/n"}},
    ]
    with pytest.raises(ValueError, match=r"lb2 has the endpoint file:/etc/nginx/app.conf, which only the load balancer itself can reach"):
        traffic_calls(["lb2"], ["file:/etc/nginx/app.conf"], "localhost")


@pytest.mark.parametrize(("arguments", "why"), [
    ((["lb1", "lb2"], TCP[:1]), "2 load balancers but 1 endpoints"),
    ((["lb1", "lb2"], TCP, None, [""]), "2 load balancers but 1 master_endpoints"),
    ((["lb1"], ["unix:/run/lb.sock"], "localhost"), "only the load balancer itself can reach"),
])
def test_what_does_not_fit_is_refused(arguments, why):
    with pytest.raises(ValueError, match=why):
        traffic_calls(*arguments)


def test_the_testers_headers_go_with_every_test_beside_its_own():
    service = {"health_path": "/healthz", "version_path": "/version", "version_query": "release", "version_header": None, "version_pattern": None,
               "has_version_command": False}
    own = [{"name": "orders", "path": "/orders", "headers": {"Accept": "text/plain"}}]
    made = member_tests(service, "http://10.0.0.2", "2.0.0", own, {"X-Testers": "yes"})
    assert [(test["name"], test["secret_headers"]) for test in made] == [
        ("release", {"X-Testers": "yes"}), ("health", {"X-Testers": "yes"}), ("orders", {"X-Testers": "yes"})]
    assert made[2]["headers"] == {"Accept": "text/plain"}
    assert {test["name"]: test.get("headers") or {} for test in member_tests(service, "http://10.0.0.2", "2.0.0", own)}["release"] == {}


def test_headers_of_load_balancers_are_added_where_they_are_used_and_stay_out_of_the_calls():
    balancers = [{"name": "lb1", "endpoint": "http://a"}, {"name": "lb2", "endpoint": "http://b", "headers": {"X": "own"}}, {"name": "elsewhere"}]
    hostvars = {"lb1": {"traffic_headers": {"Authorization": "Bearer x"}}, "lb2": {"traffic_headers": {"X": "other"}}}
    assert with_headers(balancers, hostvars) == [
        {"name": "lb1", "endpoint": "http://a", "headers": {"Authorization": "Bearer x"}}, balancers[1], {"name": "elsewhere"}]
    assert "headers" not in balancers[0]


def test_settings_are_added_where_a_task_needs_them_as_headers_are():
    hostvars = {"lb1": {"traffic_settings": {"path": "/p?key=k"}, "traffic_headers": {"A": "b"}}, "lb2": {}}
    assert with_headers([{"name": "lb1", "endpoint": "http://a"}, {"name": "lb2"}, {"name": "lb1", "settings": {"path": "/own"}}], hostvars) == [
        {"name": "lb1", "endpoint": "http://a", "settings": {"path": "/p?key=k"}, "headers": {"A": "b"}}, {"name": "lb2"},
        {"name": "lb1", "settings": {"path": "/own"}, "headers": {"A": "b"}}]


@pytest.mark.parametrize("endpoint", ["http://admin:canary-7f1@10.0.0.2", "http://10.0.0.2/?token=canary-7f1"])
def test_an_endpoint_that_lets_in_whoever_reads_it_is_refused(endpoint):
    with pytest.raises(ValueError, match=r"lb1 has a user, a password or a query in its endpoint http://.*give credentials as traffic_headers") as error:
        traffic_calls(["lb1"], [endpoint])
    assert "canary" not in str(error.value)


def test_the_name_of_a_smoke_test_has_no_token_in_it():
    assert [test["name"] for test in smoke_urls([{"path": "/a?token=canary-7f1"}, {"url": "http://u:canary-7f1@h/b?c=canary-7f1"}], "http://x")] == [
        "GET /a?token=...", "GET http://...@h/b?c=..."]
