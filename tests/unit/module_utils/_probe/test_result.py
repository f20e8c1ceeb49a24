# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe import record as outcomes, result
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.record import Record, VersionOrder, outcome_of_status
from hypothesis import given
from hypothesis import strategies as st

STARTED = 1_000_000.0


def plan(rate=10.0, **changes):
    return make_plan({
        "targets": ["http://127.0.0.1"], "rate": rate, "mix": [{"kind": "keepalive", "share": 1}, {"kind": "write", "share": 1}],
        "clients_per_target": 2, "objective_seconds": 5.0, "max_seconds": 60.0, "max_requests": 1000, **changes})


def record_of(*requests):
    """Each request is (outcome, latency, lag, version), the last of them optional."""
    record = Record()
    for outcome, latency, *more in requests:
        lag, version = (*more, *(0.0, "")[len(more):])
        index = record.schedule(lag)
        if outcome != outcomes.PENDING:
            record.finish(index, outcome, latency, version)
    return record


def figures_of(record, **changes):
    wanted = plan(**changes)
    return result.final_figures(wanted, record, result.Windows(wanted, record, STARTED))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(values, percent):
    ordered = sorted(values)
    found = result.percentile(ordered, percent)
    enough = len(values) * percent / 100
    assert found in values
    assert sum(value <= found for value in values) >= enough
    assert sum(value < found for value in values) < enough


def test_percentiles_are_exact_and_none_without_values():
    assert result.percentiles_ms(n / 1000 for n in range(1, 201)) == {"p50": 100.0, "p99": 198.0, "p100": 200.0}
    assert result.percentiles_ms(()) == {"p50": None, "p99": None, "p100": None}


def test_the_bound_is_three_in_n_and_only_without_a_failure():
    assert result.bound_95(3000, 0) == 0.001
    assert result.bound_95(3000, 1) is None
    assert result.bound_95(0, 0) is None


def test_every_class_is_counted_apart_and_those_that_did_not_occur_are_shown():
    record = record_of((outcomes.OK, 0.1), *((outcome, 0.1) for outcome in outcomes.FAILURES), (outcomes.REFUSED, 0.1), (outcomes.UNSENT, 2.0))
    figures = figures_of(record)
    assert figures["failures_by_class"] == {**dict.fromkeys(outcomes.FAILURES.values(), 1), "refused": 2}
    assert (figures["requests_scheduled"], figures["requests_failed"]) == (len(outcomes.FAILURES) + 3, len(outcomes.FAILURES) + 1)
    assert (figures["requests_unmeasured"], figures["unmeasured_by_class"]) == (1, {"unsent": 1, "unseen": 0})
    assert figures["availability"] == pytest.approx(1 / 13)
    assert figures["bound_95"] is None


def test_a_timeout_shows_in_the_latency_and_a_quick_refusal_does_not():
    figures = figures_of(record_of((outcomes.OK, 0.2), (outcomes.TIMEOUT, 5.0), (outcomes.REFUSED, 0.001), (outcomes.HTTP_5XX, 0.002)))
    assert figures["latency_ms"] == {"p50": 200.0, "p99": 5000.0, "p100": 5000.0}


def test_kinds_have_figures_of_their_own():
    figures = figures_of(record_of((outcomes.OK, 0.1), (outcomes.OK, 0.8), (outcomes.OK, 0.1), (outcomes.RESET_NEW, 0.0)))
    assert figures["by_kind"] == {
        "keepalive": {"scheduled": 2, "failed": 0, "p50": 100.0, "p99": 100.0, "p100": 100.0},
        "write": {"scheduled": 2, "failed": 1, "p50": 800.0, "p99": 800.0, "p100": 800.0}}


def test_seconds_are_those_of_the_intended_times():
    old, new = (outcomes.OK, 0.1, 0.0, "1.0.0"), (outcomes.OK, 0.2, 0.0, "2.0.0")
    figures = figures_of(record_of(*[old] * 10, *[new] * 9, (outcomes.TIMEOUT, 5.0), (outcomes.OK, 0.3)))
    assert [(row["t"], row["scheduled"], row["failed"], row["p100"], row["versions"]) for row in figures["series"]] == [
        (STARTED, 10, 0, 100.0, {"1.0.0": 10}), (STARTED + 1, 10, 1, 5000.0, {"2.0.0": 9}), (STARTED + 2, 1, 0, 300.0, {})]
    assert figures["versions"] == {"1.0.0": 10, "2.0.0": 9}


def test_a_second_in_which_the_prober_was_late_is_void_but_its_failures_count():
    on_time, late = (outcomes.OK, 0.1, 0.099), (outcomes.OK, 0.9, 0.101)
    figures = figures_of(record_of(*[on_time] * 10, *[late] * 9, (outcomes.REFUSED, 0.9, 0.3), *[late] * 10, *[on_time] * 10, *[late] * 10))
    assert [row["void"] for row in figures["series"]] == [False, True, True, False, True]
    assert figures["void_windows"] == [
        {"from": STARTED + 1, "to": STARTED + 3, "send_lag_p99_ms": 300.0}, {"from": STARTED + 4, "to": STARTED + 5, "send_lag_p99_ms": 101.0}]
    assert figures["latency_ms"]["p100"] == 100.0
    assert figures["series"][1]["p50"] is None
    assert (figures["requests_failed"], figures["series"][1]["failed"]) == (1, 1)
    assert figures["send_lag_p99_ms"] == 300.0


def test_one_late_request_in_a_hundred_does_not_void_a_second_but_two_do():
    one, two = ([(outcomes.OK, 0.1, 0.0)] * (100 - late) + [(outcomes.OK, 0.1, 0.5)] * late for late in (1, 2))
    assert figures_of(record_of(*one), rate=100.0)["void_windows"] == []
    assert len(figures_of(record_of(*two), rate=100.0)["void_windows"]) == 1


def test_a_rate_below_one_leaves_empty_seconds():
    figures = figures_of(record_of((outcomes.OK, 0.1), (outcomes.OK, 0.1)), rate=0.5)
    assert [row["scheduled"] for row in figures["series"]] == [1, 0, 1]
    assert not any(row["void"] for row in figures["series"])


def test_nothing_sent_is_no_availability():
    figures = figures_of(Record())
    assert (figures["requests_scheduled"], figures["availability"], figures["bound_95"], figures["series"]) == (0, None, None, [])


def test_a_second_is_complete_only_when_all_its_requests_have_ended():
    wanted, record = plan(), record_of(*[(outcomes.OK, 0.1)] * 9, (outcomes.PENDING, 0), (outcomes.OK, 0.1))
    windows = result.Windows(wanted, record, STARTED)
    assert [(row["scheduled"], row["failed"]) for row in windows.rows()] == [(10, 0), (1, 0)]
    record.finish(9, outcomes.TIMEOUT, 5.0)
    assert [(row["scheduled"], row["failed"]) for row in windows.rows()] == [(10, 1), (1, 0)]
    for _request in range(9):
        record.finish(record.schedule(0.0), outcomes.OK, 0.1)
    assert [(row["scheduled"], row["failed"]) for row in windows.rows()] == [(10, 1), (10, 0)]


def test_live_figures_have_the_totals_and_the_last_seconds():
    wanted, record = plan(), record_of(*[(outcomes.OK, 0.1)] * 20, (outcomes.REFUSED, 0.1), (outcomes.PENDING, 0))
    live = result.live_figures(wanted, record, result.Windows(wanted, record, STARTED).rows(), recent=2)
    assert (live["requests_scheduled"], live["requests_pending"], live["requests_failed"], live["clients"]) == (22, 1, 1, 4)
    assert [row["t"] for row in live["series"]] == [STARTED + 1, STARTED + 2]


def test_a_request_ends_once():
    record = record_of((outcomes.OK, 0.1))
    with pytest.raises(ValueError, match="ended twice"):
        record.finish(0, outcomes.TIMEOUT, 5.0)


def test_a_million_requests_fit():
    record = Record()
    for _request in range(1000):
        record.finish(record.schedule(0.001), outcomes.OK, 0.001, "1.0.0")
    arrays = (record.outcome, record.latency, record.lag, record.version)
    assert sum(array.itemsize for array in arrays) == 10
    assert all(len(array) == 1000 for array in arrays)


def test_more_versions_than_fit_are_put_together():
    record = Record()
    for number in range(400):
        record.finish(record.schedule(0.0), outcomes.OK, 0.1, f"1.0.{number}")
    assert (len(record.versions), record.versions["1.0.0"], record.versions["other"]) == (255, 1, 146)


@pytest.mark.parametrize(
    ("older", "newer"),
    [("1.9.0", "1.10.0"), ("1.0", "2"), ("v1.0.0", "1.0.1"), ("2.0.0-rc.1", "2.0.0"), ("2.0.0-rc.9", "2.0.0-rc.10")],
)
def test_versions_are_ordered_by_their_numbers(older, newer):
    order = VersionOrder()
    assert order.precedence(older) < order.precedence(newer)


def test_what_is_no_version_has_no_order():
    back = VersionOrder("1.0.0")
    assert back.precedence("1.0.0") > back.precedence("2.0.0") == back.precedence("a1b2c3d") and back.precedence("") is None
    assert [VersionOrder().precedence(text) for text in ("a1b2c3d", "latest", "", "1.0.0/evil")] == [None] * 4


def test_equal_versions_are_equal_however_they_are_written():
    order = VersionOrder()
    assert order.precedence("v1.0") == order.precedence("1.0.0") == order.precedence("1.0.0+build.7")


@pytest.mark.parametrize(
    ("status", "expected", "outcome"),
    [
        (200, (), outcomes.OK), (302, (), outcomes.OK), (404, (), outcomes.HTTP_4XX), (500, (), outcomes.HTTP_5XX), (503, (), outcomes.HTTP_5XX),
        (101, (), outcomes.HTTP_OTHER), (200, (201,), outcomes.HTTP_OTHER), (404, (404,), outcomes.OK), (201, (200, 201), outcomes.OK),
    ],
)
def test_a_status_is_judged_by_what_is_expected(status, expected, outcome):
    assert outcome_of_status(status, expected) == outcome


def test_latencies_survive_the_compact_form():
    record = record_of((outcomes.OK, 0.123456))
    assert math.isclose(record.latency[0], 0.123456, rel_tol=1e-6)
