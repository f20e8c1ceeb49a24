# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters of Envoy that have the same endpoints from the same file, and others with the same addresses."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from unittest.mock import ANY

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply, dry_run
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, READY, LoadBalancerError
from fake_envoy import Admin, endpoint
from json_server import JsonServer


@pytest.fixture(name="admin")
def _admin(tmp_path):
    with JsonServer() as server:
        yield Admin(server, tmp_path)


@pytest.fixture(name="twin")
def _twin(admin):
    """Another cluster of the same endpoints, by a link to the file; what it says of them, and what is otherwise in its configuration."""
    link = admin.file.with_name("link.json")
    link.symlink_to(admin.file)
    source = {"eds_config": {"path_config_source": {"path": str(link)}}, "service_name": "app"}
    admin.clusters.append({**admin.clusters[0], "name": "twin", "eds_cluster_config": source})
    twin = SimpleNamespace(cluster=admin.clusters[-1], hosts=None)

    def statuses(asked):
        reported = admin.statuses(asked)["cluster_statuses"]
        return {"cluster_statuses": [*reported, {"name": "twin", "host_statuses": twin.hosts or reported[1]["host_statuses"]}]}
    admin.server.routes["GET /clusters?format=json"] = statuses
    return twin


@pytest.mark.parametrize(("change", "reason"), [
    ({"common_lb_config": {"healthy_panic_threshold": {"value": 60}}}, "1 of 2 members of twin are healthy, fewer than its panic threshold of 60 %"),
    ({"lb_policy": "CLUSTER_PROVIDED"}, "its policy is CLUSTER_PROVIDED, and only "),
])
@pytest.mark.parametrize("drive", [dry_run, apply])
def test_a_cluster_of_the_same_endpoints_has_to_keep_to_their_states_too(admin, twin, change, reason, drive):
    admin.failing = {82: {"failed_active_health_check": True}}
    assert admin.opened().read("app").backends["app"].refusals == ()
    twin.cluster.update(change)
    for seen in (admin.opened().read("app"), admin.opened().read()):
        assert [sentence.partition(": ")[::2] for sentence in seen.backends["app"].refusals] == [("twin, which has the same endpoints", ANY)]
        assert seen.backends["app"].refusals[0].partition(": ")[2].startswith(reason)
    with pytest.raises(TrafficError, match=r"no drain of app can be proven. lb1: twin, which has the same endpoints: "):
        drive([admin.opened()], Request("app", ("s1",), "drained"), admin.time.clock)
    assert admin.written() == admin.document


def test_the_panic_of_a_cluster_of_the_same_endpoints_is_foreseen(admin, twin):
    twin.cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 60}}
    with pytest.raises(TrafficError, match="with s1 out, 1 of 2 members on lb1 are healthy, fewer than its panic threshold of 60 %"):
        dry_run([admin.opened()], Request("app", ("s1",), "drained"), admin.time.clock)


def test_a_link_by_which_another_cluster_has_the_endpoints_is_renewed(admin, twin):
    """Envoy watches the folder of the link for a rename of that name."""
    link = admin.file.with_name("link.json")
    before = os.lstat(link).st_ino
    admin.opened().apply("app", {"s1": MAINT})
    assert os.lstat(link).st_ino != before and link.resolve() == admin.file


def test_a_member_is_out_only_when_every_cluster_of_its_endpoints_says_so(admin, twin):
    envoy = admin.opened()
    twin.hosts = admin.statuses(None)["cluster_statuses"][1]["host_statuses"]
    with pytest.raises(LoadBalancerError, match="has not taken the changed"):
        envoy.apply("app", {"s1": MAINT})
    assert envoy.read("app").backends["app"].members["s1"].admin == READY and admin.written() == admin.document


def test_other_clusters_with_the_same_addresses_are_noted_in_a_look_that_does_not_show_them(admin):
    """A cluster that has endpoints of its own from a file is a pool of the plan's look, which tells of it."""
    admin.document["resources"][1]["endpoints"][0]["lb_endpoints"] = [endpoint("other", 81)]
    admin.file.write_text(json.dumps(admin.document), encoding="utf-8")
    assert admin.opened().read().backends["app"].warnings == ()
    assert [note.partition(",")[0] for note in admin.opened().read("app").backends["app"].warnings] == ["web has some of its addresses"]
