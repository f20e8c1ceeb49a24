# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a canary, from what load balancers counted."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import READY, UP, Backend, Member, View
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.verdict import (
    BAD, GOOD, UNCLEAR, WINDOW, Limits, Sample, Watch, analysis, between, response_ms, sampled, uncounted,
)

OTHERS = Sample(1000, 1, 10.0)


def member(arrivals=0, errors=0, milliseconds=None):
    return Member("", READY, UP, arrivals=arrivals, errors=errors, response_ms=milliseconds)


@pytest.mark.parametrize(("canary", "word", "reason"), [
    (Sample(200, 0, 12.0), GOOD, None),
    (Sample(200, 2, 12.0), GOOD, None),
    (Sample(200, 3, 12.0), BAD, "3 of 200 requests failed (1.5 %), and 1 % are allowed (the others: 0.1 %)"),
    (Sample(200, 0, 70.0), GOOD, None),
    (Sample(200, 0, 71.0), BAD, "answers took 71 ms on average, and 70 ms are allowed (10 ms of the others, times 2, plus 50 ms)"),
    (Sample(9, 9, 999.0), UNCLEAR, "9 requests came, and a verdict needs 10: soak for longer, or lower min_requests"),
    (Sample(200, 0, None), GOOD, None),
])
def test_errors_and_times_are_judged_on_enough_requests(canary, word, reason):
    assert analysis(canary, OTHERS, Limits()) == (word, [reason] if reason else [])


def test_both_reasons_are_reported_and_times_need_not_be_judged():
    bad = Sample(100, 50, 5000.0)
    assert len(analysis(bad, OTHERS, Limits())[1]) == 2
    assert analysis(Sample(100, 0, 5000.0), OTHERS, Limits(max_latency_factor=0)) == (GOOD, [])
    assert analysis(Sample(100, 0, 5000.0), Sample(0, 0, None), Limits()) == (GOOD, []), "there is nothing to compare with"


def test_only_what_came_in_between_counts():
    assert between(member(100, 7, 4.0), member(160, 9, 4.0)) == Sample(60, 2, 4.0)


def watch(*looks):
    """A `Watch` of looks, each a process and its members."""
    views = [View("", {"app": Backend(members)}, process) for process, members in looks]
    result = Watch(views[0], "app")
    for view in views[1:]:
        result.look(view)
    return result


@pytest.mark.parametrize("processes", [(1, 2), (0, 0)], ids=["reported", "not told"])
def test_counters_that_a_reload_has_reset_count_from_there(processes):
    first, second = processes
    seen = watch((first, {"a": member(1000, 50, 9.0)}), (first, {"a": member(1020, 50, 9.0)}), (second, {"a": member(30, 1, 4.0)}),
                 (second, {"a": member(50, 2, 4.0)}))
    assert seen.samples("a") == [Sample(20, 0, 9.0), Sample(50, 2, 4.0)]
    assert sampled([seen], ["a"]) == Sample(70, 2, pytest.approx((20 * 9.0 + 50 * 4.0) / 70))


def test_a_process_that_has_counted_more_than_the_one_before_is_another_one_all_the_same():
    seen = watch((1, {"a": member(100, 60, 9.0)}), (2, {"a": member(130, 50, 4.0)}))
    assert sampled([seen], ["a"]) == Sample(130, 50, 4.0)


def test_a_member_that_is_not_there_any_more_counts_nothing():
    assert sampled([watch((1, {"a": member(5), "b": member(5)}), (1, {"b": member(9)}))], ["a", "b"]) == Sample(4, 0, None)


@pytest.mark.parametrize("requests", [5, 50, 2000])
@pytest.mark.parametrize("count_before", [0, 20, 400, 10_000])
def test_the_times_of_the_new_requests_are_found_behind_the_sliding_average(count_before, requests):
    """As HAProxy computes it: a plain average at first, then each request moves it by a 512th."""
    average, count = 0.0, 0
    for milliseconds in [10.0] * count_before:
        count += 1
        average += (milliseconds - average) / min(count, WINDOW)
    before = average if count else None
    for milliseconds in [300.0] * requests:
        count += 1
        average += (milliseconds - average) / min(count, WINDOW)
    found = response_ms(before, count_before, average, requests)
    # Where the plain average turns into the sliding one in between, it is an estimate.
    assert found == pytest.approx(300.0, rel=0.02 if count_before + requests <= WINDOW or count_before >= WINDOW else 0.35)


@pytest.mark.parametrize(("before", "after", "requests"), [(10.0, None, 5), (10.0, 10.0, 0)])
def test_what_is_not_told_is_none(before, after, requests):
    assert response_ms(before, 100, after, requests) is None


def test_several_members_on_several_load_balancers_make_one_sample():
    watches = [watch((1, {"a": member(0, 0, 10.0), "b": member(0)}), (1, {"a": member(30, 1, 10.0), "b": member(99)})),
               watch((2, {"a": member(100, 1, 10.0), "b": member(0)}), (2, {"a": member(110, 1, 10.0), "b": member(0)}))]
    assert sampled(watches, ["a"]) == Sample(40, 1, 10.0)
    assert sampled(watches, []) == Sample(0, 0, None)


def test_a_load_balancer_that_does_not_count_is_named():
    pools = {"lb1": Backend({"a": member()}), "lb2": Backend({"a": member(errors=None)})}
    assert uncounted(pools, ["a"]) == ["lb2"]
