# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Envoy with three endpoints in a file, and what its administrative interface answers."""

from __future__ import annotations

import json

from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.envoy.balancer import PARENT, Envoy
from fake_load_balancer import Time

CHECK = {"timeout": "2s", "interval": "0.500s", "unhealthy_threshold": 3, "healthy_threshold": 2}


def endpoint(name, port, status=None):
    """An endpoint of the file; without a name, it is called by its address."""
    named = {"hostname": name} if name else {}
    given = {"health_status": status} if status else {}
    return {"endpoint": {**named, "address": {"socket_address": {"address": "10.0.0.1", "port_value": port}}}, **given, "load_balancing_weight": port}


def policies(kind, name):
    """A policy as an extension of this type and name."""
    config = {"@type": f"type.googleapis.com/envoy.extensions.load_balancing_policies.{kind}"}
    return {"policies": [{"typed_extension_config": {"name": name, "typed_config": config}}]}


class Admin:
    """An Envoy that takes the file after `lag` looks, and then says what stands in it. `failing` has the flags of its health checks by port."""

    def __init__(self, server, folder):
        self.file, self.server, self.time = folder / "endpoints.json", server, Time()
        app = [{"lb_endpoints": [endpoint("s1", 81, "HEALTHY"), endpoint(None, 82)]}, {"lb_endpoints": [endpoint("s3", 83, "DRAINING")], "priority": 1}]
        web = [{"lb_endpoints": [endpoint("s1", 91, "HEALTHY")]}]
        self.document = {"version_info": "7", "resources": [{"@type": "A", "cluster_name": "app", "endpoints": app, "policy": {"drop": 1}},
                                                            {"@type": "A", "cluster_name": "web", "endpoints": web}]}
        self.file.write_text(json.dumps(self.document), encoding="utf-8")
        self.file.chmod(0o640)
        self.lag, self.failing, self.stats, self.sockets = 0, {}, {}, set()
        self.seen = self.document
        source = {"eds_config": {"path_config_source": {"path": str(self.file)}}}
        self.clusters = [{"name": "app", "eds_cluster_config": source, "health_checks": [CHECK], "common_lb_config": {"healthy_panic_threshold": {}}},
                         {"name": "web", "eds_cluster_config": source},
                         {"name": "admin", "type": "STATIC"}]
        server.routes.update({"GET /config_dump": self.dump, "GET /clusters?format=json": self.statuses,
                              "GET /server_info": {"version": "abc/1.40.0/Clean/RELEASE/BoringSSL"}})

    def dump(self, asked):
        entries = [{"cluster": cluster} for cluster in self.clusters]
        return {"configs": [{"@type": "bootstrap"}, {"static_clusters": entries[1:], "dynamic_active_clusters": entries[:1]}]}

    def statuses(self, asked):
        now = json.loads(self.file.read_text(encoding="utf-8"))
        if now != self.seen and self.lag:
            self.lag -= 1
        else:
            self.seen = now
        return {"cluster_statuses": [{"name": "admin"}, *({"name": resource["cluster_name"], "host_statuses": [
            self.host(entry) for locality in resource["endpoints"] for entry in locality["lb_endpoints"]]} for resource in self.seen["resources"])]}

    def knows(self, document, *others):
        """It has read this, whatever the file says, and has other clusters besides."""
        self.seen = document
        found = [{"name": resource["cluster_name"], "host_statuses": [self.host(entry) for locality in resource["endpoints"] for entry in
                                                                      locality["lb_endpoints"]]} for resource in document["resources"]]
        self.server.routes["GET /clusters?format=json"] = {"cluster_statuses": [*found, *others]}

    def host(self, entry):
        port = entry["endpoint"]["address"]["socket_address"]["port_value"]
        priorities = [resource["endpoints"].index(locality) for resource in self.seen["resources"] for locality in resource["endpoints"]
                      if entry in locality["lb_endpoints"]]
        place = {"priority": priorities[0]} if priorities[0] else {}
        return {**entry["endpoint"], **place, "weight": port, "stats": [{"name": key, "value": str(n)} for key, n in self.stats.get(port, {}).items()],
                "health_status": {"eds_health_status": entry.get("health_status", "HEALTHY"), **self.failing.get(port, {})}}

    def process(self, epoch, age=1000, parent=0):
        """The process after so many hot restarts, and so many seconds old; the one before has `parent` connections."""
        options = {"restart_epoch": epoch, "parent_shutdown_time": "60s", "base_id": "7", "socket_path": "@envoy"}
        self.server.routes.update({
            "GET /server_info": {"version": "abc/1.40.0/Clean", "command_line_options": options, "uptime_current_epoch": f"{age}s"},
            f"GET {PARENT}": {"stats": [{"name": "server.parent_connections", "value": parent}]}})

    def opened(self):
        return Envoy("lb1", self.server.url, {}, {}, self.time.clock.steady, self.time.sleep, sockets=lambda: self.sockets)

    def written(self):
        return json.loads(self.file.read_text(encoding="utf-8"))
