# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the prober does when the user says only where users come in."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.plugin_utils.probing import announcement, probe_options

SERVICE = {"health_path": "/healthz", "backend": "app", "probe": {"targets": ["http://shop.example.com"]}}
CALLS = [{"host": "localhost", "load_balancers": [{"name": "lb1", "endpoint": "tcp://10.0.0.2:9999"},
                                                  {"name": "edge", "endpoint": "http://a", "kind": "envoy"}]}]


def test_the_health_path_is_asked_where_nothing_else_is_named():
    assert {entry["path"] for entry in probe_options(SERVICE["probe"], SERVICE)["mix"]} == {"/healthz"}
    own = {"mix": [{"kind": "new", "share": 1, "path": "/cart"}, {"kind": "keepalive", "share": 1}]}
    assert [entry["path"] for entry in probe_options(own, SERVICE)["mix"]] == ["/cart", "/healthz"]


def test_live_capacity_is_read_from_the_haproxies_of_the_service_unless_it_is_said_where():
    found = probe_options(SERVICE["probe"], SERVICE, CALLS)["capacity"]
    assert found == [{"name": "lb1", "endpoint": "tcp://10.0.0.2:9999", "backend": "app", "optional": True}]
    assert probe_options({"capacity": []}, SERVICE, CALLS)["capacity"] == []
    both = probe_options({}, {**SERVICE, "colours": {"blue": [], "green": []}}, CALLS)["capacity"]
    assert len(both) == 2 * len(found) and {(source["name"].split()[1], source["backend"]) for source in both} == {("blue", "blue"), ("green", "green")}


def test_the_load_is_announced():
    assert announcement(SERVICE) == {"rate": 200.0, "targets": ["http://shop.example.com"], "paths": ["/healthz"]}
    assert announcement({**SERVICE, "probe": {}}) is None
