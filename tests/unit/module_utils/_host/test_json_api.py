# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of administrative APIs against a server that answers well, badly, too much, too late, and not at all."""

from __future__ import annotations

import contextlib
import threading

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import json_api
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.json_api import JsonApi, pause_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.patience import Patience, UnavailableError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from fake_load_balancer import Time
from json_server import DROPPED, JsonServer, Reply
from probe_servers import closed_port


@pytest.fixture(name="server")
def _server():
    with JsonServer() as server:
        yield server


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_path_is_read_below_the_endpoint(server, slash):
    server.routes["GET /v1/pools?all=1"] = {"app": [1, 2]}
    assert JsonApi("lb1", f"{server.url}/v1{slash}").get("/pools?all=1") == {"app": [1, 2]}
    assert server.lines() == ["GET /v1/pools?all=1"] and "content-type" not in server.requests[0].headers


def test_the_headers_go_with_every_request_and_as_text(server):
    server.routes.update({"GET /a": {}, "PUT /a": Reply(204)})
    api = JsonApi("lb1", server.url, {"X-Token": 17, "X-Other": "o"})
    api.get("/a")
    api.change("PUT", "/a", None, {"X-Other": "mine"})
    assert [(asked.headers["x-token"], asked.headers["x-other"]) for asked in server.requests] == [("17", "o"), ("17", "mine")]


@pytest.mark.parametrize(("body", "sent", "kind"), [
    ({"weights": [0, 1], "name": "Größe"}, '{"weights": [0, 1], "name": "Gr\\u00f6\\u00dfe"}', "application/json"),
    ({}, "{}", "application/json"),
    (False, "false", "application/json"),
    (None, "", None),
])
def test_a_body_becomes_json_and_says_so(server, body, sent, kind):
    server.routes["PATCH /a"] = {}
    JsonApi("lb1", server.url).change("PATCH", "/a", body)
    assert (server.requests[0].body, server.requests[0].headers.get("content-type")) == (sent, kind)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_change_that_is_accepted(server, status):
    server.routes["POST /a"] = Reply(status)
    JsonApi("lb1", server.url).change("POST", "/a")
    assert server.lines() == ["POST /a"]


@pytest.mark.parametrize("status", [301, 304, 400, 404, 412, 500])
def test_a_change_that_is_refused_is_an_error_with_what_was_answered(server, status):
    server.routes["POST /a"] = Reply(status, None if status == 304 else "not \n\n so")
    with pytest.raises(LoadBalancerError) as error:
        JsonApi("lb1", server.url).change("POST", "/a", {})
    assert str(error.value) == f"lb1 ({server.url}) answers POST /a with {status}: {'nothing' if status == 304 else 'not so'}"


@pytest.mark.parametrize("status", [201, 204, 302, 401, 503])
def test_what_is_read_has_to_be_a_good_answer(server, status):
    server.routes["GET /a"] = Reply(status, None if status == 204 else "x" * 300)
    with pytest.raises(LoadBalancerError) as error:
        JsonApi("lb1", server.url).get("/a")
    assert str(error.value) == f"lb1 ({server.url}) answers GET /a with {status}: {'nothing' if status == 204 else 'x' * 200}"


@pytest.mark.parametrize(("text", "why"), [("[" * 100_000, "nests deeper"), ("[1e999]", "too large"), (r'"\udc00"', "half a character")])
def test_what_is_read_has_to_be_json_that_is_taken(server, text, why):
    server.routes["GET /a"] = Reply(200, text)
    with pytest.raises(LoadBalancerError, match=f"answers GET /a with (JSON that is not accepted, because|what is no JSON).*{why}") as error:
        JsonApi("lb1", server.url).get("/a")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("url", ["http://admin:canary-4f1@h:80", "http://admin:can/ary-4f1@h", "http://a:canary-4f1@h:port", "admin:canary-4f1@h",
                                 "http://x:canary-4f1#@h"])
def test_who_logs_in_by_the_endpoint_is_not_told(url):
    with pytest.raises(LoadBalancerError) as error:
        JsonApi("lb1", url)
    assert "ary-4f1" not in str(error.value) and "'can'" not in str(error.value) and "lb1" in str(error.value)


def test_a_byte_order_mark_is_no_part_of_it(server):
    server.routes["GET /a"] = Reply(200, '\ufeff{"a": 1}')
    assert JsonApi("lb1", server.url).get("/a") == {"a": 1}


@pytest.mark.parametrize("text", ["<html>", "", "{'a': 1}"])
def test_what_is_read_has_to_be_json(server, text):
    server.routes["GET /a"] = Reply(200, text)
    with pytest.raises(LoadBalancerError) as error:
        JsonApi("lb1", server.url).get("/a")
    assert str(error.value) == f"lb1 ({server.url}) answers GET /a with what is no JSON: {text or 'nothing'}"


def test_who_asks_gets_every_answer_with_its_headers(server):
    server.routes["GET /a"] = Reply(412, "changed", {"Etag": '"/a 1"'})
    answer = JsonApi("lb1", server.url).ask("GET", "/a")
    assert (answer.status, answer.body, dict(answer.headers)["etag"]) == (412, "changed", '"/a 1"')


@pytest.mark.parametrize(("size", "is_accepted"), [(10, True), (11, False)])
def test_an_answer_without_end_is_cut_off(server, monkeypatch, size, is_accepted):
    monkeypatch.setattr(json_api, "ANSWER_BYTES", 10)
    server.routes["GET /a"] = Reply(200, "1" * size)
    api = JsonApi("lb1", server.url)
    if is_accepted:
        assert api.get("/a") == 1111111111
    else:
        with pytest.raises(LoadBalancerError, match=r"answers more than 10 bytes to GET /a: is this its API?"):
            api.get("/a")


def test_an_answer_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(json_api, "ANSWER_SECONDS", 0.2)
    ended = threading.Event()
    server.routes["PUT /a"] = lambda asked: ended.wait(30) and {}
    with pytest.raises(LoadBalancerError, match=r"cannot be asked \(PUT /a\): no whole answer within 0.2 s. Is its API on there?"):
        JsonApi("lb1", server.url).change("PUT", "/a")
    ended.set()


def test_nobody_at_the_endpoint_is_said_with_the_name_and_the_endpoint():
    endpoint = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(LoadBalancerError) as error:
        JsonApi("lb1", endpoint).get("/a")
    assert str(error.value) == f"lb1 ({endpoint}) cannot be asked (GET /a): connection refused. Is its API on there?"


@pytest.mark.parametrize(("endpoint", "reason"), [
    ("tcp://10.0.0.11:9999", "is no HTTP address: write http://host:port/path"),
    ("10.0.0.11:2019", "is no HTTP address"),
    ("http://admin:secret@10.0.0.11", "contains a user name: send credentials in a header instead"),
    ("http://10.0.0.11:x", "is no URL"),
    ("", "characters that a URL must have percent-encoded"),
])
def test_what_is_no_endpoint_is_refused_before_anything_is_asked(endpoint, reason):
    with pytest.raises(LoadBalancerError, match=reason) as error:
        JsonApi("lb1", endpoint)
    assert str(error.value).startswith(f"lb1 ({endpoint.replace('admin:secret', '...')}) is no endpoint: url ")


@pytest.mark.parametrize("validate", [True, False])
def test_certificates_are_checked_unless_it_is_said_otherwise(monkeypatch, validate):
    limits = []
    monkeypatch.setattr(json_api, "fetch", lambda request, given: limits.append(given) or json_api.Answer(200, [], "{}", False, 0.0))
    JsonApi("lb1", "https://10.0.0.11", validate_certs=validate).get("/a")
    JsonApi("lb1", "https://10.0.0.11", validate_certs=validate, patience=Patience()).get("/a")
    assert limits == [json_api.Limits(5.0, 32 * 1024 * 1024, validate), json_api.Limits(30.0, 32 * 1024 * 1024, validate)]


# -- asked again

def in_turn(*replies):
    """The last one is for all requests that follow."""
    rest = list(replies)
    return lambda asked: rest.pop(0) if len(rest) > 1 else rest[0]


def patient(server):
    time = Time()
    return JsonApi("lb1", server.url, patience=Patience(20, time.clock.steady, time.sleep)), time


@pytest.mark.parametrize("trouble", [DROPPED, Reply(503), Reply(429, "slow down", {"Retry-After": "3"})])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_request_that_may_arrive_twice_is_sent_again(server, trouble, method):
    server.routes[f"{method} /a"] = in_turn(trouble, trouble, {"b": 1})
    api, time = patient(server)
    assert api.ask(method, "/a").status == 200 and server.lines() == [f"{method} /a"] * 3
    assert time.now - 100 == 6 if trouble.status == 429 else time.now > 100


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize(("method", "times"), [("GET", 3), ("PUT", 1), ("POST", 1)])
def test_what_only_reads_is_sent_again_after_an_error_that_may_pass(server, status, method, times):
    server.routes[f"{method} /a"] = in_turn(Reply(status), Reply(status), {"b": 1})
    api, _time = patient(server)
    assert api.ask(method, "/a").status == (200 if times > 1 else status) and len(server.requests) == times


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(("trouble", "is_repeated"), [(DROPPED, False), (Reply(503), False), (Reply(503, "", {"Retry-After": "1"}), True)])
def test_another_one_only_when_it_was_not_carried_out(server, method, trouble, is_repeated):
    server.routes[f"{method} /a"] = in_turn(trouble, {})
    api, _time = patient(server)
    if is_repeated:
        api.change(method, "/a")
    else:
        with pytest.raises(LoadBalancerError, match=r"connection closed without an answer|with 503: nothing"):
            api.change(method, "/a")
    assert len(server.requests) == 1 + is_repeated
    api.ask(method, "/a", may_repeat=True)


def test_an_api_that_is_started_is_waited_for():
    """Nothing has arrived, so a POST is sent again, too."""
    port = closed_port()
    with contextlib.ExitStack() as started:
        servers = []

        def start(seconds):
            servers.append(started.enter_context(JsonServer({"POST /a": {}}, port)))

        JsonApi("lb1", f"http://127.0.0.1:{port}", patience=Patience(20, sleep=start)).change("POST", "/a")
        assert [server.lines() for server in servers] == [["POST /a"]]


def test_what_stays_busy_is_an_answer_in_the_end(server):
    server.routes["GET /a"] = Reply(503, "later")
    api, time = patient(server)
    with pytest.raises(LoadBalancerError, match="answers GET /a with 503: later"):
        api.get("/a")
    assert time.now - 100 == 20 and len(server.requests) > 10


def test_without_patience_an_answer_is_an_answer(server):
    """Of a member, or of Patroni, 503 says how it is."""
    server.routes["GET /a"] = in_turn(Reply(503), {})
    assert JsonApi("lb1", server.url).ask("GET", "/a").status == 503 and len(server.requests) == 1
    server.routes["GET /b"] = DROPPED
    with pytest.raises(UnavailableError):
        JsonApi("lb1", server.url).ask("GET", "/b")


@pytest.mark.parametrize(("later", "pause"), [
    ("7", 7.0), (" 2 ", 2.0), (None, 0.0), ("soon", 0.0), ("-1", 0.0), ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ("Thu, 99 Foo 1970", 0.0),
])
def test_when_to_come_again_is_reported_in_seconds_or_as_a_date(later, pause):
    assert pause_of(later, 100.0) == pause


def test_one_answer_of_too_many_requests_changes_nothing_also_without_a_time():
    """A POST may not arrive twice, and one that was counted out has not arrived."""
    answers = [Reply(429, "slow down"), Reply(204)]
    time = Time()
    with JsonServer({"POST /x": lambda asked: answers.pop(0)}) as server:
        JsonApi("lb1", server.url, patience=Patience(5, time.clock.steady, time.sleep)).change("POST", "/x", {})
        assert server.lines() == ["POST /x", "POST /x"]
