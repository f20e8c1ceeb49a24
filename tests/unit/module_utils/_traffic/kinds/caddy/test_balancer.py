# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy's pools against a server that keeps a configuration as its administrative API does, with Etag and If-Match."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.patience import Patience
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DOWN, DRAIN, MAINT, READY, RECHECK, UNCHECKED, UP, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.caddy.balancer import (
    NOTE, REPORTED_LATE, UNCHECKED_BY_IT, UNREPORTED, Caddy, find_proxies, member_name,
)
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.caddy.health import KnownHealth, Metrics, parse_metrics
from fake_load_balancer import Time
from json_server import DROPPED, JsonServer, Reply

POLICY = "/id/app/load_balancing/selection_policy"


def proxy(name, *dials, policy="weighted_round_robin", weights=None):
    made = {"handler": "reverse_proxy", "upstreams": [{"dial": dial} for dial in dials], "load_balancing": {"retries": 2}}
    made["load_balancing"]["selection_policy"] = {"policy": policy, "weights": weights or [1] * len(dials)}
    return {"@id": name, **made} if name else made


class Api:
    """A Caddy. `before_patch` is called with every change before it is looked at."""

    def __init__(self, server):
        self.server, self.time = server, Time()
        self.app = proxy("app", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", weights=[3, 1, 0])
        self.app["upstreams"][1]["@id"] = "s2"
        self.app["load_balancing"]["selection_policy"]["note"] = "kept"
        web = {"handler": "subroute", "routes": [{"handle": [proxy("web", "10.0.1.1:80"), proxy(None, "10.0.2.1:80")]}]}
        self.config = {"admin": {"listen": ":2019"}, "apps": {"http": {"servers": {"a": {"routes": [{"handle": [{"handler": "rewrite"}, self.app, web]}]}}}}}
        self.upstreams = [{"address": f"10.0.{net}:80", "num_requests": 4 if net == "0.1" else 0, "fails": 0} for net in ("0.1", "0.2", "0.3", "1.1", "2.1")]
        self.before_patch = lambda asked: None
        server.routes.update({"GET /config/": lambda asked: self.config, "GET /reverse_proxy/upstreams": lambda asked: self.upstreams,
                              "GET /id/app": lambda asked: Reply(200, self.app, {"Etag": self.etag}), f"PATCH {POLICY}": self.patch})

    @property
    def policy(self):
        return self.app["load_balancing"]["selection_policy"]

    @property
    def etag(self):
        return f'"/config/apps {hash(json.dumps(self.app["load_balancing"]))}"'

    def patch(self, asked):
        made = self.before_patch(asked)
        if made:
            return made
        if asked.headers.get("if-match") != self.etag:
            return Reply(412, {"error": "If-Match header did not match current config hash"})
        self.app["load_balancing"]["selection_policy"] = asked.json
        return Reply(200)

    def opened(self, **settings):
        return Caddy("lb1", self.server.url, settings, {}, self.time.clock.steady, self.time.sleep, Patience(20, self.time.clock.steady, self.time.sleep))


@pytest.fixture(name="api")
def _api():
    with JsonServer() as server:
        yield Api(server)


def test_what_is_seen_of_the_members(api):
    view = api.opened().read("app")
    assert view.version == "" and list(view.backends) == ["app"] and view.backends["app"].live == 2
    members = view.backends["app"].members
    assert [(name, member.address, member.admin, member.weight, member.sessions) for name, member in members.items()] == [
        ("10.0.0.1:80", "10.0.0.1:80", READY, 3, 4), ("s2", "10.0.0.2:80", READY, 1, 0), ("10.0.0.3:80", "10.0.0.3:80", MAINT, 0, 0)]
    assert {(member.health, member.probed, member.confirmed, member.note) for member in members.values()} == {(UNCHECKED, False, True, NOTE)}


def test_all_reverse_proxies_with_an_id_are_seen_however_deep(api):
    view = api.opened().read()
    assert {name: list(pool.members) for name, pool in view.backends.items()} == {"app": ["10.0.0.1:80", "s2", "10.0.0.3:80"], "web": ["10.0.1.1:80"]}
    assert [asked.line for asked in api.server.requests] == ["GET /config/", "GET /reverse_proxy/upstreams", "GET /metrics"]
    assert [len(list(find_proxies(part))) for part in (api.config, [], None, "reverse_proxy", {"handler": "static"})] == [3, 0, 0, 0, 0]


@pytest.mark.parametrize("is_first", [True, False])
def test_an_address_that_is_reported_twice_has_the_requests_of_both(api, is_first):
    """Caddy 2.11 has those that dynamic_upstreams find apart."""
    api.upstreams.insert(0 if is_first else len(api.upstreams), {"address": "10.0.0.1:80", "num_requests": 2, "fails": 0})
    assert [member.sessions for member in api.opened().read("app").backends["app"].members.values()] == [6, 0, 0]


@pytest.mark.parametrize(("change", "reported"), [(lambda upstreams: upstreams.pop(1), "10.0.0.2:80"),
                                                  (list.clear, "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80")])
def test_an_address_that_is_not_told_is_refused_and_not_taken_for_idle(api, change, reported):
    change(api.upstreams)
    refusals = api.opened(weights={"10.0.0.1:80": 3}).read("app").backends["app"].refusals
    assert [sentence.partition(" (")[0] for sentence in refusals] == [f"Caddy does not report the requests in flight to {reported}"]


def test_what_closes_web_sockets_and_who_else_sends_there_is_noted(api):
    api.config["other"] = [proxy(None, "10.0.0.2:80", "10.0.9.9:80"), {"handler": "reverse_proxy", "upstreams": None}, proxy("third", "10.0.0.1:80")]
    first, second = api.opened().read("app").backends["app"].warnings
    assert first.startswith("every change of a weight closes the WebSockets") and first.endswith("set stream_close_delay, such as 1h")
    assert second.startswith("a reverse proxy without an @id sends to 10.0.0.2:80, too, and members are not drained there")
    api.app["stream_close_delay"], api.config["other"] = 3_600_000_000_000, []
    assert api.opened().read("app").backends["app"].warnings == ()


ACTIVE, PASSIVE = {"active": {"uri": "/healthz"}}, {"passive": {"fail_duration": "30s"}}
LOADED_AT, DATE = 1_798_761_600.25, "Fri, 01 Jan 2027 00:00:%02d GMT"


def metrics(healthy, loaded=LOADED_AT):
    """The metrics of these addresses, as Caddy 2.11 writes them."""
    lines = [f'caddy_reverse_proxy_upstreams_healthy{{upstream="{dial}"}} {int(value)}' for dial, value in healthy.items()]
    return "\n".join(["# TYPE caddy_reverse_proxy_upstreams_healthy gauge", *lines, f"caddy_config_last_reload_success_timestamp_seconds {loaded:.12e}", ""])


class Metric:
    """The metric of three members, of a configuration that was loaded when the test began: it is right 11 seconds later."""

    def __init__(self, api):
        self.api, self.began, self.down = api, api.time.now, set()
        api.app["health_checks"] = ACTIVE
        api.policy["weights"] = [1, 1, 1]
        api.server.routes["GET /metrics"] = self.answer

    @property
    def age(self):
        return self.api.time.now - self.began

    def answer(self, asked):
        down = self.down if self.age >= 10 else ()
        return Reply(200, metrics({f"10.0.0.{number}:80": number not in down for number in (1, 2, 3)}), {"Date": DATE % self.age})

    def loads(self):
        self.began = self.api.time.now


@pytest.fixture(name="metric")
def _metric(api):
    return Metric(api)


def health(caddy):
    return [member.health for member in caddy.read("app").backends["app"].members.values()]


def test_what_is_unhealthy_is_no_capacity(api, metric):
    metric.down = {2}
    api.time.sleep(12)
    view = api.opened().read("app").backends["app"]
    assert [(member.health, member.check, member.note, member.live) for member in view.members.values()] == [
        (UP, "", "", True), (DOWN, "unhealthy", "", False), (UP, "", "", True)]
    assert view.unproven[0] == REPORTED_LATE and view.unknown_for == 0
    with pytest.raises(TrafficError, match="live"):
        apply([api.opened()], Request("app", ("10.0.0.1:80",), "drained", min_live=2), api.time.clock)
    assert api.policy["weights"] == [1, 1, 1] and api.server.changes == []


@pytest.mark.parametrize("state", ["drained", "draining"])
def test_a_drain_that_keeps_members_live_waits_until_caddy_knows_who_is(api, metric, state):
    """A configuration that was loaded a second ago has everybody healthy."""
    metric.down = {2}
    api.time.sleep(1)
    assert health(api.opened()) == [UP, UP, UP]
    with pytest.raises(TrafficError, match="live"):
        apply([api.opened()], Request("app", ("10.0.0.1:80",), state, min_live=2), api.time.clock)
    assert api.server.changes == [] and metric.age >= 11
    # Who asks for none does not wait.
    metric.loads()
    apply([api.opened()], Request("app", ("10.0.0.1:80",), "draining"), api.time.clock)
    assert api.policy["weights"] == [0, 1, 1] and metric.age < 1


def test_what_was_unhealthy_before_a_change_is_so_until_caddy_knows_better(api, metric):
    metric.down = {2}
    api.time.sleep(12)
    caddy = api.opened()
    assert health(caddy) == [UP, DOWN, UP]
    caddy.apply("app", {"10.0.0.1:80": DRAIN})
    metric.loads()
    assert health(caddy) == [UNCHECKED, DOWN, UP] and caddy.read("app").backends["app"].unknown_for == 0
    metric.down = {3}
    api.time.sleep(10.5)
    # What has failed is never too early.
    assert health(caddy) == [UNCHECKED, DOWN, DOWN]
    api.time.sleep(2)
    assert health(caddy) == [UNCHECKED, UP, DOWN]


def test_one_that_comes_back_is_let_in_whatever_caddy_has_reported_of_it(api, metric):
    """It was stopped while it was out, and its smoke test is newer."""
    metric.down = {3}
    api.policy["weights"] = [1, 1, 0]
    api.time.sleep(12)
    assert apply([api.opened()], Request("app", ("10.0.0.3:80",), "ready"), api.time.clock).live == {"lb1": 3}
    assert health(api.opened()) == [UP, UP, DOWN]
    caddy = api.opened()
    for change in (MAINT, READY):
        caddy.apply("app", {"10.0.0.3:80": change})
    assert health(caddy) == [UP, UP, UNCHECKED]
    caddy.apply("app", {"10.0.0.3:80": READY, "s2": READY})
    assert health(caddy) == [UP, UP, UNCHECKED]


@pytest.mark.parametrize(("checks", "unproven", "second"), [
    (None, UNCHECKED_BY_IT, UNCHECKED), ({"active": {"interval": 1}}, UNCHECKED_BY_IT, UNCHECKED), ({"passive": {}}, UNCHECKED_BY_IT, UNCHECKED),
    (PASSIVE, REPORTED_LATE, UP), (ACTIVE, REPORTED_LATE, UP), ({**PASSIVE, "active": {"port": 81}}, REPORTED_LATE, UP),
])
def test_health_is_reported_where_it_is_checked(api, metric, checks, unproven, second):
    api.app["health_checks"] = checks
    metric.down = {1}
    api.time.sleep(12)
    view = api.opened().read("app").backends["app"]
    assert [member.health for member in view.members.values()] == [DOWN, second, second] and view.unproven[0] == unproven
    metric.loads()
    assert bool(api.opened().read("app").backends["app"].unknown_for) == ("active" in (checks or {}) and checks["active"] != {"interval": 1})


@pytest.mark.parametrize("answer", [Reply(403, "no"), Reply(404), Reply(200, "# nothing\n"), Reply(200, metrics({"10.0.9.9:80": False}))])
def test_without_metrics_of_the_members_health_is_not_told_and_the_plan_says_so(api, metric, answer):
    api.server.routes["GET /metrics"] = answer
    view = api.opened().read("app").backends["app"]
    assert view.live == 3 and {member.health for member in view.members.values()} == {UNCHECKED}
    assert view.unproven[0] == UNREPORTED and view.unknown_for == 0


@pytest.mark.parametrize(("text", "date", "parsed"), [
    ("", "", Metrics({}, None)),
    (metrics({"a:1": True, "[::1]:80": False}), DATE % 7, Metrics({"a:1": True, "[::1]:80": False}, 6.75)),
    (metrics({r"unix//run/\"a\\b": True}), "yesterday", Metrics({'unix//run/"a\\b': True}, None)),
    ("caddy_config_last_reload_success_timestamp_seconds x\n", DATE % 7, Metrics({}, None)),
])
def test_the_metrics(text, date, parsed):
    assert parse_metrics(text, date) == parsed


def test_what_is_known_outlasts_a_metric_that_caddy_has_just_emptied():
    known = KnownHealth()
    known.take(Metrics({"a": False, "b": True}, 20.0), ())
    known.take(Metrics({}, 0.1), ())
    assert (known.of("a"), known.of("b"), known.is_reported("b"), known.unknown_for) == (False, True, True, 0.0)
    known.take(Metrics({"a": True, "b": True}, None), {"b"})
    assert (known.of("a"), known.of("b"), known.is_reported("b")) == (True, None, True)


def test_who_may_not_read_the_whole_configuration_may_drain(api):
    api.server.routes["GET /config/"] = Reply(403)
    assert api.opened().read("app").backends["app"].live == 2


@pytest.mark.parametrize("ask", [lambda caddy: caddy.read("ap"), lambda caddy: caddy.apply("ap", {"s2": MAINT})])
def test_an_unknown_pool_is_an_error_that_names_those_there_are(api, ask):
    with pytest.raises(LoadBalancerError) as error:
        ask(api.opened())
    assert str(error.value) == f"lb1 ({api.server.url}) has no reverse proxy with the @id 'ap': it has app, web" and api.server.changes == []


@pytest.mark.parametrize("broken", [
    {"selection_policy": {"policy": "round_robin", "weights": [1, 1, 1]}},
    {"selection_policy": {"policy": "weighted_round_robin", "weights": [1, 1]}},
    {"selection_policy": {"policy": "weighted_round_robin"}},
    {"selection_policy": {}},
    {},
])
def test_a_pool_without_a_weight_for_each_upstream_is_refused(api, broken):
    api.app["load_balancing"] = broken
    with pytest.raises(LoadBalancerError, match=r"has app without a weight for each of its 3 upstreams: set load_balancing.selection_policy to "
                                                "weighted_round_robin, with 3 weights of 1, because a weight of 0 is what takes a member out"):
        api.opened().read("app")


@pytest.mark.parametrize(("changes", "weights"), [
    ({"s2": DRAIN}, [3, 0, 0]),
    ({"s2": MAINT}, [3, 0, 0]),
    ({"10.0.0.1:80": RECHECK}, [0, 1, 0]),
    ({"10.0.0.3:80": READY, "s2": DRAIN}, [3, 0, 5]),
    ({"10.0.0.3:80": READY, "10.0.0.1:80": READY}, [3, 1, 5]),
])
def test_all_weights_are_changed_at_once_and_nothing_else(api, changes, weights):
    before, etag = copy.deepcopy(api.app), api.etag
    api.opened(weights={"10.0.0.3:80": 5, "10.0.0.1:80": 9}).apply("app", changes)
    before["load_balancing"]["selection_policy"]["weights"] = weights
    assert api.app == before and api.policy["note"] == "kept"
    assert [(asked.line, asked.headers["if-match"], asked.json) for asked in api.server.changes] == [(f"PATCH {POLICY}", etag, api.policy)]


def test_a_member_comes_in_with_the_weight_1_when_no_other_is_set(api):
    api.opened().apply("app", {"10.0.0.3:80": READY})
    assert api.policy["weights"] == [3, 1, 1]


def test_what_was_asked_of_a_member_that_is_out_is_remembered_without_a_reload(api):
    caddy, seen = api.opened(), []
    for change in (DRAIN, MAINT, RECHECK, READY):
        caddy.apply("app", {"s2": change})
        seen.append(caddy.read("app").backends["app"].members["s2"].admin)
    assert seen == [DRAIN, MAINT, DRAIN, READY] and [asked.json["weights"] for asked in api.server.changes] == [[3, 0, 0], [3, 1, 0]]


def test_a_change_that_somebody_else_made_meanwhile_is_not_undone(api):
    def other(asked):
        api.before_patch = lambda asked: None
        api.policy["weights"][2] = 7
    api.before_patch = other
    began = api.time.now
    api.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert api.policy["weights"] == [0, 1, 7] and [asked.json["weights"] for asked in api.server.changes] == [[0, 1, 0], [0, 1, 7]]
    assert api.time.now - began == pytest.approx(0.1)


def test_a_change_without_an_answer_arrives_at_most_once(api):
    """The second one is meant for a configuration that is gone: Caddy refuses it, and what is there then is as it was asked for."""
    def lost(asked):
        api.before_patch = lambda asked: None
        assert api.patch(asked).status == 200
        return DROPPED

    api.before_patch = lost
    api.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert api.policy["weights"][0] == 0 and len(api.server.changes) == 2


def test_a_pool_that_others_change_all_the_time_is_given_up(api):
    def other(asked):
        api.policy["weights"][2] += 1
    api.before_patch = other
    began = api.time.now
    with pytest.raises(LoadBalancerError, match=f"answers PATCH {POLICY} with 412: .*If-Match header did not match"):
        api.opened().apply("app", {"s2": MAINT})
    assert len(api.server.changes) == 10 and api.policy["weights"] == [3, 1, 10] and api.time.now - began == pytest.approx(4.5)


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_change_that_is_refused_is_not_tried_again(api, status):
    api.before_patch = lambda asked: Reply(status, {"error": "loading new config"})
    caddy = api.opened()
    with pytest.raises(LoadBalancerError, match=f'answers PATCH {POLICY} with {status}: {{"error": "loading new config"}}'):
        caddy.apply("app", {"s2": DRAIN})
    assert len(api.server.changes) == 1
    api.policy["weights"] = [3, 0, 0]
    assert caddy.read("app").backends["app"].members["s2"].admin == MAINT


def test_an_unknown_member_is_an_error_that_names_those_there_are(api):
    with pytest.raises(LoadBalancerError, match=r"has no upstream 10.0.0.2:80, s9: it has 10.0.0.1:80, s2, 10.0.0.3:80"):
        api.opened().apply("app", {"s9": MAINT, "s2": MAINT, "10.0.0.2:80": MAINT})
    assert api.server.changes == []


def test_the_last_one_in_traffic_stays_there_and_the_configuration_is_not_tried(api):
    with pytest.raises(LoadBalancerError, match="keeps one upstream of app in traffic at least: it accepts no pool in which every weight is 0"):
        api.opened().apply("app", {"10.0.0.1:80": MAINT, "s2": MAINT})
    assert api.server.changes == []


@pytest.mark.parametrize(("upstream", "name"), [({"dial": "a:1"}, "a:1"), ({"dial": "a:1", "@id": "s1"}, "s1")])
def test_an_upstream_is_called_by_its_id_or_by_what_is_dialled(upstream, name):
    assert member_name(upstream) == name


def test_the_headers_go_with_every_request(api):
    Caddy("lb1", api.server.url, {}, {"Authorization": "Bearer x"}).apply("app", {"s2": DRAIN})
    assert [asked.headers.get("authorization") for asked in api.server.requests] == ["Bearer x"] * 2


def test_the_command_tells_the_weights(api):
    reported = api.opened(weights={"s2": 4}).command("app", {"s2": READY, "10.0.0.3:80": READY, "10.0.0.1:80": DRAIN})
    assert reported.startswith("curl -X PATCH ") and f" {api.server.url}{POLICY} " in reported and reported.endswith(": s2 4, 10.0.0.3:80 1, 10.0.0.1:80 0")


@pytest.mark.parametrize(("settings", "reason"), [
    ({"weight": {}}, "lb1 has unknown settings weight for kind=caddy: it has weights"),
    ({"weights": [1, 2]}, r"lb1 has the setting weights=\[1, 2\], which is no dict"),
])
def test_a_setting_that_is_wrong_is_refused(settings, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        Caddy("lb1", "http://127.0.0.1:1", settings, {})


def test_a_proxy_without_weights_is_no_pool_and_does_not_stand_in_the_way_of_the_others(api):
    api.config["other"] = {"handler": "reverse_proxy", "@id": "dynamic", "dynamic_upstreams": {"source": "a"}}
    assert "dynamic" not in api.opened().read().backends and "app" in api.opened().read().backends


def test_a_weight_of_before_is_back_whatever_the_settings_say(api):
    caddy = api.opened(weights={"10.0.0.1:80": 9})
    caddy.apply("app", {"10.0.0.1:80": DRAIN})
    caddy.apply("app", {"10.0.0.1:80": MAINT})
    assert caddy.command("app", {"10.0.0.1:80": READY}).endswith(": 10.0.0.1:80 3")
    caddy.apply("app", {"10.0.0.1:80": READY})
    assert api.policy["weights"] == [3, 1, 0]


@pytest.mark.parametrize(("change", "reason"), [
    (lambda app: None, "the weights of 10.0.0.1:80 would be lost: write them into traffic_settings, weights: {10.0.0.1:80: 3}"),
    (lambda app: (app["upstreams"].__delitem__(slice(1, 3)), app["load_balancing"]["selection_policy"].update(weights=[1])),
     "it has one upstream, which Caddy keeps in traffic regardless of its weight: add another one"),
    (lambda app: (app.update(dynamic_upstreams={"source": "srv"}), app["load_balancing"]["selection_policy"].update(weights=[1, 1, 0])),
     "its upstreams are looked up all the time (dynamic_upstreams), and have no weights: remove that"),
])
def test_a_proxy_with_which_nothing_is_proven_is_refused_before_anything_is_changed(api, change, reason):
    change(api.app)
    assert api.opened().read("app").backends["app"].refusals == (reason,)
    with pytest.raises(TrafficError) as error:
        apply([api.opened()], Request("app", ("10.0.0.1:80",), "drained"), api.time.clock)
    assert str(error.value) == f"no drain of app can be proven. lb1: {reason}" and api.server.changes == []


def test_one_that_comes_back_is_let_in_whatever_the_configuration_is(api):
    apply([api.opened()], Request("app", ("10.0.0.3:80",), "ready"), api.time.clock)
    assert api.policy["weights"] == [3, 1, 1]
    assert api.opened(weights={"10.0.0.1:80": 3}).read("app").backends["app"].refusals == ()
