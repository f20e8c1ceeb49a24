# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a member gets no traffic, in words that fit what its health check found."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.not_live import has_address, is_down, is_spare, why_not_live


def member(**facts):
    return {"address": "10.0.0.21:8080", "admin": "ready", "health": "down", "check": "L7STS", "check_code": 503, "weight": 1, "backup": False, **facts}


@pytest.mark.parametrize(("facts", "words"), [
    ({}, "lb1 reached 10.0.0.21:8080, and its health check was answered with status 503 (L7STS); ask the member for that page"),
    ({"check_code": None}, "answered with status another one than expected (L7STS)"),
    ({"health": "stopping", "check_code": 404}, "answered with status 404 (L7STS)"),
    ({"check": "L4CON", "check_code": None}, "lb1 could not connect to 10.0.0.21:8080 (L4CON); see whether the service listens there"),
    ({"check": "L4TOUT"}, "lb1 could not connect to 10.0.0.21:8080 in time (L4TOUT)"),
    ({"check": "L6RSP"}, "TLS failed there (L6RSP)"),
    ({"check": "L7TOUT"}, "lb1 reached 10.0.0.21:8080, and its health check was not answered in time (L7TOUT)"),
    ({"check": "L7RSP"}, "does not follow the protocol (L7RSP)"),
    ({"check": "SOCKERR"}, "lb1 could not open a socket"),
    ({"check": "failed_active_health_check"}, "lb1 has it as down failed_active_health_check; see the load balancer's log"),
    ({"check": ""}, "lb1 has it as down; see"),
    ({"admin": "drain"}, "it is in drain on lb1; return it with alwayson.upgrade.traffic_member"),
    ({"admin": "maint"}, "it is in maint on lb1; return it"),
    ({"admin": "maint", "address": ""}, "lb1 has no address for it; see whether its name can be resolved there"),
    ({"health": "up", "weight": 0}, "it has the weight 0 on lb1"),
    ({"health": "unchecked", "backup": True}, "it is a backup on lb1"),
])
def test_the_words_fit_the_check(facts, words):
    assert words in why_not_live("lb1", member(**facts))


@pytest.mark.parametrize(("address", "is_there"), [
    ("10.0.0.21:8080", True), ("[fd00::1]:80", True), ("app1", True), ("app1.example.com:80", True), ("127.0.0.1:1023", True),
    ("", False), ("0.0.0.0:0", False), ("0.0.0.0:80", False), ("[::]:0", False), (":::0", False),
])
def test_what_an_address_is(address, is_there):
    assert has_address({"address": address}) is is_there
    assert is_spare(member(admin="maint", address=address)) is not is_there
    assert not is_spare(member(admin="ready", address=address))


@pytest.mark.parametrize(("facts", "answer"), [
    ({}, True), ({"health": "stopping"}, True), ({"health": "up"}, False), ({"health": "unchecked"}, False), ({"admin": "drain"}, False),
    ({"admin": "maint", "health": "paused"}, False),
])
def test_only_what_a_health_check_keeps_out_may_come_back_by_itself(facts, answer):
    assert is_down(member(**facts)) is answer
