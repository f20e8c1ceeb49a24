# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares of the traffic on load balancers that are nothing but a table of weights."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import READY, UP, Backend, LoadBalancerError, Member, View
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.weight import WeightError, apply, dry_run
from fake_load_balancer import Time


class Balancer:
    """`fails` counts the calls that fail; `deaf` does not do what it is told."""

    def __init__(self, name, configured=100):
        self.name, self.configured = name, configured
        self.weights = {"s1": configured or 1, "s2": configured or 1}
        self.calls, self.fails, self.deaf = [], 0, False

        self.endpoint = f"test:{name}"

    def read(self, backend=None):
        members = {name: Member("", READY, UP, weight=weight, configured_weight=self.configured) for name, weight in self.weights.items()}
        return View("", {"app": Backend(members)})

    def set_weights(self, backend, weights):
        self.calls.append(dict(weights))
        if self.fails:
            self.fails -= 1
            raise LoadBalancerError(f"{self.name} is gone")
        if not self.deaf:
            self.weights.update(weights)


@pytest.fixture(name="pair")
def _pair():
    return [Balancer("lb1"), Balancer("lb2")]


def test_a_share_is_given_everywhere_and_only_where_it_is_due(pair):
    result = apply(pair, "app", ["s1"], 10)
    assert result.changed and [balancer.weights for balancer in pair] == [{"s1": 10, "s2": 100}] * 2
    pair[0].weights["s1"] = 50
    assert apply(pair, "app", ["s1"], 10).changed and [len(balancer.calls) for balancer in pair] == [2, 1]
    assert not apply(pair, "app", ["s1"], 10).changed and [len(balancer.calls) for balancer in pair] == [2, 1]


def test_a_kind_that_sets_no_weights_is_refused_before_anything_is_changed(pair):
    other = type("Other", (), {"name": "lb3", "endpoint": "test:lb3", "read": pair[0].read})()
    with pytest.raises(WeightError, match=r"lb3 \(test:lb3\) is of a kind whose weights are not set here: ansible-doc"):
        apply([*pair, other], "app", ["s1"], 10)
    assert pair[0].calls == []


def test_a_check_tells_and_changes_nothing(pair):
    foreseen = dry_run(pair, "app", ["s1", "s2"], 25)
    assert foreseen.changed and foreseen.after["lb2"] == {"s1": 25, "s2": 25} and pair[0].calls == pair[1].calls == []


@pytest.mark.parametrize(("configured", "percent", "reason"), [
    (100, 0, "percent is 0: give 1 to 100"),
    (100, 101, "percent is 101: give 1 to 100"),
    (1, 10, "is configured with the weight 1 on lb1, of which 10 % is none: give the servers weight 100"),
    (None, 10, "does not tell the weight that app/s1 is configured with"),
])
def test_what_is_no_share_is_refused_before_anything_is_changed(configured, percent, reason):
    balancer = Balancer("lb1", configured)
    with pytest.raises(WeightError, match=reason):
        apply([balancer], "app", ["s1"], percent)
    assert balancer.calls == []


def test_a_member_that_is_not_there_is_named(pair):
    with pytest.raises(LoadBalancerError, match="has no member s9 in app: it has s1, s2"):
        apply(pair, "app", ["s9"], 10)


def test_at_least_one_member_has_to_be_named(pair):
    with pytest.raises(WeightError, match="members is empty: name at least one"):
        apply(pair, "app", [], 10)


def test_when_one_fails_the_weights_before_are_back_everywhere(pair):
    pair[1].fails = 1
    with pytest.raises(WeightError, match=r"lb2 is gone. The previous weights were restored on lb1, lb2"):
        apply(pair, "app", ["s1"], 10)
    assert [balancer.weights["s1"] for balancer in pair] == [100, 100]


def test_what_cannot_be_put_back_is_named(pair):
    pair[1].fails = 3
    with pytest.raises(WeightError, match=r"restored on lb1. lb2 could NOT be put back \(lb2 is gone\); run there: set the weight of app/s1 to 100"):
        apply(pair, "app", ["s1"], 10, Time().clock)
    assert (pair[0].weights["s1"], len(pair[1].calls)) == (100, 3)


def test_what_is_put_back_at_the_second_attempt_is_back(pair):
    pair[1].fails = 2
    with pytest.raises(WeightError, match=r"lb2 is gone. The previous weights were restored on lb1, lb2"):
        apply(pair, "app", ["s1"], 10, Time().clock)
    assert pair[1].weights["s1"] == 100


def test_a_weight_that_is_not_taken_is_noticed(pair):
    pair[0].deaf = True
    with pytest.raises(WeightError, match="app/s1 has the weight 100 on lb1 although it was given another"):
        apply(pair, "app", ["s1"], 10)


def test_an_interruption_puts_it_back(pair):
    def interrupted(backend, weights):
        pair[1].set_weights = lambda backend, weights: pair[1].weights.update(weights)
        raise KeyboardInterrupt
    pair[1].set_weights = interrupted
    with pytest.raises(KeyboardInterrupt):
        apply(pair, "app", ["s1"], 10)
    assert [balancer.weights["s1"] for balancer in pair] == [100, 100]
