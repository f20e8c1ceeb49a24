# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against servers that misbehave: what they did is what must be counted, exactly."""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from collections import Counter

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe import answer as probe_answer, record as outcomes
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.client import Client, Connection, Exchange, give_up, outcome_of_connect
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.engine import Engine, Probe, ProbeLoop
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.plan import ProbeError, Seat, make_plan
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.result import Windows, final_figures
from probe_servers import Call, Server, answer, closed_port

KEEPALIVE = [{"kind": "keepalive", "share": 1}]
NEW = [{"kind": "new", "share": 1}]


def plan_for(*urls, requests=20, **changes):
    return make_plan({
        "targets": list(urls), "rate": 200.0, "mix": KEEPALIVE, "clients_per_target": 2, "objective_seconds": 5.0, "max_seconds": 60.0,
        "max_requests": requests, **changes})


def run(coroutine):
    loop = ProbeLoop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


async def probe_server(server, meanwhile=None, **changes):
    """Probe one server, and return (figures, record)."""
    async with server:
        plan = plan_for(server.url, **changes)
        engine = Engine(plan, asyncio.get_running_loop())
        if meanwhile is not None:
            asyncio.get_running_loop().call_later(*meanwhile(engine))
        await engine.run()
        return final_figures(plan, engine.record, Windows(plan, engine.record, 0.0)), engine.record


def probe(behave=Call.reply, **changes):
    """Probe a server that behaves like this: (figures, server)."""
    server = Server(behave)
    return run(probe_server(server, **changes))[0], server


def failures(figures):
    return {name: count for name, count in figures["failures_by_class"].items() if count}


def test_nothing_fails_on_a_server_that_behaves():
    figures, server = probe(requests=50)
    assert (figures["requests_scheduled"], figures["requests_failed"], len(server.calls)) == (50, 0, 50)
    assert figures["versions"] == {"1.0.0": 50}
    assert figures["bound_95"] == 3 / 50


def test_kept_alive_connections_are_used_again_and_new_ones_are_new():
    _figures, kept = probe(rate=20.0, requests=10)
    _figures, new = probe(lambda call: call.transport.write(answer()), mix=NEW, rate=100.0)
    assert (kept.connections < 10, new.connections) == (True, 20)
    assert all("connection: close" in call.head.lower() for call in new.calls)


def test_each_target_gets_its_share():
    async def both():
        async with Server() as one, Server() as other:
            await Engine(plan_for(one.url, other.url + "/base/"), asyncio.get_running_loop()).run()
            return one, other

    one, other = run(both())
    assert {call.head.split()[1] for call in one.calls} == {"/"}
    assert {call.head.split()[1] for call in other.calls} == {"/base/"}
    assert (len(one.calls), len(other.calls)) == (10, 10)


def test_a_sticky_client_sends_its_own_cookie_back():
    def behave(call):
        call.reply(answer("200 OK", b"", "1.0.0", f"Set-Cookie: SRV=s{call.in_total}; path=/") if "Cookie" not in call.head else None)

    figures, server = probe(behave, mix=[{"kind": "sticky", "share": 1}], rate=20.0, requests=10)
    cookies = Counter(line for call in server.calls for line in call.head.split("\r\n") if line.startswith("Cookie:"))
    assert figures["requests_failed"] == 0
    assert sum(cookies.values()) >= 6 and len(cookies) <= 4


def test_a_write_is_posted_with_its_body():
    figures, server = probe(mix=[{"kind": "write", "share": 1, "path": "/orders", "body": {"product": 1}, "status": [200]}])
    assert {(call.head.split()[0], call.body) for call in server.calls} == {("POST", b'{"product": 1}')}
    assert figures["by_kind"]["write"]["scheduled"] == len(server.calls) == 20


def test_refused():
    async def nobody():
        plan = plan_for(f"http://127.0.0.1:{closed_port()}")
        engine = Engine(plan, asyncio.get_running_loop())
        await engine.run()
        return engine.record

    record = run(nobody())
    assert (record.failures_by_class["refused"], record.failed, record.scheduled) == (20, 20, 20)


@pytest.mark.parametrize("mix", [KEEPALIVE, NEW])
@pytest.mark.parametrize("end", [Call.reset, lambda call: call.transport.close()])
def test_a_new_connection_that_ends_without_an_answer(end, mix):
    figures, server = probe(end, mix=mix)
    assert failures(figures) == {"reset_new": 20}
    assert len(server.calls) == server.connections == 20


@pytest.mark.parametrize("end", [Call.reset, lambda call: call.transport.close()])
def test_a_connection_that_was_used_before_ends_without_an_answer(end):
    figures, server = probe(lambda call: end(call) if call.on_connection else call.reply(), requests=40, rate=50.0)
    ended = sum(1 for call in server.calls if call.on_connection)
    assert failures(figures) == {"reset_on_reused": ended}
    assert ended > 0 and len(server.calls) == 40


@pytest.mark.parametrize("end", [Call.reset, lambda call: call.transport.close()])
@pytest.mark.parametrize(
    "part", [answer(body=b"x" * 100)[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"HTTP/1.1 2"])
def test_truncated(part, end):
    def behave(call):
        call.transport.write(part)
        # An RST may overtake what was sent before it: let that arrive first.
        asyncio.get_running_loop().call_later(0.05, end, call)

    figures, _server = probe(behave)
    assert failures(figures) == {"truncated": 20}


@pytest.mark.parametrize(("end", "expected"), [(Call.reset, {"truncated": 20}), (lambda call: call.transport.close(), {})])
def test_a_body_that_ends_with_the_connection_is_whole_only_when_it_ends_in_order(end, expected):
    def behave(call):
        call.transport.write(b"HTTP/1.1 200 OK\r\n\r\nbody")
        asyncio.get_running_loop().call_later(0.05, end, call)

    figures, _server = probe(behave)
    assert failures(figures) == expected


@pytest.mark.parametrize(
    ("status", "name"), [("500 Oops", "http_5xx"), ("503 Service Unavailable", "http_5xx"), ("404 Not Found", "http_4xx"), ("302 Found", None)])
def test_statuses(status, name):
    figures, _server = probe(lambda call: call.reply(answer(status)))
    assert failures(figures) == ({name: 20} if name else {})


def test_an_unexpected_status_that_is_no_error():
    figures, _server = probe(mix=[{"kind": "write", "share": 1, "status": [201]}])
    assert failures(figures) == {"http_other": 20}


@pytest.mark.parametrize(("expected", "body", "fine"), [
    ({"contains": "in stock"}, b"3 in stock", True), ({"contains": "in stock"}, b"an error occurred", False),
    ({"expect": {"status": "up", "length(items)": 2}}, b'{"status": "up", "items": [1, 2]}', True),
    ({"expect": {"status": "up"}}, b"[" * 20_000, False), ({"expect": {"a > `1`": True}}, b'{"a": []}', False),
    ({"expect": {"status": "up"}}, b'{"status": "down"}', False), ({"expect": {"status": "up"}}, b"<html>sorry</html>", False),
    ({"expect_headers": {"X-Release": "1.0.0"}}, b"", True), ({"expect_headers": {"X-Release": "2.0.0"}}, b"", False)])
def test_an_answer_with_a_fine_status_that_says_something_else_has_failed(expected, body, fine):
    mix = [{"kind": "keepalive", "share": 1, **expected}]
    figures, _server = probe(lambda call: call.transport.write(answer(body=body)), mix=mix, requests=3)
    assert failures(figures) == ({} if fine else {"wrong_answer": 3 - figures["requests_unmeasured"]})


@pytest.mark.parametrize("body", [b"[" * 20_000, b'{"release": ' + b"1" * 5_000 + b"}", b'["release"]', b'{"release": NaN}', b'{"release": {}}'])
def test_a_release_that_no_answer_tells_ends_no_prober(body):
    figures, _server = probe(lambda call: call.transport.write(answer(body=body)), version_key="release", requests=3)
    assert failures(figures) == {} and figures["requests_unmeasured"] < 3


def test_an_expectation_that_is_none_is_refused_by_name(monkeypatch):
    async def engine(mix):
        return Engine(plan_for("http://127.0.0.1:1", mix=mix), asyncio.get_running_loop())

    with pytest.raises(ProbeError, match="expect of new has 'a\\[', which is no JMESPath"):
        run(engine([{"kind": "new", "share": 1, "expect": {"a[": 1}}]))
    monkeypatch.setattr(probe_answer, "jmespath", None)
    with pytest.raises(ProbeError, match="needs the Python library jmespath"):
        run(engine([{"kind": "new", "share": 1, "expect": {"a": 1}}]))


def test_malformed():
    figures, _server = probe(lambda call: call.transport.write(b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert failures(figures) == {"malformed": 20}


def test_tls_that_the_server_does_not_speak():
    async def plain_text():
        async with Server() as server:
            engine = Engine(plan_for(server.url.replace("http:", "https:"), mix=NEW), asyncio.get_running_loop())
            # The server waits for a request that does not come in this form: tell the client in plain text.
            server._listener.close()
            listener = await asyncio.get_running_loop().create_server(_Greeter, "127.0.0.1", server.port)
            await engine.run()
            listener.close()
            return engine.record

    record = run(plain_text())
    assert record.failures_by_class["tls"] == record.failed == 20


class _Greeter(asyncio.Protocol):
    """Speaks plain text to whoever connects."""

    def connection_made(self, transport):
        transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_an_answer_that_never_comes_is_a_timeout_at_the_objective():
    figures, server = probe(lambda call: call.reply() if call.in_total % 2 else None, objective_seconds=1.0, clients_per_target=20)
    silent = sum(1 for call in server.calls if call.in_total % 2 == 0)
    assert failures(figures)["timeout"] + figures["requests_unmeasured"] >= silent >= 1
    assert figures["latency_ms"]["p100"] is None or figures["latency_ms"]["p100"] >= 1000


def test_an_answer_that_drips_is_a_timeout_too():
    def drip(call):
        call.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")

    figures, _server = probe(drip, objective_seconds=0.5)
    assert failures(figures) == {"timeout": 20}


def test_a_failure_is_never_tried_again():
    _figures, server = probe(Call.reset, requests=30)
    assert len(server.calls) == 30


def test_a_server_frozen_for_a_second_shows_a_second_to_all_who_asked_in_it():
    """Open loop: with rate 100, all 50 requests of the first half second wait for at least half a second."""
    thaw = []

    def behave(call):
        now = asyncio.get_running_loop().time()
        thaw.append(now + 1.0)
        asyncio.get_running_loop().call_at(max(now, thaw[0]), call.reply)

    server = Server(behave)
    figures, record = run(probe_server(server, rate=100.0, requests=130))
    assert figures["requests_failed"] == 0
    assert figures["latency_ms"]["p100"] >= 1000 or figures["void_windows"]
    assert max(record.latency) >= 0.999
    # What a busy machine kept the prober from sending in time is in no latency.
    waited = sum(latency >= 0.499 for latency in record.latency)
    assert waited > 0 and waited + record.unmeasured >= 50


def test_a_prober_that_was_late_itself_says_so():
    figures, record = run(probe_server(Server(), meanwhile=lambda _engine: (0.1, time.sleep, 0.5), rate=100.0, requests=100))
    assert figures["requests_failed"] == 0
    assert max(record.latency) >= 0.45  # from the intended time, not from that of sending
    assert [window["from"] for window in figures["void_windows"]] == [0.0]
    assert figures["void_windows"][0]["send_lag_p99_ms"] > 100
    assert figures["latency_ms"]["p100"] is None


def test_what_could_not_be_sent_in_time_is_unmeasured_and_lowers_no_availability():
    figures, record = run(probe_server(Server(), meanwhile=lambda _engine: (0.1, time.sleep, 0.6), objective_seconds=0.2, rate=100.0, requests=80))
    assert record.unmeasured_by_class["unsent"] >= 39
    assert figures["requests_scheduled"] == 80 and figures["requests_unmeasured"] == record.unmeasured
    assert (figures["requests_failed"], figures["availability"], failures(figures)) == (0, 1.0, {})
    assert figures["void_windows"] and figures["series"][0]["void"] and figures["series"][0]["unmeasured"] == record.unmeasured


def test_an_answer_that_came_while_the_prober_stood_still_is_no_timeout():
    """The service answers after 50 ms; the prober sleeps through that, and through the objective."""
    def answer(call):
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, call.reply)
        # While this request is under way, however late it came.
        if len(server.calls) == 5:
            loop.call_later(0.01, time.sleep, 0.8)

    server = Server(answer)
    figures, record = run(probe_server(server, objective_seconds=0.4, rate=50.0, requests=10))
    assert record.unmeasured_by_class["unseen"] >= 1
    assert failures(figures) == {}


def test_a_stall_of_its_own_does_not_excuse_a_service_that_never_answers():
    figures, record = run(probe_server(Server(lambda call: None), meanwhile=lambda _engine: (0.1, time.sleep, 0.15), objective_seconds=1.0, rate=20.0))
    assert record.unmeasured_by_class["unseen"] == 0
    assert figures["failures_by_class"]["timeout"] + record.unmeasured == figures["requests_scheduled"]
    assert figures["failures_by_class"]["timeout"] >= 1


def test_what_was_not_sent_while_it_was_stopped_is_noted_when_it_is_told_to_end():
    def freeze_then_stop(engine):
        time.sleep(2.0)
        engine.stop()

    figures, _record = run(probe_server(Server(), meanwhile=lambda engine: (0.2, freeze_then_stop, engine), rate=50.0, requests=10_000))
    assert figures["requests_scheduled"] >= 100
    assert figures["requests_unmeasured"] >= 90 and figures["requests_failed"] == 0


def test_stop_ends_early_and_waits_for_what_is_under_way():
    server = Server(lambda call: asyncio.get_running_loop().call_later(0.2, call.reply))
    figures, record = run(probe_server(server, meanwhile=lambda engine: (0.1, engine.stop), requests=100_000))
    assert 0 < figures["requests_scheduled"] == len(server.calls) < 100_000
    assert (figures["requests_failed"], record.pending) == (0, 0)


def answered_by(engine, exchange, release):
    exchange.parser.feed(answer(release=release))
    engine.answered(exchange)


FIRST = Seat(0, 0)


def asked(engine, seat=FIRST):
    return Exchange(engine.record.schedule(0.0), 5.0, engine._clients[seat])


@pytest.fixture
def engine():
    loop = ProbeLoop()
    yield Engine(plan_for("http://127.0.0.1:1"), loop)
    loop.close()


def test_a_client_that_asks_after_a_newer_release_and_gets_an_older_one_has_regressed(engine):
    for release in ("1.9.0", "1.10.0", "1.9.0", "1.9.0", "1.10.0"):
        answered_by(engine, asked(engine), release)
    assert (engine.record.regressed_clients, engine.record.regressions) == ({Seat(0, 0)}, 2)
    assert engine.record.failed == 0


def test_an_older_answer_to_an_earlier_question_is_no_regression(engine):
    slow, quick = asked(engine), asked(engine)
    answered_by(engine, quick, "2.0.0")
    answered_by(engine, slow, "1.0.0")
    assert engine.record.regressions == 0
    answered_by(engine, asked(engine), "1.0.0")
    assert engine.record.regressions == 1


def test_clients_regress_each_on_its_own(engine):
    answered_by(engine, asked(engine, Seat(0, 0)), "2.0.0")
    answered_by(engine, asked(engine, Seat(0, 1)), "1.0.0")
    assert engine.record.regressions == 0


def test_a_fleet_that_goes_back_is_seen_through_the_users_path():
    figures, _server = probe(lambda call: call.reply(answer(release="2.0.0" if call.in_total < 10 else "1.0.0")), rate=50.0, clients_per_target=1)
    assert figures["versions"] == {"2.0.0": 10, "1.0.0": 10}
    assert (figures["version_regressions"], figures["clients"], figures["requests_failed"]) == (1, 1, 0)


def test_the_release_is_found_in_the_body_where_no_header_tells_it():
    figures, _server = probe(lambda call: call.reply(answer("200 OK", b'{"release": "3.0.0"}', "")), version_key="release")
    assert figures["versions"] == {"3.0.0": 20}
    figures, _server = probe(lambda call: call.reply(answer("200 OK", b'{"release": "v3.0.0"}', "")), version_key="release", version_pattern="v(.+)")
    assert figures["versions"] == {"3.0.0": 20}
    figures, _server = probe(lambda call: call.reply(answer("200 OK", b"[1]", "")), version_key="release")
    assert (figures["versions"], figures["requests_failed"]) == ({}, 0)


class FakeTransport:
    def __init__(self):
        self.sent, self.closed = b"", False

    def write(self, data):
        self.sent += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    abort = close


def test_an_idle_connection_that_the_server_ends_fails_nobody(engine):
    client = engine._clients[Seat(0, 0)]
    connection = Connection(client, asked(engine))
    connection.connection_made(FakeTransport())
    connection.data_received(answer())
    assert client.idle == [connection]
    connection.connection_lost(None)
    assert (client.idle, engine.record.failed, engine.record.pending) == ([], 0, 0)


def test_unasked_bytes_on_an_idle_connection_end_it_and_fail_nobody(engine):
    connection = Connection(engine._clients[Seat(0, 0)], asked(engine))
    connection.connection_made(FakeTransport())
    connection.data_received(answer())
    connection.data_received(answer("408 Request Timeout"))
    assert connection.transport.closed
    assert (engine.record.failed, engine.record.pending) == (0, 0)


def test_what_is_given_up_frees_its_connection(engine):
    exchange = asked(engine)
    connection = Connection(exchange.client, exchange)
    connection.connection_made(FakeTransport())
    give_up(exchange)
    assert connection.transport.closed


def test_a_client_keeps_few_idle_connections(engine):
    client = engine._clients[Seat(0, 0)]
    connections = [Connection(client, asked(engine)) for _number in range(10)]
    for connection in connections:
        connection.connection_made(FakeTransport())
    for connection in connections:
        connection.data_received(answer())
    assert (len(client.idle), sum(connection.transport.closed for connection in connections)) == (6, 4)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), outcomes.REFUSED),
        (OSError(errno.EHOSTUNREACH, ""), outcomes.REFUSED),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 80), [Errno 101] Network is unreachable"), outcomes.REFUSED),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 80), [Errno 99] Cannot assign requested address"), outcomes.UNSENT),
        (ConnectionResetError(errno.ECONNRESET, ""), outcomes.RESET_NEW),
        (OSError(errno.EMFILE, ""), outcomes.UNSENT),
        (OSError(errno.EADDRNOTAVAIL, ""), outcomes.UNSENT),
        (ssl.SSLCertVerificationError(1, "expired"), outcomes.TLS),
    ],
)
def test_a_connection_that_did_not_come_about_has_a_class(error, outcome):
    assert outcome_of_connect(error) == outcome


def test_certificates_are_checked_for_the_name_that_users_ask_for():
    plan = plan_for("https://127.0.0.1", headers={"host": "shop.example.com:443"})
    client = Client(Seat(0, 0), plan, None, ssl.create_default_context())
    assert client._server_name == "shop.example.com"
    assert b"host: shop.example.com:443\r\n" in client.request() and b"127.0.0.1" not in client.request()


def test_a_target_that_cannot_be_resolved_is_named_before_anything_is_sent():
    async def check():
        await Probe(plan_for("http://no-such-host.invalid"), asyncio.get_running_loop()).check()

    with pytest.raises(ProbeError, match=r"target http://no-such-host.invalid cannot be resolved"):
        run(check())


def test_a_whole_probe_publishes_live_figures_and_returns_the_result():
    async def whole():
        async with Server() as server:
            plan = plan_for(server.url)
            seen = []
            return await Probe(plan, asyncio.get_running_loop(), wall_clock=lambda: 1000.0).run(seen.append), seen

    result, seen = run(whole())
    assert seen and seen[0]["requests_scheduled"] == 0
    assert (result["started"], result["finished"], result["requests_scheduled"], result["requests_failed"]) == (1000.0, 1000.0, 20, 0)
    assert result["series"][0]["t"] == 1000.0
    assert (result["capacity"], result["live_min"], result["capacity_samples"]) == ([], None, 0)
