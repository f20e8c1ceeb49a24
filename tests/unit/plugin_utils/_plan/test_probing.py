# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the prober does when the user says only where users come in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.probing import OPTIONS, announcement, probe_options, probe_problems, target_tests
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe

REPOSITORY = Path(__file__).resolve().parents[4]

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
    both = probe_options({}, {**SERVICE, "blue_green": {"blue": [], "green": []}}, CALLS)["capacity"]
    assert len(both) == 2 * len(found) and {(source["name"].split()[1], source["backend"]) for source in both} == {("blue", "blue"), ("green", "green")}


def test_the_load_is_announced():
    assert announcement(SERVICE) == {"rate": 200.0, "targets": ["http://shop.example.com"], "paths": ["/healthz"]}
    assert announcement({**SERVICE, "probe": {}}) is None


@pytest.mark.parametrize(("probe", "words"), [
    ({"target": ["http://a"]}, ["upgrade_probe has 'target', which is no option of the prober: did you mean targets?", "upgrade_probe.targets is missing"]),
    ({"targets": []}, ["upgrade_probe.targets is []: give the URLs at which users"]),
    ({"targets": "http://a"}, ["upgrade_probe.targets is 'http://a': give the URLs at which users reach the service, as a list"]),
    ({"targets": ["shop.example.com", 3]}, ["target 'shop.example.com' is no http or https URL", "3 is no URL"]),
    ("http://a", ["upgrade_probe is 'http://a': give a dictionary"]),
    ({"targets": ["http://a"], "mix": [{"kind": "new", "share": 1, "paht": "/"}]}, ["upgrade_probe.mix has an entry with 'paht'", "did you mean path?"]),
    ({"targets": ["http://a"], "mix": [{"kind": "newest", "share": 1}]}, ["upgrade_probe.mix: the mix has the kind 'newest'"]),
    ({"targets": ["http://a"], "mix": [{"kind": "new"}]}, ["upgrade_probe.mix has an entry without share"]),
    ({"targets": ["http://a"], "mix": ["/"]}, ["upgrade_probe.mix is no list of dictionaries"]),
])
def test_what_is_wrong_with_the_prober_is_named(probe, words):
    reported = probe_problems(probe)
    assert len(reported) <= len(words) and [word for word in words if not any(word in sentence for sentence in reported)] == [], reported
    variables = {"upgrade_direction": "status", "upgrade_probe": probe, "upgrade_version_header": "X-Release"}
    assert describe(variables, list(variables), {"app": ["app1"], "load_balancers": ["lb1"]})["problems"] == reported


def test_a_good_prober_is_not_refused():
    assert probe_problems({}) == probe_problems(SERVICE["probe"]) == []
    assert probe_problems({"targets": ["https://a:8443/shop"], "rate": 5, "mix": [{"kind": "write", "share": "2", "path": "/orders", "body": {"a": 1}}]}) == []


def test_what_may_be_given_is_what_the_module_gets():
    task = yaml.safe_load((REPOSITORY / "playbooks" / "tasks" / "start_probe.yml").read_text(encoding="utf-8"))[0]["alwayson.upgrade.availability_probe"]
    passed = {name for name, value in task.items() if str(value).startswith("{{ alwayson_prober.")}
    assert passed | {"min_requests"} == set(OPTIONS)
    with pytest.raises(ValueError, match="did you mean rate"):
        probe_options({"targets": ["http://a"], "rates": 3}, SERVICE)


def test_each_target_is_asked_for_any_answer():
    mix = [{"kind": "write", "share": 1, "path": "/orders"}, {"kind": "new", "share": 1, "path": "/cart"}]
    probe = {"targets": ["http://a/", "http://b/shop", "http://a/"], "headers": {"Host": "shop"}, "mix": mix}
    tests = target_tests(probe, SERVICE)
    assert [test["url"] for test in tests] == ["http://a/cart", "http://b/shop/cart"]
    assert all({200, 404, 503} <= set(test["status"]) and test["secret_headers"] == {"Host": "shop"} for test in tests)
    assert target_tests({**probe, "mix": probe["mix"][:1]}, SERVICE)[0]["url"] == "http://a/healthz"
