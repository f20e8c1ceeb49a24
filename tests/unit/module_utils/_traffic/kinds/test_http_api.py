# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any load balancer with an API, and the preset for NGINX Plus, against a server with such an API."""

from __future__ import annotations

import shlex

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DOWN, DRAIN, MAINT, READY, RECHECK, UNCHECKED, UP, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds import http_api
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.http_api import HttpApi, NginxPlus, fill
from fake_load_balancer import Time
from json_server import DROPPED, JsonServer, Reply

CHANGE = {"ready": {"path": "/pools/{backend}/{key}/on"}, "drain": {"method": "PUT", "path": "/pools/{backend}/{key}", "body": {"mode": "drain"}},
          "maint": {"method": "DELETE", "path": "/pools/{backend}/{key}"}}
SETTINGS = {"path": "/pools/{backend}", "members": "[].{name: n, key: key, admin: admin, health: health, sessions: busy}", "change": CHANGE}
PEERS = "/api/9/http/upstreams/app"


class Api:
    """An API with the pool `app`, whose rows are what it is asked for next."""

    def __init__(self, server):
        self.server, self.time = server, Time()
        self.rows = [{"n": "s1", "key": "a b/1", "admin": "ready", "health": "up", "busy": 3},
                     {"n": "s2", "key": 2, "admin": "drain", "health": "down", "busy": 0},
                     {"n": "s3", "key": 3, "admin": "maint", "health": "unchecked"}]
        server.routes.update({"GET /pools/app": lambda asked: self.rows, "POST /pools/app/a%20b%2F1/on": Reply(204), "POST /pools/app/2/on": {},
                              "PUT /pools/app/2": {}, "PUT /pools/app/a%20b%2F1": {}, "DELETE /pools/app/a%20b%2F1": Reply(202), "DELETE /pools/app/2": {}})

    def opened(self, **settings):
        return HttpApi("lb1", self.server.url, {**SETTINGS, **settings}, {"X-Token": "t"}, self.time.clock.steady, self.time.sleep)

    def member(self, balancer, name="s1"):
        return balancer.read("app").backends["app"].members[name]


@pytest.fixture(name="api")
def _api():
    with JsonServer() as server:
        yield Api(server)


def test_the_jmespath_makes_the_members(api):
    view = api.opened().read("app")
    assert view.version == "" and list(view.backends) == ["app"] and view.backends["app"].live == 1
    assert [(name, member.address, member.admin, member.health, member.sessions, member.probed, member.confirmed)
            for name, member in view.backends["app"].members.items()] == [
        ("s1", "s1", READY, UP, 3, True, True), ("s2", "s2", DRAIN, DOWN, 0, True, False), ("s3", "s3", MAINT, UNCHECKED, 0, False, True)]
    assert [asked.headers["x-token"] for asked in api.server.requests] == ["t"]


def test_every_field_that_there_is_arrives(api):
    fields = {"address": "10.0.0.1:80", "check": "L7OK", "queued": 2, "arrivals": 99, "weight": 7, "backup": True}
    api.rows = [{"name": "s1", **fields}, {"name": "s2", **dict.fromkeys(fields)}]
    balancer = api.opened(members="@")
    first, second = api.member(balancer), api.member(balancer, "s2")
    assert {field: getattr(first, field) for field in fields} == fields and (first.serving, first.live) == (True, False)
    assert (second.address, second.admin, second.health, second.weight, second.backup, second.sessions) == ("s2", READY, UNCHECKED, 1, False, 0)
    assert (first.watch_seconds, second.watch_seconds) == (1.0, 0.0), "only where arrivals are reported"


@pytest.mark.parametrize(("backends", "lines"), [([], []), (["app"], ["GET /pools/app"])])
def test_all_pools_are_those_that_were_set(api, backends, lines):
    assert list(api.opened(backends=backends).read().backends) == backends and api.server.lines() == lines


@pytest.mark.parametrize(("change", "line", "body"), [
    (READY, "POST /pools/app/a%20b%2F1/on", ""),
    (DRAIN, "PUT /pools/app/a%20b%2F1", '{"mode": "drain"}'),
    (RECHECK, "PUT /pools/app/a%20b%2F1", '{"mode": "drain"}'),
    (MAINT, "DELETE /pools/app/a%20b%2F1", ""),
])
def test_a_change_is_one_request_with_percent_encoded_words(api, change, line, body):
    api.opened().apply("app", {"s1": change})
    assert [(asked.line, asked.body, asked.headers["x-token"]) for asked in api.server.changes] == [(line, body, "t")]


@pytest.mark.parametrize("is_done", [True, False])
def test_a_change_without_an_answer_is_looked_at_before_it_is_asked_for_once_more(api, is_done):
    """A POST may not arrive twice without need."""
    answers = [DROPPED, Reply(204)]

    def bring_in(asked):
        api.rows[1]["admin"] = "ready" if is_done or len(answers) == 1 else "drain"
        return answers.pop(0)

    api.server.routes["POST /pools/app/2/on"] = bring_in
    api.opened().apply("app", {"s2": READY})
    assert [asked.line for asked in api.server.changes] == ["POST /pools/app/2/on"] * (1 if is_done else 2)


def test_members_are_changed_one_after_the_other_and_the_first_that_fails_ends_it(api):
    balancer = api.opened()
    balancer.apply("app", {"s1": MAINT, "s2": READY})
    assert [asked.line for asked in api.server.changes] == ["DELETE /pools/app/a%20b%2F1", "POST /pools/app/2/on"]
    api.server.routes["PUT /pools/app/a%20b%2F1"] = Reply(409, "busy")
    with pytest.raises(LoadBalancerError, match="answers PUT /pools/app/a%20b%2F1 with 409: busy"):
        balancer.apply("app", {"s1": DRAIN, "s2": MAINT})
    assert len(api.server.changes) == 3


@pytest.mark.parametrize("change", [DRAIN, RECHECK, MAINT])
def test_without_a_request_for_drain_maintenance_is_asked_for_right_away(api, change):
    balancer = api.opened(change={state: CHANGE[state] for state in (READY, MAINT)})
    balancer.apply("app", {"s1": change})
    assert [asked.line for asked in api.server.changes] == ["DELETE /pools/app/a%20b%2F1"]
    api.rows[0]["admin"] = "maint"
    assert api.member(balancer).admin == (MAINT if change == MAINT else DRAIN)
    balancer.apply("app", {"s1": READY})
    api.rows[0]["admin"] = "ready"
    assert api.member(balancer).admin == READY and api.server.changes[-1].line == "POST /pools/app/a%20b%2F1/on"


@pytest.mark.parametrize("ask", [lambda balancer: balancer.read("ap"), lambda balancer: balancer.apply("ap", {"s1": MAINT})])
def test_an_unknown_pool_is_an_error(api, ask):
    with pytest.raises(LoadBalancerError) as error:
        ask(api.opened())
    assert str(error.value) == f"lb1 ({api.server.url}) has no pool 'ap': GET /pools/ap is answered with 404"


def test_an_unknown_member_is_an_error_that_names_those_there_are(api):
    with pytest.raises(LoadBalancerError, match="has no member s9 in app: it has s1, s2, s3"):
        api.opened().apply("app", {"s9": MAINT, "s1": MAINT})
    assert api.server.changes == []


@pytest.mark.parametrize(("members", "reason"), [
    ("nothing", "has no members in the answer to GET /pools/app: the JMESPath in members finds None"),
    ("[?n=='s9']", r"finds \[\]"),
    ("[0]", "finds {'n': 's1'"),
    ("[].n", "has a member without a name: the JMESPath in members finds 's1'"),
    ("[].{admin: admin}", "has a member without a name"),
    ("[].{name: ''}", "has a member without a name"),
    ("[].{name: busy}", "has a member with name=3, which is no str: correct the JMESPath in members"),
    ("[].{name: n, sessions: n}", "has a member with sessions='s1', which is no int: correct the JMESPath in members"),
    ("[].{name: n, weight: `true`}", "has a member with weight=True, which is no int"),
    ("[].{name: n, backup: `1`}", "has a member with backup=1, which is no bool"),
    ("[].{name: n, admin: health}", "has a member with admin='up', which is none of ready, drain, maint: correct the JMESPath in members"),
    ("[].{name: n, health: admin}", "has a member with health='ready', which is none of up, down, unchecked"),
    ("[].{name: n, sessions: length(busy)}", r"answers with data to which the JMESPath '\[\].{name: n, sessions: length\(busy\)}' does not apply: "),
])
def test_what_the_jmespath_makes_has_to_be_members(api, members, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        api.opened(members=members).read("app")


@pytest.mark.parametrize(("settings", "reason"), [
    ({"members": "[].{name"}, r"has '\[\].{name', which is no JMESPath: "),
    ({"change": {"ready": CHANGE["ready"]}}, "has no request for maint: change needs ready and maint"),
    ({"change": {"maint": CHANGE["maint"]}}, "has no request for ready: change needs ready and maint"),
    ({"change": {**CHANGE, "cut": CHANGE["maint"]}}, "has change.cut="),
    ({"change": {**CHANGE, "drain": "/x"}}, "has change.drain='/x': give method, path and body for each of ready, drain, maint"),
    ({"change": {**CHANGE, "drain": {"method": "PUT"}}}, "has change.drain={'method': 'PUT'}: give"),
    ({"change": {**CHANGE, "drain": {"path": "/x", "headers": {}}}}, "has change.drain="),
    ({"validate_certs": 0}, "lb1 has the setting validate_certs=0, which is no bool"),
    ({"url": "x"}, "lb1 has unknown settings url for kind=http: it has backends, change, members, path, quiet_seconds, recheck_seconds, validate_certs"),
])
def test_a_setting_that_is_wrong_is_refused_before_anything_is_asked(api, settings, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        api.opened(**settings)
    assert api.server.requests == []


@pytest.mark.parametrize("missing", ["path", "members", "change"])
def test_a_setting_that_is_missing_is_named(missing):
    with pytest.raises(LoadBalancerError, match=f"lb1 lacks the setting {missing}: kind=http cannot do without"):
        HttpApi("lb1", "http://127.0.0.1:1", {key: value for key, value in SETTINGS.items() if key != missing}, {})


def test_the_library_that_is_missing_is_named(api, monkeypatch):
    monkeypatch.setattr(http_api, "jmespath", None)
    with pytest.raises(LoadBalancerError, match="needs the Python library jmespath where this runs: python -m pip install jmespath"):
        api.opened()


@pytest.mark.parametrize("template", ["/{host}", "/{", "/{0}"])
def test_a_word_that_nobody_knows_is_named(template):
    with pytest.raises(LoadBalancerError, match=r"has the path '/{.*', in which .* is not known: it may have {name}, {key}"):
        fill(template, {"name": "s1", "key": "a"}, LoadBalancerError)


def test_every_word_of_a_path_is_percent_encoded():
    assert fill("/{name}?k={key}", {"name": "a/b?c", "key": "ö&%"}, LoadBalancerError) == "/a%2Fb%3Fc?k=%C3%B6%26%25"


def test_what_may_be_in_flight_is_waited_for_where_it_is_not_told(api):
    balancer, seen = api.opened(quiet_seconds=4), []
    del api.rows[1]["busy"]
    for pause in (0, 3.9, 0.2):
        api.time.sleep(pause)
        seen.append([member.sessions for member in balancer.read("app").backends["app"].members.values()])
    assert seen == [[3, 1, 1], [3, 1, 1], [3, 0, 0]]
    assert [api.member(balancer, name).note for name in ("s1", "s2")] == ["", "requests in flight are not reported: 4 s are waited for them instead"]


def test_a_recheck_is_confirmed_after_the_recheck_seconds_by_a_member_that_is_healthy(api):
    balancer, seen = api.opened(recheck_seconds=6), []
    balancer.apply("app", {"s1": RECHECK, "s2": RECHECK})
    api.rows[0]["admin"] = "drain"
    for pause in (0, 5.9, 0.2):
        api.time.sleep(pause)
        seen.append([member.confirmed for member in balancer.read("app").backends["app"].members.values()])
    assert seen == [[False, False, True], [False, False, True], [True, False, True]]


@pytest.mark.parametrize(("state", "admin", "health"), [
    ("up", READY, UP), ("draining", DRAIN, UP), ("down", MAINT, UP), ("unavail", READY, DOWN), ("unhealthy", READY, DOWN), ("checking", READY, DOWN)])
def test_the_peers_of_nginx_plus(api, state, admin, health):
    peer = {"id": 4, "server": "10.0.0.1:80", "name": "app1:80", "backup": False, "weight": 2, "state": state, "active": 3, "requests": 50}
    api.server.routes[f"GET {PEERS}"] = {"peers": [peer], "keepalive": 0, "zone": "app"}
    seen = NginxPlus("lb1", api.server.url, {}, {}).read("app").backends["app"].members
    assert list(seen) == ["app1:80"]
    it = seen["app1:80"]
    assert (it.admin, it.health, it.check, it.address, it.sessions, it.arrivals, it.weight) == (admin, health, state, "10.0.0.1:80", 3, 50, 2)


@pytest.mark.parametrize(("change", "flag"), [(READY, ("down", False)), (DRAIN, ("drain", True)), (RECHECK, ("drain", True)), (MAINT, ("down", True))])
def test_the_changes_of_nginx_plus_go_to_the_servers_by_their_number(api, change, flag):
    api.server.routes.update({f"GET {PEERS}": {"peers": [{"id": 4, "server": "10.0.0.1:80", "name": "app1:80", "state": "up"}]},
                              f"PATCH {PEERS}/servers/4": {}})
    NginxPlus("lb1", api.server.url, {"quiet_seconds": 3}, {}).apply("app", {"app1:80": change})
    assert [asked.line for asked in api.server.changes] == [f"PATCH {PEERS}/servers/4"] and flag in api.server.changes[0].json.items()


def test_the_command_tells_the_requests(api):
    balancer = api.opened()
    balancer.read("app")
    reported = balancer.command("app", {"s1": READY, "s2": MAINT}).split(" && ")
    assert [part.partition(" -d")[0] for part in reported] == [f"curl -X POST {api.server.url}/pools/app/a%20b%2F1/on",
                                                               f"curl -X DELETE {api.server.url}/pools/app/2"]


def test_two_members_of_one_name_are_refused(api):
    api.rows[1]["n"] = "s1"
    with pytest.raises(LoadBalancerError, match="has s1 more than once in app: have the JMESPath in members give each a name of its own"):
        api.opened().read("app")


def test_maintenance_by_another_hand_is_not_taken_for_our_drain(api):
    balancer = api.opened()
    balancer.apply("app", {"s2": DRAIN})
    api.rows[1]["admin"] = "maint"
    assert api.member(balancer, "s2").admin == MAINT


def test_the_command_can_be_typed_and_is_said_also_of_a_member_that_was_never_seen(api):
    balancer = api.opened()
    assert balancer.command("app", {"s2": DRAIN}) == "by its API: s2 to drain"
    balancer.read("app")
    assert shlex.split(balancer.command("app", {"s2": DRAIN})) == [
        "curl", "-X", "PUT", "-H", "Content-Type: application/json", "-d", '{"mode": "drain"}', f"{api.server.url}/pools/app/2"]
    assert shlex.split(balancer.command("app", {"s2": MAINT})) == ["curl", "-X", "DELETE", f"{api.server.url}/pools/app/2"]


class Slow:
    """An API that accepts a change at once, and shows it after `lag` seconds; with `flaps`, it shows what was before once more a second later."""

    def __init__(self, api, lag, flaps=False):
        self.api, self.lag, self.flaps, self.made = api, lag, flaps, []
        del api.rows[1:]
        api.rows[0].update(key="1", busy=0)
        api.server.routes.update({"GET /pools/app": lambda asked: [{**api.rows[0], "admin": self.shown()}], "POST /pools/app/1/on": self.change("ready"),
                                  "PUT /pools/app/1": self.change("drain"), "DELETE /pools/app/1": self.change("maint")})

    def change(self, state):
        return lambda asked: self.made.append((self.api.time.now, state)) or Reply(202)

    def shown(self):
        state = "ready"
        for at, made in self.made:
            age = self.api.time.now - at
            state = made if age >= self.lag and not (self.flaps and self.lag + 1 <= age < self.lag + 2) else state
        return state


@pytest.mark.parametrize(("lag", "flaps"), [(0, False), (3, False), (25, False), (0, True), (3, True)])
def test_a_change_that_is_shown_later_is_waited_for(api, lag, flaps):
    slow, began = Slow(api, lag, flaps), api.time.now
    out = apply([api.opened()], Request("app", ("s1",), "drained"), api.time.clock)
    assert out.after == {"lb1": {"s1": MAINT}} and [state for _at, state in slow.made] == ["drain", "maint"]
    assert 2 * lag <= api.time.now - began <= 2 * lag + 4
    back = apply([api.opened()], Request("app", ("s1",), "ready"), api.time.clock)
    assert back.after == {"lb1": {"s1": READY}}


def test_a_change_that_is_never_shown_is_given_up_and_asked_back(api):
    slow, began = Slow(api, 1000), api.time.now
    with pytest.raises(TrafficError, match=r"accepted a change of s1 in app, and does not show it within 30 s: see its log.*was restored on lb1"):
        apply([api.opened()], Request("app", ("s1",), "drained"), api.time.clock)
    assert [state for _at, state in slow.made] == ["drain", "ready"] and api.time.now - began < 70


def test_somebody_else_who_changes_it_later_is_seen(api):
    balancer = api.opened()
    balancer.apply("app", {"s1": MAINT})
    api.rows[0]["admin"] = "maint"
    assert api.member(balancer).admin == MAINT
    api.time.sleep(31)
    api.rows[0]["admin"] = "ready"
    assert api.member(balancer).admin == READY


@pytest.mark.parametrize(("quiet_seconds", "busy", "is_refused"), [(0, None, True), (0, 0, False), (3, None, False)])
def test_nobody_is_drained_where_requests_are_neither_told_nor_waited_for(api, quiet_seconds, busy, is_refused):
    api.rows[2]["busy"] = busy
    for line, state in (("PUT /pools/app/3", "drain"), ("POST /pools/app/3/on", "ready")):
        api.server.routes[line] = lambda asked, state=state: api.rows[2].update(admin=state) or Reply(204)
    if is_refused:
        with pytest.raises(TrafficError, match=r"no drain of app can be proven. lb1: its API does not tell the requests in flight \(sessions\) to s3, and "
                                               "quiet_seconds is 0, so they are not waited for: set traffic_settings: quiet_seconds to"):
            apply([api.opened(quiet_seconds=quiet_seconds)], Request("app", ("s3",), "drained"), api.time.clock)
    else:
        began = api.time.now
        apply([api.opened(quiet_seconds=quiet_seconds)], Request("app", ("s3",), "drained"), api.time.clock)
        assert api.time.now - began >= quiet_seconds
    apply([api.opened(quiet_seconds=quiet_seconds)], Request("app", ("s3",), "ready"), api.time.clock)
    assert [asked.line for asked in api.server.changes] == ["PUT /pools/app/3", "POST /pools/app/3/on"]


def test_members_that_do_not_tell_their_state_are_refused_and_what_is_not_told_besides_is_said(api):
    pool = api.opened(members="[].{name: n, sessions: busy}", quiet_seconds=4).read("app").backends["app"]
    assert pool.refusals == (
        "the JMESPath in members does not tell the state (admin: ready, drain or maint) of s1, s2, s3, so it is not known whether they are out: add it",)
    assert pool.unproven == ("its API does not tell the requests in flight: quiet_seconds (4 s) are waited for them instead",
                             "its API does not tell the health of its members: they count as live while they are not out")
    api.rows[2]["busy"] = 0
    assert api.opened().read("app").backends["app"].unproven == api.opened().read("app").backends["app"].refusals == ()
