# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirement E4: order and limits by zone, rack or any variable of the hosts; pools with limits of their own."""

from __future__ import annotations

from integration.strategy.plays import COME, GO, HOSTS, break_on, on, wait_for

EAST, WEST = ["w1", "w3", "w5"], ["w2", "w4", "w6"]
ZONE = {"rolling_domain": "{{ zone }}"}


def test_e4_one_zone_after_the_other_and_the_longest_first(play):
    times = {"w3": {"rolling_expected_s": 9}, "w6": {"rolling_expected_s": "7.5"}, "w4": {"rolling_in_traffic": "false"}}
    run = play([COME, GO], variables={**ZONE, "rolling_max_unavailable": 1}, host_vars=times)
    assert run.code == 0 and run.came == ["w4", "w3", "w1", "w5", "w6", "w2"]


def test_e4_a_domain_is_finished_before_the_next_one_begins(play):
    run = play([COME, GO], variables={**ZONE, "rolling_max_unavailable": 3, "rolling_domains_at_once": 1})
    assert run.code == 0 and sorted(run.came[:3]) == EAST and sorted(run.came[3:]) == WEST
    assert run.log.index("w2 come") > max(run.log.index(f"{name} go") for name in EAST)


def test_e4_a_share_of_each_domain_at_a_time(play):
    """Four may be in flight, and 34% of three is one of each zone. w1 waits for all of the other zone, which goes on beside it."""
    run = play([COME, wait_for("w6 go", **on("w1")), GO], variables={**ZONE, "rolling_max_unavailable": 4, "rolling_max_per_domain": "34%"})
    assert run.code == 0 and sorted(run.came) == HOSTS
    assert run.most_of(EAST) == run.most_of(WEST) == 1 and run.most_at_once == 2


def test_e4_two_pools_in_one_play_keep_limits_of_their_own(play):
    """West may lose two at a time, and loses two: its floor keeps w6 from starting. East may lose one at a time, and goes on to its own end."""
    pools = {name: {"rolling_pool": "west", "rolling_max_unavailable": 2} for name in WEST} | {name: {"rolling_pool": "east"} for name in EAST}
    run = play([COME, wait_for("w2 come", **on("w4")), wait_for("w4 come", **on("w2")), break_on("w2", "w4"), GO], host_vars=pools,
               variables={"rolling_max_failures": 2})
    assert run.code != 0 and not run.went_on
    assert run.went == EAST and run.most_of(EAST) == 1 and "w6 come" not in run.log
    assert "taking w6 would leave less than the floor of 1" in run.words
    assert "the floor of 2 of 3 lets no member of east start" in run.words and "no member of west start" not in run.words


def test_steps_wait_for_each_other_and_each_covers_every_domain(play):
    run = play([COME, GO], variables={**ZONE, "rolling_max_unavailable": 6, "rolling_steps": [2, "100%"]})
    first = run.came[:2]
    assert run.code == 0 and sorted(run.came) == HOSTS and {name in EAST for name in first} == {True, False}
    assert max(run.log.index(f"{name} go") for name in first) < min(run.log.index(f"{name} come") for name in run.came[2:])


def test_limit_leaves_the_pool_whole(play):
    """Two of six: the floor of four is counted over all six, so that both may go at the same time."""
    limited = ("--limit", "w1,w2")
    run = play([COME, wait_for("w1 come"), wait_for("w2 come"), GO], variables={"rolling_max_unavailable": "34%"}, arguments=limited)
    assert run.code == 0 and sorted(run.came) == ["w1", "w2"] and run.most_at_once == 2
    too_few = play([COME], variables={"rolling_max_unavailable": "34%", "rolling_in_traffic": "{{ inventory_hostname in ['w1', 'w2'] }}"}, arguments=limited)
    assert too_few.code != 0 and too_few.log == [] and "less than the floor of 4" in too_few.words
