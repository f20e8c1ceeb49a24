# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Envoy with two clusters of one EDS resource: they go out together, and each has to keep to the states of the members."""

from __future__ import annotations

import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.json_api import JsonApi
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import open_load_balancer
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, dry_run
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, READY, LoadBalancerError
from fleet import balancers, layout
from fleet.layout import BACKEND
from fleet.ports import Ports
from integration.haproxy.real_processes import RealProcesses


class TwinEnvoy(RealProcesses):
    """The twin has the file by a link, which Envoy watches by itself, and a panic threshold. No member runs, and none is checked."""

    def start(self) -> None:
        planned = layout.plan(self.folder, 2, Ports())
        balancer = planned.load_balancers[0]
        self.endpoint = f"http://{balancer.runtime}"
        software = balancers.prepare("envoy", planned, balancer)
        place = self.folder / "balancers" / balancer.name
        (place / "link.json").symlink_to("endpoints.json")
        configuration = json.loads((place / "envoy.json").read_text(encoding="utf-8"))
        clusters = configuration["static_resources"]["clusters"]
        del clusters[0]["health_checks"]
        source = {"service_name": BACKEND, "eds_config": {"path_config_source": {"path": str(place / "link.json")}, "resource_api_version": "V3"}}
        clusters.append({**clusters[0], "name": "twin", "eds_cluster_config": source, "common_lb_config": {"healthy_panic_threshold": {"value": 100}}})
        (place / "envoy.json").write_text(json.dumps(configuration), encoding="utf-8")
        self.spawn("envoy", [*software.argv, "--disable-hot-restart"])
        assert wait_for(self.is_up, 60, 0.1)

    def is_up(self) -> bool:
        try:
            return self.statuses("twin") == self.statuses(BACKEND) == ["HEALTHY", "HEALTHY"]
        except LoadBalancerError:
            return False

    def statuses(self, cluster: str) -> list[str]:
        reported = JsonApi("lb1", self.endpoint).get("/clusters?format=json")["cluster_statuses"]
        return [host["health_status"].get("eds_health_status") for found in reported if found["name"] == cluster for host in found["host_statuses"]]


@pytest.fixture(name="twins")
def _twins(tmp_path):
    with TwinEnvoy(tmp_path) as processes:
        yield processes


def test_clusters_of_one_resource_go_out_together_and_are_named_before(twins):
    spec = {"name": "lb1", "kind": "envoy", "endpoint": twins.endpoint}
    envoy = open_load_balancer(spec)
    for view in (envoy.read(), envoy.read(BACKEND)):
        pool = view.backends[BACKEND]
        assert pool.drained_with == ("twin",) and [note[:40] for note in pool.warnings] == [
            "twin has the same endpoints, so members ", "twin has a panic threshold of 100 %: wit"]
        assert pool.refusals == () and pool.panic_percent == 100
    with pytest.raises(TrafficError, match="with app1 out, 1 of 2 members on lb1 are healthy, fewer than its panic threshold of 100 %"):
        dry_run([open_load_balancer(spec)], Request(BACKEND, ("app1",), "drained"))
    envoy.apply(BACKEND, {"app1": MAINT})
    # Each cluster reads the file by itself.
    assert wait_for(lambda: twins.statuses("twin") == twins.statuses(BACKEND) == ["UNHEALTHY", "HEALTHY"], 60, 0.1)
    assert [sentence.partition(", so ")[0] for sentence in envoy.read(BACKEND).backends[BACKEND].refusals] == [
        "twin, which has the same endpoints: 1 of 2 members of twin are healthy, fewer than its panic threshold of 100 %"]
    envoy.apply(BACKEND, {"app1": READY})
    assert wait_for(lambda: twins.statuses("twin") == ["HEALTHY", "HEALTHY"], 60, 0.1)
