# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe import plan as probe_plan
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.plan import Pacer, ProbeError, Seat, first_request_of_second, make_plan, mix_pattern
from hypothesis import given
from hypothesis import strategies as st

SETTINGS = {
    "targets": ["http://127.0.0.1:8080", "http://127.0.0.2:8080"],
    "rate": 200.0,
    "mix": [{"kind": "keepalive", "share": 60}, {"kind": "new", "share": 20}, {"kind": "sticky", "share": 20}],
    "clients_per_target": 3,
    "objective_seconds": 5.0,
    "max_seconds": 3600.0,
    "max_requests": 1_000_000,
}


def plan_with(**changes):
    return make_plan({**SETTINGS, **changes})


def test_each_cycle_of_the_mix_has_exactly_its_shares():
    plan = plan_with()
    assert plan.kinds_in_turn == ("keepalive", "new", "keepalive", "sticky", "keepalive")
    assert Counter(plan.mix[plan.seat_of(index).entry].kind for index in range(500)) == {"keepalive": 300, "new": 100, "sticky": 100}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_a_pattern_has_the_shares_and_spreads_them(shares):
    pattern = mix_pattern(shares)
    parts = Counter(pattern)
    assert [parts[entry] * sum(shares) for entry in range(len(shares))] == [share * len(pattern) for share in shares]
    for length in range(len(pattern) + 1):
        for entry, share in enumerate(shares):
            assert abs(pattern[:length].count(entry) - length * share / sum(shares)) < len(shares)


def test_clients_take_turns_and_so_do_the_targets():
    plan = plan_with()
    assert (plan.clients_per_entry, plan.clients) == (6, 18)
    requests = Counter(plan.seat_of(index) for index in range(5 * 6 * 10))
    assert requests == {**{Seat(0, client): 30 for client in range(6)}, **{Seat(entry, client): 10 for entry in (1, 2) for client in range(6)}}
    assert [plan.target_of(Seat(0, client)).host for client in range(4)] == ["127.0.0.1", "127.0.0.2"] * 2


def test_a_client_keeps_to_its_target_and_turns_do_not_break_between_cycles():
    plan = plan_with()
    turns = [seat.client for seat in map(plan.seat_of, range(100)) if seat.entry == 0]
    assert turns == [turn % 6 for turn in range(60)]


def test_without_a_mix_a_generic_site_is_asked_for_its_front_page():
    mix = plan_with(mix=None).mix
    assert [(entry.kind, entry.share, entry.method, entry.path) for entry in mix] == [
        ("keepalive", 60, "GET", "/"), ("new", 20, "GET", "/"), ("sticky", 20, "GET", "/")]


def test_a_write_posts_json_and_a_text_stays_a_text():
    write, text = plan_with(mix=[{"kind": "write", "share": 1, "path": "/orders", "body": {"product": 1}}, {"kind": "write", "share": 1, "body": "a=ä"}]).mix
    assert (write.method, write.body, write.content_type) == ("POST", b'{"product": 1}', "application/json")
    assert (text.body, text.content_type) == ("a=ä".encode(), "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://shop.example.com", (False, "shop.example.com", 80, "shop.example.com", "")),
        ("https://shop.example.com/de/", (True, "shop.example.com", 443, "shop.example.com", "/de")),
        ("http://[::1]:8080", (False, "::1", 8080, "[::1]:8080", "")),
    ],
)
def test_a_target_is_read(url, expected):
    assert tuple(probe_plan.parse_target(url))[1:] == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": []}, "targets is empty"),
        ({"targets": ["127.0.0.1:8080"]}, "no http or https URL"),
        ({"targets": ["ftp://127.0.0.1"]}, "no http or https URL"),
        ({"targets": ["http://h:99999"]}, "no URL"),
        ({"targets": ["http://me:secret@h"]}, "put credentials into headers"),
        ({"rate": 0.0}, "rate is 0"),
        ({"rate": 2001.0}, "at most 2000"),
        ({"mix": [{"kind": "slow", "share": 0}]}, "share of slow is 0"),
        ({"mix": [{"kind": "fast", "share": 1}]}, "the kind 'fast'"),
        ({"mix": [{"kind": "new", "share": 1, "path": "a b"}]}, "percent-encoded"),
        ({"mix": [{"kind": "new", "share": 1, "method": "GET /"}]}, "no HTTP method"),
        ({"mix": [{"kind": "new", "share": 1}, {"kind": "slow", "share": 1000}]}, "coarser shares"),
        ({"headers": {"X-Evil": "a\r\nb"}}, "characters that HTTP does not allow"),
        ({"headers": {"connection": "close"}}, "belongs to the prober"),
        ({"objective_seconds": 0.0}, "objective_seconds is 0"),
        ({"max_requests": 5_000_001}, "max_requests is"),
        ({"clients_per_target": 0}, "clients_per_target is 0"),
        ({"capacity": [{"name": "lb1", "endpoint": "unix:/a", "backend": "app"}] * 2}, "a name of its own"),
    ],
)
def test_what_is_no_plan_is_refused_by_name(changes, message):
    with pytest.raises(ProbeError, match=message):
        plan_with(**changes)


def test_a_pacer_issues_by_the_clock_alone_and_catches_up():
    pacer = Pacer(rate=10, max_requests=100, max_seconds=100)
    assert list(pacer.due(0.0, most=50)) == [0]
    assert list(pacer.due(0.05, most=50)) == []
    assert pacer.next_at() == pytest.approx(0.1)
    assert list(pacer.due(1.0, most=50)) == list(range(1, 11))
    assert [len(pacer.due(5.0, most=15)) for _tick in range(4)] == [15, 15, 10, 0]


def test_a_pacer_ends_after_its_requests_or_its_seconds_or_when_told():
    assert Pacer(rate=10, max_requests=7, max_seconds=100).limit == 7
    assert Pacer(rate=10, max_requests=1000, max_seconds=2.5).limit == 25
    pacer = Pacer(rate=10, max_requests=1000, max_seconds=100)
    assert len(pacer.due(0.45, most=50)) == 5
    pacer.stop()
    assert (pacer.next_at(), len(pacer.due(9.0, most=50))) == (None, 0)


@given(st.floats(0.01, 2000), st.integers(0, 5000))
def test_every_request_belongs_to_exactly_the_second_it_is_meant_for(rate, second):
    first, behind = first_request_of_second(second, rate), first_request_of_second(second + 1, rate)
    assert all(int(index / rate) == second for index in (first, (first + behind) // 2, behind - 1) if first <= index < behind)
    assert int(behind / rate) > second and (first == 0 or int((first - 1) / rate) < second)
