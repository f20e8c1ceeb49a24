# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import ScheduleError
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.topology import TopologyError, failure_domain, wave_names

ZONES = {"10.1.0.0/16": "east", "10.2.0.0/16": "west", "10.2.7.0/24": "annex", "10.2.7.9": "one", "2001:db8::/32": "six", "0.0.0.0/0": "world"}


def hostvars(**shared) -> dict[str, dict]:
    return {f"w{number}": {"rolling_domain": "east" if number % 2 else "west", "other": 1, **shared} for number in range(1, 7)}


@pytest.mark.parametrize(("address", "domain"), [
    ("10.1.2.3", "east"), ("10.2.8.1", "west"), ("10.2.7.1", "annex"), ("10.2.7.9", "one"), ("192.0.2.1", "world"), ("2001:db8::1", "six"),
    ("2001:DB8::1%eth0", "six"), ("::ffff:10.1.2.3", "east"),
])
def test_the_longest_prefix_decides(address, domain):
    assert failure_domain(address, ZONES) == domain
    assert failure_domain(address, dict(reversed(ZONES.items()))) == domain


@pytest.mark.parametrize(("address", "words"), [
    ("web1.example.com", "'web1.example.com' is no IP address: give the address of the host, or a default"),
    ("", "'' is no IP address"),
    (None, "'None' is no IP address"),
    ("10.0.0.0/8", "is no IP address"),
    ("fe80::1", "no prefix holds fe80::1: add its prefix to 10.1.0.0/16, "),
])
def test_what_has_no_domain_is_an_error_or_the_default(address, words):
    with pytest.raises(TopologyError) as refused:
        failure_domain(address, ZONES)
    assert words in str(refused.value)
    assert failure_domain(address, ZONES, "elsewhere") == "elsewhere"


@pytest.mark.parametrize(("domains", "words"), [
    ({"10.0.0.1/8": "east"}, "'10.0.0.1/8' is no prefix: 10.0.0.1/8 has host bits set"),
    ({"east": "10.0.0.0/8"}, "'east' is no prefix"),
    ({"10.0.0.0/8": "east", "10.0.0.0/255.0.0.0": "west"}, "10.0.0.0/8 is in two domains, east and west"),
    (["10.0.0.0/8"], "give a dictionary"),
])
def test_prefixes_that_cannot_be_read_are_refused_whatever_the_default(domains, words):
    with pytest.raises(TopologyError) as refused:
        failure_domain("10.0.0.1", domains, "elsewhere")
    assert words in str(refused.value)


def test_waves_keep_the_window_the_domains_and_the_order():
    names = [f"w{number}" for number in range(1, 7)]
    assert wave_names(names, hostvars(rolling_max_unavailable="34%", rolling_domains_at_once=1)) == [["w1", "w3"], ["w5"], ["w2", "w4"], ["w6"]]
    assert wave_names(names, hostvars(rolling_max_unavailable=4, rolling_max_per_domain=1)) == [["w1", "w2"], ["w3", "w4"], ["w5", "w6"]]
    assert wave_names([], hostvars()) == []


def test_members_outside_of_the_play_count_as_capacity():
    shared = hostvars(rolling_max_unavailable="34%", rolling_pool_hosts=[f"w{number}" for number in range(1, 7)])
    assert wave_names(["w1", "w2"], shared) == [["w1", "w2"]]
    assert wave_names(["w1", "w2"], hostvars(rolling_max_unavailable="34%")) == [["w1"], ["w2"]]


@pytest.mark.parametrize(("hosts", "variables", "words"), [
    (["w1", "w9"], {}, "w9 is not in the inventory"),
    ("web", {}, "the hosts are 'web': give a list of host names such as groups['web']"),
    (["w1", "w2"], {"rolling_min_live": 2}, "the roll would never finish: after 0 of 2 hosts no member may start, because"),
    (["w1"], {"rolling_max_unavailable": "lots"}, "rolling_max_unavailable is 'lots'"),
    (["w1"], {"rolling_pool_hosts": ["w9"]}, "w9 is not in the inventory"),
    (["w1"], {"rolling_domians_at_once": 1}, "did you mean rolling_domains_at_once?"),
])
def test_waves_that_cannot_be_are_refused_with_the_reason(hosts, variables, words):
    with pytest.raises(ScheduleError) as refused:
        wave_names(hosts, hostvars(**variables))
    assert words in str(refused.value)


def test_hosts_that_disagree_are_refused():
    disagreeing = hostvars(rolling_max_unavailable=2)
    disagreeing["w2"]["rolling_max_unavailable"] = 3
    with pytest.raises(ScheduleError, match="have different values of rolling_max_unavailable: 2 for w1 and 3 for w2"):
        wave_names(list(disagreeing), disagreeing)
