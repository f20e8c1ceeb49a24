# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which load balancer is opened for which kind, and with which options and settings."""

from __future__ import annotations

import contextlib
import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils import _load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import ARGUMENTS, KINDS, open_load_balancer, open_load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import READY, Backend, LoadBalancerError, View, settings_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.caddy.balancer import Caddy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.envoy.balancer import Envoy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.health_switch import LameDuck
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.http_api import HttpApi, NginxPlus
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx.balancer import Nginx
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.traefik import Traefik
from json_server import JsonServer, Reply

URL = "http://127.0.0.1:1"
CHANGE = {"ready": {"path": "/in"}, "maint": {"path": "/out"}}
OPENED = {
    "haproxy": (Haproxy, "tcp://127.0.0.1:1", {}),
    "envoy": (Envoy, URL, {}),
    "caddy": (Caddy, URL, {"weights": {"s1": 2}}),
    "traefik": (Traefik, URL, {"file": "/x.yml", "quiet_seconds": 2.5}),
    "nginx": (Nginx, "file:/x.conf", {"command": ["nginx", "-p", "/x"]}),
    "nginx_plus": (NginxPlus, URL, {"validate_certs": False}),
    "http": (HttpApi, URL, {"path": "/p", "members": "@", "change": CHANGE}),
    "none": (LameDuck, URL, {"backends": {"app": {"s1": "http://10.0.0.1"}}}),
}
WITH_SETTINGS = [kind for kind in KINDS if "settings" in KINDS[kind]().options]
DEFAULTS = {"file": str, "pools": dict, "seconds": 10, "weights": {}, "words": [], "checked": True, "path": "/x"}
GIVEN = {"file": "/f", "pools": {}}


def spec(kind, **options):
    _class, endpoint, settings = OPENED[kind]
    return {"name": "lb1", "kind": kind, "endpoint": endpoint, "settings": settings, **options}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_a_class_of_its_own(kind):
    balancer = open_load_balancer(spec(kind))
    assert balancer.__class__ is OPENED[kind][0] and (balancer.name, balancer.endpoint) == ("lb1", OPENED[kind][1])
    assert balancer.can_cut == (kind == "haproxy")


def test_every_kind_can_be_chosen_and_opened():
    assert sorted(KINDS) == sorted(OPENED) == sorted(ARGUMENTS["load_balancers"]["options"]["kind"]["choices"])


@pytest.mark.parametrize("kind", [None, ""])
def test_without_a_kind_it_is_haproxy(kind):
    given = {"name": "lb1", "endpoint": "unix:/run/haproxy.sock", **({} if kind is None else {"kind": kind})}
    assert isinstance(open_load_balancer(given), Haproxy)


def test_options_that_ansible_fills_in_are_none():
    """As the argument spec has them when they are not given."""
    filled = {"settings": {}, "headers": {}, "master_endpoint": None, "state_file": None}
    assert [type(balancer) for balancer in open_load_balancers([{"name": "a", "endpoint": "unix:/a", "kind": "haproxy", **filled},
                                                                {"name": "b", "endpoint": URL, "kind": "envoy", **filled}])] == [Haproxy, Envoy]


def test_what_shares_its_port_is_among_the_refusals_of_each_pool(monkeypatch):
    monkeypatch.setattr(_load_balancers.Listeners, "refusals", lambda self, endpoint: (f"shared {endpoint}",))
    monkeypatch.setattr(LameDuck, "read", lambda self, backend=None: View("", {"app": Backend({}, refusals=("before",)), "api": Backend({})}))
    pools = open_load_balancers([spec("none")])[0].read().backends
    assert {name: pool.refusals for name, pool in pools.items()} == {"app": ("before", f"shared {URL}"), "api": (f"shared {URL}",)}


def test_load_balancers_of_several_kinds_are_opened_in_their_order():
    specs = [spec(kind, name=f"lb-{kind}", endpoint=f"{OPENED[kind][1]}{number}") for number, kind in enumerate(KINDS)]
    assert [(balancer.name, type(balancer)) for balancer in open_load_balancers(specs)] == [(f"lb-{kind}", OPENED[kind][0]) for kind in KINDS]


@pytest.mark.parametrize("kind", WITH_SETTINGS)
@pytest.mark.parametrize(("foreign", "reported"), [
    ({"master_endpoint": "unix:/m"}, "master_endpoint"),
    ({"state_file": "/s"}, "state_file"),
    ({"master_endpoint": "unix:/m", "state_file": "/s"}, "master_endpoint, state_file"),
])
def test_what_only_haproxy_has_is_refused_elsewhere(kind, foreign, reported):
    with pytest.raises(LoadBalancerError) as error:
        open_load_balancers([spec(kind, **foreign)])
    assert str(error.value) == f"lb1 has {reported}, which kind={kind} has not"


@pytest.mark.parametrize(("foreign", "reported"), [({"settings": {"weights": {}}}, "settings"), ({"headers": {"X-Token": "secret"}}, "headers")])
def test_haproxy_has_no_settings_and_no_headers(foreign, reported):
    with pytest.raises(LoadBalancerError) as error:
        open_load_balancers([spec("haproxy", **foreign)])
    assert str(error.value) == f"lb1 has {reported}, which kind=haproxy has not"


def test_an_unknown_kind_is_an_error_that_names_those_there_are():
    with pytest.raises(LoadBalancerError, match="lb1 is of kind 'f5': choose one of haproxy, envoy, caddy, traefik, nginx, nginx_plus, http, none"):
        open_load_balancer({"name": "lb1", "endpoint": URL, "kind": "f5"})


@pytest.mark.parametrize("kind", WITH_SETTINGS)
def test_a_setting_that_a_kind_has_not_is_refused(kind):
    with pytest.raises(LoadBalancerError, match=f"lb1 has unknown settings speed for kind={kind}: it has "):
        open_load_balancers([spec(kind, settings={**OPENED[kind][2], "speed": 1})])


@pytest.mark.parametrize(("kind", "missing"), [("traefik", "file"), ("http", "path"), ("http", "members"), ("http", "change"), ("none", "backends")])
def test_a_setting_that_a_kind_needs_is_named(kind, missing):
    settings = {key: value for key, value in OPENED[kind][2].items() if key != missing}
    with pytest.raises(LoadBalancerError, match=f"lb1 lacks the setting {missing}: kind={kind} cannot do without"):
        open_load_balancers([spec(kind, settings=settings)])


def test_a_wrong_one_among_good_ones_is_named_and_each_is_given_once():
    with pytest.raises(LoadBalancerError, match="lb2 lacks the setting file"):
        open_load_balancers([spec("envoy"), spec("traefik", name="lb2", endpoint=f"{URL}2", settings={})])
    with pytest.raises(LoadBalancerError, match=r"load_balancers has the endpoint 'http://127.0.0.1:1' twice"):
        open_load_balancers([spec("envoy"), spec("caddy", name="lb2")])


def test_settings_and_headers_arrive_where_they_are_used():
    with JsonServer({"GET /p": [{"name": "s1"}], "POST /in": {}}) as server:
        balancer = open_load_balancer({"name": "lb1", "kind": "http", "endpoint": server.url, "settings": OPENED["http"][2], "headers": {"X-Token": "t"}})
        balancer.apply("app", {"s1": READY})
        assert [(asked.line, asked.headers["x-token"]) for asked in server.requests] == [("GET /p", "t"), ("POST /in", "t")]


def test_the_defaults_are_filled_in_and_stay_as_they_are():
    assert settings_of("lb1", "x", {**GIVEN, "seconds": 2}, DEFAULTS) == {
        "file": "/f", "pools": {}, "seconds": 2, "weights": {}, "words": [], "checked": True, "path": "/x"}
    assert DEFAULTS["seconds"] == 10 and DEFAULTS["file"] is str and GIVEN == {"file": "/f", "pools": {}}


@pytest.mark.parametrize("good", [{"seconds": 2.5}, {"seconds": 0}, {"checked": False}, {"words": ["a"]}, {"weights": {"s1": 1}}, {"path": ""}])
def test_a_value_of_the_right_type_is_taken(good):
    assert settings_of("lb1", "x", {**GIVEN, **good}, DEFAULTS).items() >= good.items()


@pytest.mark.parametrize(("bad", "reason"), [
    ({"seconds": "2"}, "the setting seconds='2', which is no int"),
    ({"seconds": True}, "the setting seconds=True, which is no int"),
    ({"seconds": None}, "the setting seconds=None, which is no int"),
    ({"checked": 1}, "the setting checked=1, which is no bool"),
    ({"checked": "yes"}, "the setting checked='yes', which is no bool"),
    ({"file": 7}, "the setting file=7, which is no str"),
    ({"pools": []}, "the setting pools=[], which is no dict"),
    ({"words": "a b"}, "the setting words='a b', which is no list"),
    ({"weights": None}, "the setting weights=None, which is no dict"),
    ({"quick": 1, "big": 2}, "unknown settings big, quick for kind=x: it has checked, file, path, pools, seconds, weights, words"),
])
def test_a_value_that_is_wrong_is_refused_with_its_name(bad, reason):
    with pytest.raises(LoadBalancerError) as error:
        settings_of("lb1", "x", {**GIVEN, **bad}, DEFAULTS)
    assert str(error.value) == f"lb1 has {reason}"


@pytest.mark.parametrize(("given", "missing"), [({"pools": {}}, "file"), ({"file": "/f"}, "pools")])
def test_a_setting_without_a_default_has_to_be_given(given, missing):
    with pytest.raises(LoadBalancerError) as error:
        settings_of("lb1", "x", given, DEFAULTS)
    assert str(error.value) == f"lb1 lacks the setting {missing}: kind=x cannot do without"


def test_a_kind_without_settings_says_so():
    assert settings_of("lb1", "x", {}, {}) == {}
    with pytest.raises(LoadBalancerError, match="lb1 has unknown settings a for kind=x: it has none"):
        settings_of("lb1", "x", {"a": 1}, {})


def test_one_socket_by_two_paths_is_one_load_balancer(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "var-run").symlink_to(tmp_path / "run")
    twice = [{"name": name, "endpoint": f"unix:{tmp_path}/{folder}/admin.sock"} for name, folder in (("lb1", "run"), ("lb2", "var-run"))]
    with pytest.raises(LoadBalancerError, match=f"has the endpoint 'unix:{tmp_path}/run/admin.sock' twice"):
        open_load_balancers(twice)
    assert len(open_load_balancers([{"name": name, "endpoint": f"tcp://10.0.0.{number}:9"} for number, name in enumerate(("lb1", "lb2"))])) == 2


SHAPES = ([], {}, None, 1, "text", [1], [None], [[]], {"a": 1}, [{"name": 1}], [{}], {"cluster_statuses": [1]}, {"cluster_statuses": 5}, {"apps": []},
          {"handler": "reverse_proxy", "upstreams": 1}, {"handler": "reverse_proxy", "load_balancing": {"selection_policy": []}},
          {"handler": "reverse_proxy", "upstreams": [1], "load_balancing": {"selection_policy": {"policy": "weighted_round_robin", "weights": ["x"]}}},
          {"loadBalancer": []}, {"loadBalancer": {"servers": [1]}}, {"loadBalancer": {"servers": [{}]}}, {"loadBalancer": {"servers": [{"url": 7}]}},
          {"peers": 1}, {"peers": [[]]}, {"peers": [{"server": None}]})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("haproxy", "nginx", "none")])
@pytest.mark.parametrize("answer", SHAPES, ids=json.dumps)
def test_an_answer_of_any_shape_is_an_error_in_words(kind, answer, tmp_path):
    """As of another program at that port, or of an API of another version."""
    (tmp_path / "file").write_text(json.dumps(answer), encoding="utf-8")
    settings = {**OPENED[kind][2], **({"file": str(tmp_path / "file")} if kind == "traefik" else {}), **({"members": "[]"} if kind == "http" else {})}
    with JsonServer() as server:
        server.reply = lambda asked: Reply(200, json.dumps(answer))
        balancer = open_load_balancer(spec(kind, endpoint=server.url, settings=settings), 0.0)
        for act in (balancer.read, lambda: balancer.read("app"), lambda: balancer.apply("app", {"s1": READY})):
            with contextlib.suppress(LoadBalancerError):
                act()


def test_an_answer_of_another_shape_names_the_load_balancer_and_what_to_look_at():
    with JsonServer({"GET /config/": [], "GET /reverse_proxy/upstreams": {"a": 1}, "GET /id/app": {}}) as server:
        balancer = open_load_balancer(spec("caddy", endpoint=server.url), 0.0)
        said = r"lb1 \(http://127.*does not answer like a load balancer of its kind: \w+ .*balancer\.py:\d+.*own API"
        with pytest.raises(LoadBalancerError, match=said):
            balancer.read()
