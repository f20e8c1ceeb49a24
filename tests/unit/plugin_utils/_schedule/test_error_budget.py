# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests may fail, and how many may stay unmeasured."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.error_budget import (
    BudgetError, allowed, coverage, failed_too_many, limit_problems, why_to_stop,
)


@pytest.mark.parametrize(("value", "total", "expected"), [
    (None, 1000, 0), (0, 1000, 0), (7, 1000, 7), ("7", 1000, 7), ("0.1%", 1000, 1), ("0.1%", 1001, 2), ("0.1%", 0, 0), ("100%", 30, 30), ("0%", 1000, 0)])
def test_a_budget_is_a_number_or_a_percentage_rounded_up(value, total, expected):
    assert allowed({"max_failed": value}, "max_failed", total) == expected


@pytest.mark.parametrize("value", ["many", -1, "101%", 1.5, True, "5 %", [], ""])
def test_what_is_neither_is_named(value):
    with pytest.raises(BudgetError, match="upgrade_max_failed is"):
        allowed({"max_failed": value}, "max_failed", 100)
    assert len(limit_problems({"max_failed": value, "max_unmeasured": "10%"})) == 1


def test_what_the_prober_was_not_there_for_is_unmeasured():
    probe = {"started": 100.0, "rate": 10.0, "requests_scheduled": 50, "requests_unmeasured": 5}
    assert coverage(probe) == (50, 5)
    assert coverage(probe, until=105.0) == (50, 5)
    assert coverage(probe, until=110.0) == (100, 55)
    assert coverage({}, until=110.0) == (0, 0)


def test_a_share_is_taken_of_what_was_measured():
    figures = {"requests_scheduled": 1000, "requests_unmeasured": 900, "requests_failed": 2}
    assert failed_too_many(figures, {"max_failed": "1%"}).startswith("2 of 1,000 requests failed")
    assert failed_too_many({**figures, "requests_unmeasured": 0}, {"max_failed": "1%"}) == ""


LIVE = {"now": 1000.0, "requests_scheduled": 400, "requests_failed": 0, "requests_unmeasured": 0, "failures_by_class": {}}


@pytest.mark.parametrize(("figures", "budget", "why"), [
    (LIVE, 0, ""), ({**LIVE, "requests_failed": 3, "failures_by_class": {"http_5xx": 3}}, 3, ""), ({**LIVE, "requests_failed": 4}, "1%", ""),
    ({**LIVE, "requests_failed": 3, "failures_by_class": {"http_5xx": 3}}, 0, "users get errors: 3 of 400 requests failed: 3 http_5xx"),
    ({**LIVE, "requests_failed": 5}, "1%", "upgrade_max_failed allows 4"),
    ({**LIVE, "now": 980.0}, 0, "has written no figures for 20 s"), ({}, 0, "left no figures"), (None, 0, "left no figures")])
def test_traffic_moves_only_while_users_are_known_to_be_within_the_budget(figures, budget, why):
    reported = why_to_stop(figures, {"max_failed": budget}, 1000.0)
    assert why in reported if why else reported == ""


def test_a_prober_that_reached_nothing_names_its_targets():
    figures = {**LIVE, "requests_failed": 380, "requests_pending": 20, "failures_by_class": {"refused": 380, "timeout": 0}}
    reported = why_to_stop(figures, {}, 1000.0)
    assert reported.startswith("the prober reaches no target: 380 of 400 requests failed") and "correct upgrade_probe.targets" in reported
    assert "upgrade_max_failed" not in reported
    for served in ({"requests_failed": 380, "failures_by_class": {"refused": 379, "timeout": 1}}, {"requests_pending": 0}):
        assert "upgrade_max_failed" in why_to_stop({**figures, **served}, {}, 1000.0)
