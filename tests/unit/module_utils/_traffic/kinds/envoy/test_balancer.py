# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy whose endpoints are in a file, against a server that answers as its admin interface does."""

from __future__ import annotations

import json
import os
import socket

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.control_error import UntouchedError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply, dry_run
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DOWN, DRAIN, MAINT, READY, RECHECK, UNCHECKED, UP, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.envoy.balancer import Envoy, local_sockets, parse_version
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.envoy.demands import Cluster, parse_cluster
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.pool import DrivenPool
from fake_envoy import Admin, policies
from json_server import JsonServer


@pytest.fixture(name="admin")
def _admin(tmp_path):
    with JsonServer() as server:
        yield Admin(server, tmp_path)


def test_what_is_seen_of_the_members(admin):
    admin.stats = {81: {"rq_active": 3, "rq_pending_active": 1, "rq_total": 99, "cx_active": 5}}
    admin.failing = {82: {"failed_outlier_check": True, "failed_active_health_check": True, "pending_active_hc": False}}
    view = admin.opened().read("app")
    assert view.version == "1.40.0" and list(view.backends) == ["app"]
    s1, second, s3 = view.backends["app"].members.values()
    assert list(view.backends["app"].members) == ["s1", "10.0.0.1:82", "s3"] and view.backends["app"].live == 1
    assert (s1.address, s1.admin, s1.health, s1.check, s1.sessions, s1.queued, s1.arrivals, s1.weight) == ("10.0.0.1:81", READY, UP, "", 3, 1, 99, 81)
    assert (second.admin, second.health, second.check) == (READY, DOWN, "failed_active_health_check, failed_outlier_check")
    assert (s3.admin, s3.health, s3.sessions, s3.probed, s3.confirmed) == (DRAIN, UP, 0, True, True)
    assert {member.watch_seconds for member in view.backends["app"].members.values()} == {1.0}, "what is sent to it after a drain shows"


@pytest.mark.parametrize(("status", "state"), [("HEALTHY", READY), ("UNKNOWN", READY), ("DEGRADED", READY), ("DRAINING", DRAIN), ("UNHEALTHY", MAINT),
                                               ("TIMEOUT", MAINT)])
def test_a_health_status_is_an_administrative_state(admin, status, state):
    admin.document["resources"][0]["endpoints"][0]["lb_endpoints"][0]["health_status"] = status
    admin.file.write_text(json.dumps(admin.document), encoding="utf-8")
    assert admin.opened().read("app").backends["app"].members["s1"].admin == state


def test_all_clusters_with_a_file_are_seen_and_a_panic_threshold_is_warned_of(admin):
    view = admin.opened().read()
    assert sorted(view.backends) == ["app", "web"] and view.backends["app"].warnings == ()
    member = view.backends["web"].members["s1"]
    assert (member.address, member.health, member.probed) == ("10.0.0.1:91", UNCHECKED, False)
    assert [warning.partition(":")[0] for warning in view.backends["web"].warnings] == ["web has a panic threshold of 50 %"]
    assert view.backends["app"].refusals == view.backends["web"].refusals == ()


@pytest.mark.parametrize(("name", "reason"), [
    ("ap", "has no cluster 'ap': it has admin, app, web"),
    ("admin", "gets the endpoints of admin not from a file of its own: kind=envoy drives clusters with type EDS and path_config_source"),
])
@pytest.mark.parametrize("ask", [lambda envoy, name: envoy.read(name), lambda envoy, name: envoy.apply(name, {"s1": MAINT})])
def test_a_cluster_that_cannot_be_driven_is_refused(admin, name, reason, ask):
    with pytest.raises(LoadBalancerError) as error:
        ask(admin.opened(), name)
    assert str(error.value).startswith(f"lb1 ({admin.server.url}) {reason}") and admin.written() == admin.document


@pytest.mark.parametrize(("change", "status", "state"), [(READY, "HEALTHY", READY), (DRAIN, "DRAINING", DRAIN), (RECHECK, "DRAINING", DRAIN),
                                                         (MAINT, "UNHEALTHY", MAINT)])
def test_only_the_health_status_of_the_member_is_changed(admin, change, status, state):
    envoy = admin.opened()
    envoy.apply("app", {"10.0.0.1:82": change, "s3": change})
    for locality, place in ((0, 1), (1, 0)):
        entry = admin.document["resources"][0]["endpoints"][locality]["lb_endpoints"][place]
        # One that is in traffic stays as it is.
        if change != READY or "health_status" in entry:
            entry["health_status"] = status
    assert admin.written() == admin.document and admin.file.stat().st_mode & 0o777 == 0o640
    assert [envoy.read("app").backends["app"].members[name].admin for name in ("s1", "10.0.0.1:82", "s3")] == [READY, state, state]


@pytest.mark.parametrize(("lag", "waited"), [(0, 0.1), (1, 0.15), (4, 0.3)])
def test_it_is_waited_until_envoy_has_taken_it_and_its_workers_know(admin, lag, waited):
    envoy, began, admin.lag = admin.opened(), admin.time.now, lag
    envoy.apply("app", {"s1": MAINT})
    assert admin.time.now - began == pytest.approx(waited) and admin.seen["resources"][0]["endpoints"][0]["lb_endpoints"][0]["health_status"] == "UNHEALTHY"


def test_what_envoy_does_not_take_is_taken_back(admin):
    envoy, began, admin.lag = admin.opened(), admin.time.now, 10_000
    before = admin.file.read_text(encoding="utf-8")
    with pytest.raises(LoadBalancerError, match=f"has not taken the changed {admin.file} within 10 s: see its log, and whether it watches that folder"):
        envoy.apply("app", {"s1": DRAIN})
    assert admin.file.read_text(encoding="utf-8") == before and admin.time.now - began == pytest.approx(10.0, abs=0.06)


def test_a_member_that_is_not_in_the_file_is_named(admin):
    before = admin.file.read_text(encoding="utf-8")
    with pytest.raises(LoadBalancerError, match=f"has no s8, s9 among the endpoints of app in {admin.file}"):
        admin.opened().apply("app", {"s9": MAINT, "s1": MAINT, "s8": MAINT})
    assert admin.file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("text", ["resources:\n- cluster_name: app\n", "[]", "{}", '{"resources": [{"cluster_name": "app"}]}', '{"resources": [7]}'])
def test_a_file_that_is_something_else_is_refused(admin, text):
    envoy = admin.opened()
    envoy.read("app")
    admin.file.write_text(text, encoding="utf-8")
    with pytest.raises(LoadBalancerError, match=f"reads its endpoints from {admin.file}, which is not the JSON of a DiscoveryResponse: "):
        envoy.apply("app", {"s1": MAINT})
    assert admin.file.read_text(encoding="utf-8") == text


def test_a_recheck_is_confirmed_when_a_dead_member_would_have_been_noticed(admin):
    envoy = admin.opened()
    recheck = parse_cluster(admin.clusters[0]).recheck_seconds
    envoy.apply("app", {"s1": RECHECK})

    def confirmed():
        return [member.confirmed for member in envoy.read("app").backends["app"].members.values()]
    assert confirmed() == [False, True, True]
    admin.time.sleep(recheck - 0.01)
    assert confirmed() == [False, True, True]
    admin.time.sleep(0.02)
    assert confirmed() == [True, True, True]
    envoy.apply("app", {"s1": RECHECK})
    assert confirmed() == [False, True, True]
    envoy.apply("app", {"s1": READY})
    assert confirmed() == [True, True, True]


def test_the_configuration_is_asked_for_once(admin):
    envoy = admin.opened()
    envoy.read()
    envoy.apply("app", {"s1": DRAIN})
    assert admin.server.lines().count("GET /config_dump") == 1 and admin.server.changes == []
    admin.process(epoch=1)
    assert envoy.read("app").process == 2 and admin.server.lines().count("GET /config_dump") == 2


@pytest.mark.parametrize(("epoch", "age", "parent", "left"), [
    (0, 1, 7, 0),
    (1, 1, 0, 1),       # the numbers of the process before are not there yet
    (1, 30, 4, 4),
    (2, 30, 0, 0),
    (1, 80, 4, 0),      # it was told to be gone after 60 s
])
def test_what_the_process_before_a_hot_restart_still_has_counts_for_members_that_are_out(admin, epoch, age, parent, left):
    admin.process(epoch, age, parent)
    members = admin.opened().read("app").backends["app"].members
    assert [members[name].lingering for name in ("s1", "10.0.0.1:82", "s3")] == [0, 0, left]


@pytest.mark.parametrize(("epoch", "sockets", "left"), [
    (1, {"@envoy_parent_70", "@envoy_parent_71"}, 1),
    (1, {"@envoy_parent_71", "@envoy_parent_80"}, 0),
    (3, {"@envoy_parent_70", "@envoy_parent_72"}, 1),
    (3, {"@envoy_parent_70", "@envoy_child_72"}, 0),
    (1, {"@envoy_parent_80", "@envoy_parent_81"}, 1),   # of another one; this one's are not on this network
])
def test_the_process_before_a_hot_restart_has_gone_with_its_socket(admin, epoch, sockets, left):
    admin.process(epoch, 3)
    admin.sockets = sockets
    assert admin.opened().read("app").backends["app"].members["s3"].lingering == left


def test_a_socket_of_this_host_is_seen():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0alwayson-{os.getpid()}\0\0")
        assert f"@alwayson-{os.getpid()}" in local_sockets()


@pytest.mark.parametrize("status", ["DEGRADED", "UNKNOWN", "HEALTHY", None])
def test_a_member_comes_back_as_it_was_also_with_another_run(admin, status):
    endpoints = admin.document["resources"][0]["endpoints"][0]["lb_endpoints"]
    endpoints[0].pop("health_status") if status is None else endpoints[0].update(health_status=status)
    admin.file.write_text(json.dumps(admin.document), encoding="utf-8")
    admin.opened().apply("app", {"s1": DRAIN})
    again = admin.opened()
    again.apply("app", {"s1": MAINT})
    again.apply("app", {"s1": READY})
    assert admin.written() == admin.document


def test_what_is_degraded_and_what_has_a_lower_priority_is_no_capacity(admin):
    endpoints = admin.document["resources"][0]["endpoints"]
    endpoints[0]["lb_endpoints"][1]["health_status"] = "DEGRADED"
    endpoints[1]["lb_endpoints"][0]["health_status"] = "HEALTHY"
    admin.file.write_text(json.dumps(admin.document), encoding="utf-8")
    pool = admin.opened().read("app").backends["app"]
    assert {name: (member.serving, member.live) for name, member in pool.members.items()} == {
        "s1": (True, True), "10.0.0.1:82": (True, False), "s3": (True, False)} and pool.live == 1
    admin.failing = {81: {"failed_active_degraded_check": True}}
    assert admin.opened().read("app").backends["app"].live == 0


@pytest.mark.parametrize(("changes", "reason"), [
    ({"lb_policy": "CLUSTER_PROVIDED"}, "its policy is CLUSTER_PROVIDED, and only ROUND_ROBIN, "),
    ({"load_balancing_policy": policies("override_host.v3.OverrideHost", "envoy.load_balancing_policies.round_robin")},
     "its policy is OVERRIDE_HOST, and only "),
    ({"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "mine"}}]}}, "its policy is mine, and only "),
    ({"lb_subset_config": {"fallback_policy": "ANY_ENDPOINT"}, "common_lb_config": {"healthy_panic_threshold": {"value": 10}}},
     "it chooses among subsets (lb_subset_config), and its panic threshold of 10 % counts in each of them"),
    ({"common_lb_config": {"healthy_panic_threshold": {}, "override_host_status": {"statuses": ["HEALTHY", "UNHEALTHY"]}}},
     "clients that are bound to an UNHEALTHY endpoint still reach it: remove UNHEALTHY from common_lb_config.override_host_status"),
    ({"common_lb_config": {"healthy_panic_threshold": {"value": 60}}}, "1 of 2 members of app are healthy, fewer than its panic threshold of 60 %"),
])
def test_a_cluster_with_which_nothing_is_proven_is_refused_before_anything_is_changed(admin, changes, reason):
    admin.failing = {82: {"failed_active_health_check": True}}
    assert admin.opened().read("app").backends["app"].refusals == ()
    admin.clusters[0].update(changes)
    assert [sentence.startswith(reason) for sentence in admin.opened().read("app").backends["app"].refusals] == [True]
    before = admin.file.read_text(encoding="utf-8")
    with pytest.raises(TrafficError, match=r"no drain of app can be proven. lb1: "):
        apply([admin.opened()], Request("app", ("s1",), "drained"), admin.time.clock)
    assert admin.file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("kind", ["round_robin.v3.RoundRobin", "maglev.v3.Maglev"])
@pytest.mark.parametrize("name", ["mine", "envoy.load_balancing_policies.override_host"])
def test_a_policy_may_be_given_as_an_extension_by_any_name(admin, kind, name):
    admin.clusters[0].update(lb_policy="LOAD_BALANCING_POLICY_CONFIG", load_balancing_policy=policies(kind, name))
    assert admin.opened().read("app").backends["app"].refusals == ()


def test_subsets_without_a_panic_threshold_are_fine(admin):
    admin.clusters[0]["lb_subset_config"] = {"fallback_policy": "ANY_ENDPOINT"}
    assert admin.opened().read("app").backends["app"].refusals == ()


def test_a_drain_that_ends_in_a_panic_is_taken_back(admin):
    """Another member dies while one is drained."""
    admin.clusters[0]["common_lb_config"] = {"healthy_panic_threshold": {"value": 50}}
    admin.time.sleep = lambda seconds, sleep=admin.time.sleep: admin.failing.update({82: {"failed_active_health_check": True}}) or sleep(seconds)
    with pytest.raises(TrafficError, match=r"0 of 2 members of app are healthy, fewer than .* The previous state was restored on lb1"):
        apply([admin.opened()], Request("app", ("s1",), "drained"), admin.time.clock)
    assert admin.written() == admin.document


@pytest.mark.parametrize("drive", [dry_run, apply])
@pytest.mark.parametrize(("percent", "state", "members", "out", "reason"), [
    (60, "drained", ("s1",), (), "with s1 out, 1 of 2 members on lb1 are healthy, fewer than its panic threshold of 60 %"),
    (50, "draining", ("s1", "10.0.0.1:82"), (), "with 10.0.0.1:82, s1 out, 0 of 2 members on lb1 are healthy, fewer than its panic threshold of 50 %"),
    (60, "ready", ("10.0.0.1:82",), ("s1",), "with s1 out, 1 of 2 members on lb1 are healthy"),
    (50, "drained", ("s1",), (), ""),
    (60, "ready", ("s1",), (), ""),
])
def test_a_panic_is_foreseen_before_anybody_is_drained(admin, drive, percent, state, members, out, reason):
    admin.clusters[0]["common_lb_config"] = {"healthy_panic_threshold": {"value": percent}}
    request = Request("app", members, state, out)
    if not reason:
        drive([admin.opened()], request, admin.time.clock)
    else:
        with pytest.raises(TrafficError, match=f"no drain of app can be proven. {reason}"):
            drive([admin.opened()], request, admin.time.clock)
        assert admin.written() == admin.document


YAML = "resources:\n- cluster_name: app\n"


@pytest.mark.parametrize("text", [YAML, '{"resources": [{"clusterName": "app", "endpoints": []}]}',
                                  '{"resources": [{"cluster_name": "app", "endpoints": [{"lbEndpoints": []}]}]}', '{"resources": []}', None])
@pytest.mark.parametrize("drive", [dry_run, apply])
def test_a_file_that_cannot_be_changed_is_refused_before_a_drain(admin, text, drive):
    admin.file.write_text(text, encoding="utf-8") if text else admin.file.unlink()
    admin.knows(admin.document)
    wanted = (f"lb1: ({admin.file} (is not the JSON of a DiscoveryResponse|has no endpoints of app)|"
              f"its endpoints are in {admin.file}, which cannot be read here)")
    with pytest.raises(TrafficError, match=f"no drain of app can be proven. {wanted}"):
        drive([admin.opened()], Request("app", ("s1",), "drained"), admin.time.clock)


def test_what_was_never_written_needs_no_undo(admin):
    pool = DrivenPool([admin.opened()], "app", ["s1"], admin.time.clock)
    admin.file.write_text(YAML, encoding="utf-8")
    with pytest.raises(UntouchedError):
        pool.change({"lb1": {"s1": DRAIN}})
    assert (pool.undo(), pool.is_changed, pool.changed_at) == ("Nothing was changed", False, None)


def test_a_change_that_is_not_made_leaves_what_was_made_before_to_undo(admin):
    pool = DrivenPool([admin.opened()], "app", ["s1", "s3"], admin.time.clock)
    pool.change({"lb1": {"s1": DRAIN}})
    text = admin.file.read_text(encoding="utf-8")
    admin.file.write_text(YAML, encoding="utf-8")
    with pytest.raises(UntouchedError):
        pool.change({"lb1": {"s1": MAINT, "s3": MAINT}})
    admin.file.write_text(text, encoding="utf-8")
    assert pool.is_changed and pool.undo() == "The previous state was restored on lb1" and admin.written() == admin.document


def test_a_common_hostname_names_nobody(admin):
    """auto_host_rewrite wants the same one for all."""
    for locality in admin.document["resources"][0]["endpoints"]:
        for entry in locality["lb_endpoints"]:
            entry["endpoint"]["hostname"] = "app.example.com"
    admin.file.write_text(json.dumps(admin.document), encoding="utf-8")
    envoy = admin.opened()
    envoy.apply("app", {"10.0.0.1:81": MAINT})
    members = envoy.read("app").backends["app"].members
    assert [(name, member.admin) for name, member in members.items()] == [("10.0.0.1:81", MAINT), ("10.0.0.1:82", READY), ("10.0.0.1:83", DRAIN)]
    assert [entry.get("health_status") for entry in admin.written()["resources"][0]["endpoints"][0]["lb_endpoints"]] == ["UNHEALTHY", None]
    assert '=="10.0.0.1:81")).health_status="UNHEALTHY"' in envoy.command("app", {"10.0.0.1:81": MAINT})


def test_clusters_of_the_same_endpoints_are_counted_together_and_others_noted(admin):
    source = {**admin.clusters[0]["eds_cluster_config"], "service_name": "app"}
    admin.clusters.append({**admin.clusters[0], "name": "twin", "eds_cluster_config": source})
    admin.stats = {81: {"rq_active": 1, "rq_total": 9}}
    hosts = admin.statuses(None)["cluster_statuses"][1]["host_statuses"]
    twin = {"name": "twin", "host_statuses": [{**hosts[0], "stats": [{"name": "rq_active", "value": "2"}, {"name": "rq_pending_active", "value": "3"}]}]}
    admin.knows(admin.document, twin, {"name": "admin", "host_statuses": [hosts[1]]})
    pool = admin.opened().read("app").backends["app"]
    assert [(member.sessions, member.queued) for member in pool.members.values()] == [(3, 3), (0, 0), (0, 0)] and pool.refusals == ()
    assert pool.warnings == ("admin has some of its addresses, too, where members are not drained: requests that reach a member there while it is out fail",
                             "twin has the same endpoints, so members are drained there, too") and pool.drained_with == ("twin",)


@pytest.mark.parametrize(("cluster", "parsed"), [
    ({"name": "a"}, Cluster(None, "a", False, 0.0, 50.0)),
    ({"name": "a", "eds_cluster_config": {"service_name": "b"}}, Cluster(None, "b", False, 0.0, 50.0)),
    # A member that hangs: three times an interval of half a second, and two seconds of waiting.
    ({"name": "a", "health_checks": [{"interval": "0.5s", "timeout": "2s", "unhealthy_threshold": 3}]}, Cluster(None, "a", True, 7.5, 50.0)),
    ({"name": "a", "eds_cluster_config": {"eds_config": {"path": "/old"}}}, Cluster("/old", "a", False, 0.0, 50.0)),
    ({"name": "a", "eds_cluster_config": {"eds_config": {"ads": {}}}, "common_lb_config": {"healthy_panic_threshold": {"value": 30}}},
     Cluster(None, "a", False, 0.0, 30.0)),
    ({"name": "a", "health_checks": [{"interval": "1s", "timeout": "0.250s"}], "common_lb_config": {"healthy_panic_threshold": {}}},
     Cluster(None, "a", True, 1.25, 0.0)),
    ({"name": "a", "health_checks": [{"interval": "1s"}, {"interval": "5s"}, {"interval": "2s"}]}, Cluster(None, "a", True, 5.0, 50.0)),
])
def test_what_matters_of_a_cluster(cluster, parsed):
    assert parse_cluster(cluster) == parsed


@pytest.mark.parametrize(("reported", "version"), [({"version": "c/1.40.0/Clean"}, "1.40.0"), ({"version": "1.40.0"}, "1.40.0"), ({}, "")])
def test_the_version_is_the_release(reported, version):
    assert parse_version(reported) == version


def test_the_command_names_the_file_and_the_status(admin):
    envoy = admin.opened()
    assert "its file of endpoints" in envoy.command("app", {"s1": MAINT})
    envoy.read("app")
    reported = envoy.command("app", {"s1": MAINT, "s3": READY})
    assert reported.startswith("jq ") and reported.endswith(f" {admin.file} > new.json && mv new.json {admin.file}")
    assert '=="s1")).health_status="UNHEALTHY"' in reported and '=="s3")).health_status="HEALTHY"' in reported and 'cluster_name=="app"' in reported


def test_a_setting_is_refused_because_envoy_has_none():
    with pytest.raises(LoadBalancerError, match="lb1 has unknown settings file for kind=envoy: it has none"):
        Envoy("lb1", "http://127.0.0.1:1", {"file": "/x"}, {})


def test_two_endpoints_of_one_name_are_refused(admin):
    envoy = admin.opened()
    admin.document["resources"][0]["endpoints"][0]["lb_endpoints"] *= 2
    admin.file.write_text(json.dumps(admin.document), encoding="utf-8")
    with pytest.raises(LoadBalancerError, match="more than once in app: give every endpoint an address or a hostname of its own"):
        envoy.read("app")
