# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik's services in a file, against a server that takes the file and answers as its API does."""

from __future__ import annotations

import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.config_file import text_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.patience import Patience
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply, dry_run
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DOWN, DRAIN, MAINT, READY, RECHECK, UNCHECKED, UP, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds import traefik as traefik_kind
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.traefik import Traefik, member_name, seconds
from fake_load_balancer import Time
from json_server import JsonServer, Reply

CHECK = {"path": "/healthz", "interval": "500ms", "timeout": "2s"}
ONE, TWO, THREE = (f"http://10.0.0.{number}:80" for number in (1, 2, 3))
SERVICE = "GET /api/http/services/app@file"


class Api:
    """A Traefik that takes the file after `lag` looks. `status` has what its health checks say."""

    def __init__(self, server, folder):
        self.server, self.file, self.time = server, folder / "app.yml", Time()
        servers = [{"url": ONE, "weight": 3}, {"url": TWO, "preservePath": True}, {"url": THREE, "weight": 0}]
        other = {"loadBalancer": {"servers": [{"url": ONE, "weight": 2}]}}
        self.document = {"http": {"services": {"app": {"loadBalancer": {"healthCheck": CHECK, "servers": servers}}, "web": other}, "routers": {"r": {}}}}
        self.status = {ONE: "UP", TWO: "UP", THREE: "DOWN"}
        self.lag, self.seen = 0, self.document
        self.write(self.document)
        self.file.chmod(0o604)
        server.routes.update({"GET /api/version": {"Version": "3.6.1", "Codename": "x"}, "GET /api/http/services?per_page=1000": self.services,
                              SERVICE: lambda asked: self.service("app"), "GET /api/tcp/services?per_page=1000": []})

    def write(self, document):
        self.file.write_text(json.dumps(document), encoding="utf-8")

    def written(self):
        return json.loads(self.file.read_text(encoding="utf-8"))

    def service(self, name):
        now = self.written()
        if now != self.seen and self.lag:
            self.lag -= 1
        else:
            self.seen = now
        return {"name": f"{name}@file", "status": "enabled", **self.seen["http"]["services"][name], "serverStatus": self.status if name == "app" else {}}

    def services(self, asked):
        return [{"name": "api@internal", "status": "enabled"}, {"name": "split@file", "weighted": {}}, {"name": "shop@docker", "loadBalancer": {}},
                self.service("app"), self.service("web")]

    def opened(self, **settings):
        return Traefik("lb1", self.server.url, {"file": str(self.file), **settings}, {}, self.time.clock.steady, self.time.sleep,
                       Patience(20, self.time.clock.steady, self.time.sleep))

    def member(self, traefik, name="10.0.0.2:80"):
        return traefik.read("app").backends["app"].members[name]


@pytest.fixture(name="api")
def _api(tmp_path):
    with JsonServer() as server:
        yield Api(server, tmp_path)


def test_what_is_seen_of_the_members(api):
    api.status[TWO] = "DOWN"
    view = api.opened().read("app")
    assert view.version == "3.6.1" and view.backends["app"].live == 1
    assert [(name, member.address, member.admin, member.health, member.check, member.weight, member.sessions, member.probed)
            for name, member in view.backends["app"].members.items()] == [
        ("10.0.0.1:80", "10.0.0.1:80", READY, UP, "UP", 3, 0, True),
        ("10.0.0.2:80", "10.0.0.2:80", READY, DOWN, "DOWN", 1, 0, True),
        ("10.0.0.3:80", "10.0.0.3:80", MAINT, DOWN, "DOWN", 0, 1, True)]


def test_all_services_of_the_file_provider_are_seen_and_no_others(api):
    view = api.opened().read()
    assert {name: list(pool.members) for name, pool in view.backends.items()} == {
        "app": ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"], "web": ["10.0.0.1:80"]}
    member = view.backends["web"].members["10.0.0.1:80"]
    assert (member.health, member.check, member.probed, member.confirmed, member.weight) == (UNCHECKED, "", False, True, 2)


def other(name, *servers, **more):
    return {"name": name, "status": "enabled", "loadBalancer": {"servers": [*servers]}, **more}


@pytest.mark.parametrize(("services", "reported"), [
    ([other("shop@docker", {"url": "http://10.0.0.1"}), other("near@docker", {"url": "http://10.0.0.1:81"})], "shop@docker sends"),
    ([other("a@kubernetes", {"url": "h2c://10.0.0.9:1"}, {"url": "h2c://10.0.0.2:80/x"}), other("b@internal", {"url": TWO})], "a@kubernetes, b@internal send"),
    ([other("off@docker", {"url": TWO}, status="disabled"), {"name": "split@docker", "weighted": {}}, other("odd@docker", {"url": "http://[x"})], None),
    ([other("tls@docker", {"url": "https://10.0.0.1"}), other("name@docker", {"url": "http://10.0.0.1:x"})], None),
])
def test_services_of_other_providers_that_send_to_the_same_addresses_are_noted(api, services, reported):
    api.server.routes["GET /api/http/services?per_page=1000"] = lambda asked: [*services, api.service("app")]
    assert [note.partition(" to some")[0] for note in api.opened().read("app").backends["app"].warnings] == [reported] * bool(reported)
    assert [note.partition(" to some")[0] for note in api.opened().read().backends["app"].warnings] == [reported] * bool(reported)
    assert list(dry_run([api.opened()], Request("app", ("10.0.0.1:80",), "drained"), api.time.clock).warnings) == [
        f"lb1: {note}" for note in api.opened().read("app").backends["app"].warnings]


def test_a_service_of_the_same_file_is_noted_where_it_is_not_a_pool_of_the_same_look(api):
    assert api.opened().read().backends["app"].warnings == ()
    assert api.opened().read("app").backends["app"].warnings[0].startswith("web@file sends to some of its addresses, too")


def test_services_for_tcp_that_send_to_the_same_addresses_are_noted_and_all_pages_are_read(api):
    api.server.routes.update({
        "GET /api/http/services?per_page=1000": Reply(200, [other("a@docker", {"url": TWO})], {"X-Next-Page": "2"}),
        "GET /api/http/services?per_page=1000&page=2": Reply(200, [other("b@docker", {"url": TWO})], {"X-Next-Page": "1"}),
        "GET /api/tcp/services?per_page=1000": [other("app@docker", {"address": "10.0.0.3:80"})]})
    assert api.opened().read("app").backends["app"].warnings[0].startswith("a@docker, app@docker (TCP), b@docker send to some of its addresses")


def test_lists_that_the_api_does_not_give_are_noted(api):
    api.server.routes.update({"GET /api/http/services?per_page=1000": Reply(403), "GET /api/tcp/services?per_page=1000": Reply(404)})
    pool = api.opened().read("app").backends["app"]
    assert pool.refusals == () and pool.warnings == (("the API does not give /api/http/services and /api/tcp/services: see that no other service sends to its "
                                                     "addresses, because members are not drained there"),)


def test_other_services_are_looked_up_once_while_members_are_driven(api):
    traefik = api.opened()
    for change in (DRAIN, MAINT):
        traefik.apply("app", {"10.0.0.2:80": change})
        traefik.read("app")
    assert api.server.lines().count("GET /api/tcp/services?per_page=1000") == 1


def test_one_look_at_all_services_reads_the_file_once(api, monkeypatch):
    read = []
    monkeypatch.setattr(traefik_kind, "text_of", lambda path: read.append(path) or text_of(path))
    assert len(api.opened().read().backends) == 2 and read == [str(api.file)]


@pytest.mark.parametrize("ask", [lambda traefik: traefik.read("ap"), lambda traefik: traefik.apply("ap", {"10.0.0.1:80": MAINT})])
def test_an_unknown_service_is_an_error_that_names_those_there_are(api, ask):
    with pytest.raises(LoadBalancerError) as error:
        ask(api.opened())
    assert str(error.value) == f"lb1 ({api.server.url}) has no service 'ap' of its file provider: it has app, web" and api.written() == api.document


def test_the_name_of_a_service_is_percent_encoded(api):
    api.server.routes["GET /api/http/services/a%2Fb%20c%40d@file"] = {"name": "a/b c@d@file", "loadBalancer": {"servers": [{"url": ONE}]}}
    assert list(api.opened().read("a/b c@d").backends["a/b c@d"].members) == ["10.0.0.1:80"]


@pytest.mark.parametrize(("changes", "weights"), [
    ({"10.0.0.2:80": DRAIN}, [3, 0, 0]),
    ({"10.0.0.1:80": MAINT, "10.0.0.2:80": RECHECK}, [0, 0, 0]),
    ({"10.0.0.3:80": READY, "10.0.0.1:80": DRAIN}, [0, None, 4]),
    ({"10.0.0.2:80": READY}, [3, None, 0]),
])
def test_only_the_weights_of_these_servers_are_changed(api, changes, weights):
    api.opened(weights={"10.0.0.3:80": 4}).apply("app", changes)
    for server, weight in zip(api.document["http"]["services"]["app"]["loadBalancer"]["servers"], weights):
        server.update({} if weight is None else {"weight": weight})
    assert api.written() == api.document == api.seen and api.file.stat().st_mode & 0o777 == 0o604 and api.server.changes == []


@pytest.mark.parametrize("lag", [0, 1, 5, 160])
def test_it_is_waited_until_traefik_has_taken_it(api, lag):
    traefik, began = api.opened(), api.time.now
    traefik.read("app")
    # The first look is for the service itself, when the file is as it was.
    api.lag = lag
    traefik.apply("app", {"10.0.0.1:80": MAINT})
    assert api.time.now - began == pytest.approx(lag * 0.1) and api.seen["http"]["services"]["app"]["loadBalancer"]["servers"][0]["weight"] == 0


def test_what_traefik_does_not_take_is_taken_back(api):
    before, began, api.lag = api.file.read_text(encoding="utf-8"), api.time.now, 10_000
    traefik = api.opened()
    with pytest.raises(LoadBalancerError, match=f"has not taken the changed {api.file} within 60 s: see its log, whether providers.file.watch is on, and "
                                                "providers.providersThrottleDuration"):
        traefik.apply("app", {"10.0.0.1:80": DRAIN})
    assert api.file.read_text(encoding="utf-8") == before and api.time.now - began == pytest.approx(60.0, abs=0.11)
    assert api.member(traefik, "10.0.0.1:80").admin == READY


def test_an_unknown_server_is_an_error_that_names_those_there_are(api):
    with pytest.raises(LoadBalancerError, match=f"has no server s8, s9 in {api.file}: it has 10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80"):
        api.opened().apply("app", {"s9": MAINT, "10.0.0.1:80": MAINT, "s8": MAINT})
    assert api.written() == api.document


@pytest.mark.parametrize("text", ["http:\n  services: {}\n", "[]", "{}", '{"http": {"services": {"web": {}}}}', '{"http": {"services": {"app": null}}}'])
def test_a_file_without_the_service_in_json_is_refused(api, text):
    api.server.routes[SERVICE] = api.service("app")
    api.file.write_text(text, encoding="utf-8")
    with pytest.raises(LoadBalancerError, match=f"has app not as JSON in {api.file}: .* Give the service a file of its own, in JSON, which is YAML, too"):
        api.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert api.file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("text", ["http:\n  services: {}\n", '{"http": {"services": {"web": {}}}}', None])
@pytest.mark.parametrize("drive", [dry_run, apply])
def test_a_file_that_cannot_be_changed_is_refused_before_a_drain(api, text, drive):
    api.server.routes.update({SERVICE: api.service("app"), "GET /api/http/services?per_page=1000": [api.service("app")]})
    api.file.write_text(text, encoding="utf-8") if text else api.file.unlink()
    with pytest.raises(TrafficError, match=f"no drain of app can be proven. lb1: it is (not as JSON in {api.file}: .*|configured in {api.file}, which cannot)"):
        drive([api.opened()], Request("app", ("10.0.0.1:80",), "drained"), api.time.clock)


def test_what_may_be_in_flight_is_waited_for_since_the_member_left(api):
    traefik = api.opened(quiet_seconds=4)
    assert (api.member(traefik).sessions, api.member(traefik).note) == (0, "")
    traefik.apply("app", {"10.0.0.2:80": DRAIN})
    assert (api.member(traefik).sessions, api.member(traefik).note) == (1, "Traefik does not report its requests in flight: 4 s are waited for them instead")
    api.time.sleep(2)
    traefik.apply("app", {"10.0.0.2:80": MAINT})
    api.time.sleep(1.9)
    assert (api.member(traefik).sessions, api.member(traefik).admin) == (1, MAINT)
    api.time.sleep(0.2)
    assert (api.member(traefik).sessions, api.member(traefik).admin) == (0, MAINT)


def test_a_member_that_another_run_took_out_may_have_just_left(api):
    traefik, seen = api.opened(), []
    for pause in (0, 9.9, 0.2):
        api.time.sleep(pause)
        seen.append(api.member(traefik, "10.0.0.3:80").sessions)
    assert seen == [1, 1, 0]


def test_a_recheck_is_confirmed_after_two_whole_checks(api):
    """Each 0.5 s after the other, and up to 2 s long."""
    traefik = api.opened()
    traefik.apply("app", {"10.0.0.2:80": RECHECK})
    seen = [api.member(traefik).confirmed]
    for pause in (4.9, 0.2):
        api.time.sleep(pause)
        seen.append(api.member(traefik).confirmed)
    assert seen == [False, False, True] and api.member(traefik).admin == DRAIN and api.member(traefik, "10.0.0.1:80").confirmed
    traefik.apply("app", {"10.0.0.2:80": READY})
    assert api.member(traefik).confirmed and api.member(traefik).admin == READY


def test_a_check_without_times_has_those_of_traefik(api):
    api.document["http"]["services"]["app"]["loadBalancer"]["healthCheck"] = {"path": "/"}
    api.write(api.document)
    traefik, seen = api.opened(), []
    traefik.apply("app", {"10.0.0.2:80": RECHECK})
    for pause in (69.9, 0.2):
        api.time.sleep(pause)
        seen.append(api.member(traefik).confirmed)
    assert seen == [False, True]


@pytest.mark.parametrize(("text", "value"), [("500ms", 0.5), ("10s", 10.0), ("1m30s", 90.0), ("1.5h", 5400.0), ("0s", 0.0), (7, 7.0), ("2.5", 2.5)])
def test_a_duration_as_go_writes_it(text, value):
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(("url", "name"), [(ONE, "10.0.0.1:80"), ("https://app.example.com/x", "app.example.com"), ("http://[::1]:81/", "[::1]:81")])
def test_a_server_is_called_by_its_host_and_port(url, name):
    assert member_name(url) == name


def test_the_command_names_the_file_and_the_weights(api):
    reported = api.opened(weights={"10.0.0.1:80": 3}).command("app", {"10.0.0.1:80": READY, "10.0.0.2:80": MAINT})
    assert reported.startswith("jq ") and reported.endswith(f" {api.file} > new.json && mv new.json {api.file}") and '.http.services["app"]' in reported
    assert [part.partition("=")[2][0] for part in reported.split(".weight")[1:]] == ["3", "0"]


@pytest.mark.parametrize(("settings", "reason"), [
    ({}, "lb1 lacks the setting file: kind=traefik cannot do without"),
    ({"file": "/x", "quiet": 3}, "lb1 has unknown settings quiet for kind=traefik: it has file, quiet_seconds, weights"),
    ({"file": "/x", "quiet_seconds": "3"}, "lb1 has the setting quiet_seconds='3', which is no int"),
])
def test_a_setting_that_is_wrong_is_refused(settings, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        Traefik("lb1", "http://127.0.0.1:1", settings, {})


def test_an_api_that_fails_is_an_error_and_no_missing_service(api):
    api.server.routes[SERVICE] = Reply(500, "broken")
    with pytest.raises(LoadBalancerError, match="answers GET /api/http/services/app@file with 500: broken"):
        api.opened().read("app")


@pytest.mark.parametrize("settings", [{}, {"weights": {"10.0.0.1:80": 9}}])
def test_a_weight_of_before_is_back_whatever_the_settings_say(api, settings):
    traefik = api.opened(**settings)
    for change in (DRAIN, MAINT, READY):
        traefik.apply("app", {"10.0.0.1:80": change, "10.0.0.2:80": change})
    assert api.written() == api.document
    reported = traefik.command("app", {"10.0.0.1:80": READY, "10.0.0.2:80": READY})
    assert [part.partition("=")[2][0] for part in reported.split(".weight")[1:]] == ["3", "1"]


@pytest.mark.parametrize(("settings", "weight"), [({}, 3), ({"weights": {"10.0.0.1:80": 9}}, 9)])
def test_another_run_brings_a_member_back_with_the_weight_of_before(api, settings, weight):
    api.opened().apply("app", {"10.0.0.1:80": DRAIN, "10.0.0.2:80": DRAIN})
    api.opened().apply("app", {"10.0.0.1:80": MAINT})
    api.opened(**settings).apply("app", {"10.0.0.1:80": READY, "10.0.0.2:80": READY, "10.0.0.3:80": READY})
    servers = api.written()["http"]["services"]["app"]["loadBalancer"]["servers"]
    assert [server.get("weight") for server in servers] == [weight, None, None]


def test_both_places_of_one_host_and_port_are_one_member(api):
    servers = api.document["http"]["services"]["app"]["loadBalancer"]["servers"]
    servers.append({"url": f"{ONE}/two", "weight": 2})
    api.status[f"{ONE}/two"] = "UP"
    api.write(api.document)
    traefik, seen = api.opened(), []
    for change in (DRAIN, READY):
        traefik.apply("app", {"10.0.0.1:80": change})
        seen.append([server.get("weight") for server in api.written()["http"]["services"]["app"]["loadBalancer"]["servers"]])
    assert seen == [[0, None, 0, 0], [3, None, 0, 2]] and api.member(traefik, "10.0.0.1:80").weight == 5


@pytest.mark.parametrize(("strategy", "is_refused"), [(None, False), ("wrr", False), ("hrw", False), ("p2c", True), ("new", True)])
def test_a_strategy_that_does_not_keep_to_weights_is_refused_before_anything_is_changed(api, strategy, is_refused):
    api.document["http"]["services"]["app"]["loadBalancer"].update({} if strategy is None else {"strategy": strategy})
    api.write(api.document)
    pool = api.opened().read("app").backends["app"]
    assert [f"its strategy is {strategy}, " in sentence for sentence in pool.refusals] == [True] * is_refused
    assert pool.unproven == ("Traefik does not tell which requests are in flight: quiet_seconds (10 s) are waited for them instead",)
    if is_refused:
        with pytest.raises(TrafficError, match=f"no drain of app can be proven. lb1: its strategy is {strategy}.*set loadBalancer.strategy to wrr"):
            apply([api.opened()], Request("app", ("10.0.0.1:80",), "drained"), api.time.clock)
        assert api.written() == api.document
