# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the release that runs is read: each way is judged on answers of the release, and of another one."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan import observation
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._smoke import expectation
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._smoke.running_release import version_test

GROUPS = {"app": ["app1", "app2"], "load_balancers": ["lb1"]}
GOOD = {"upgrade_release": "2.0.0", "upgrade_artifact": "/srv/shop.tar.gz", "upgrade_artifact_sha256": "0" * 64}
MEMBERS = {"app1": {"address": "10.0.0.21:80", "admin": "ready"}, "app2": {"address": "10.0.0.22:80", "admin": "ready", "cookie": "b"}}
VIEW = {"lb1": {"backends": {"app": {"members": MEMBERS, "cookie_name": "SERVER"}}}}
COMMAND = {"upgrade_version_command": ["/srv/shop/current/bin/shop", "--version"]}


def described(**changes):
    variables = {**GOOD, **changes}
    return describe(variables, list(variables), GROUPS)


def judged(service, body="", headers=(), command=()):
    """What is wrong with an answer, in the words of the smoke test."""
    test = version_test(service, "http://10.0.0.21", "2.0.0", name="release", command=command)
    answer = expectation.document(200, list(headers), body, False, 0.1)
    return expectation.reasons(expectation.compiled(test.get("expect", {})), expectation.compiled(test.get("expect_answer", {})), answer)


@pytest.mark.parametrize(("changes", "right", "wrong"), [
    ({}, {"body": '{"release": "2.0.0"}'}, {"body": '{"release": "1.0.0"}'}),
    ({"upgrade_version_query": "build.tag", "upgrade_version_pattern": "v(.+)"},
     {"body": '{"build": {"tag": "v2.0.0"}}'}, {"body": '{"build": {"tag": "v1"}}'}),
    ({"upgrade_version_pattern": r"(\S+)"}, {"body": "2.0.0\n"}, {"body": "2.0.0-rc.1\n"}),
    ({"upgrade_version_pattern": "Shop ([0-9.]+)"}, {"body": "<b>Shop 2.0.0</b>"}, {"body": "<b>Shop 12.0.0</b>"}),
    ({"upgrade_version_header": "X-Release"}, {"headers": [("x-release", "2.0.0")]}, {"body": "2.0.0", "headers": [("x-release", "v2.0.0")]}),
    ({"upgrade_version_header": "Server", "upgrade_version_pattern": "/(.*)"}, {"headers": [("Server", "shop/2.0.0")]}, {"body": "/2.0.0"}),
    (COMMAND, {"body": "2.0.0"}, {"body": "2.0.1"}),
    ({**COMMAND, "upgrade_version_pattern": "^shop (.+)"}, {"body": "shop 2.0.0"}, {"body": "2.0.0"}),
])
def test_each_way_tells_the_release_from_another_one(changes, right, wrong):
    service = described(**changes)
    assert service["problems"] == []
    command = changes.get("upgrade_version_command", ())
    assert judged(service, command=command, **right) == []
    assert len(judged(service, command=command, **wrong)) == 1


@pytest.mark.parametrize(("changes", "words"), [
    ({"upgrade_version_query": "tag", "upgrade_version_header": "X-Release"}, ["upgrade_version_query and upgrade_version_header are set", "give one of them"]),
    ({**COMMAND, "upgrade_version_header": "X-Release"}, ["upgrade_version_header and upgrade_version_command are set"]),
    ({"upgrade_version_pattern": "v[0-9]+"}, ["upgrade_version_pattern is 'v[0-9]+', which has no group"]),
    ({"upgrade_version_pattern": "v("}, ["upgrade_version_pattern is 'v(', which is no regular expression"]),
    ({"upgrade_version_header": "X Release"}, ["upgrade_version_header is 'X Release': give the name of a header"]),
])
def test_two_ways_and_ways_that_read_nothing_are_refused(changes, words):
    [reported] = described(**changes)["problems"]
    assert all(word in reported for word in words), reported


def test_the_prober_reads_the_same_header_unless_it_is_given_another_one():
    probe = {"targets": ["http://10.0.0.11"]}
    known = {"upgrade_version_header": "X-Tag", "upgrade_version_pattern": "v(.+)"}
    assert described(upgrade_probe=probe, **known)["probe"] == {**probe, "version_header": "X-Tag", "version_pattern": "v(.+)"}
    assert described(upgrade_probe={**probe, "version_header": "X-Other"}, **known)["probe"]["version_header"] == "X-Other"
    assert described(upgrade_probe={}, **known)["probe"] == {} and described(upgrade_probe=probe)["probe"] == probe


def test_a_command_is_run_on_the_member_and_a_front_is_asked_for_its_health():
    service = described(**COMMAND)
    direct = observation.member_tests(service, "http://10.0.0.21", "2.0.0", command=COMMAND["upgrade_version_command"])
    assert [(test["name"], test.get("command"), test.get("url")) for test in direct] == [
        ("release", COMMAND["upgrade_version_command"], None), ("health", None, "http://10.0.0.21/healthz")]
    assert [test["name"] for test in observation.member_tests(service, "http://10.0.0.11", "2.0.0")] == ["health"]
    checks = observation.version_check_tests(VIEW, {"lb1": "http://10.0.0.11"}, "2.0.0", service)
    assert [(test["name"], test["url"], test["headers"]) for test in checks] == [
        ("app1 as seen from lb1", "http://10.0.0.21:80/healthz", {}), ("app2 through lb1", "http://10.0.0.11/healthz", {"Cookie": "SERVER=b"})]
    with pytest.raises(ValueError, match="upgrade_version_command is 'shop --version': give a list"):
        version_test(service, "", "2.0.0", name="release", command="shop --version")


def test_the_version_check_asks_each_member_for_the_release():
    checks = observation.version_check_tests(VIEW, {"lb1": "http://10.0.0.11"}, "2.0.0", described())
    assert [(test["url"], test["expect"]) for test in checks] == [
        ("http://10.0.0.21:80/version", {"release": "2.0.0"}), ("http://10.0.0.11/version", {"release": "2.0.0"})]


def test_the_version_check_asks_nobody_who_gets_no_traffic_and_is_not_in_the_inventory():
    strangers = {"t1": {"address": "", "admin": "maint"}, "old": {"address": "10.0.0.9:80", "admin": "maint"},
                 "new": {"address": "10.0.0.8:80", "admin": "ready"}}
    out = {"app1": {**MEMBERS["app1"], "admin": "maint"}}
    view = {"lb1": {"backends": {"app": {"members": {**MEMBERS, **strangers, **out}, "cookie_name": None}}}}
    checks = observation.version_check_tests(view, {"lb1": "http://10.0.0.11"}, "2.0.0", described(), ["app1", "app2"])
    assert [test["name"] for test in checks] == ["app1 as seen from lb1", "app2 as seen from lb1", "new as seen from lb1"]
    nobody = {"lb1": {"backends": {"app": {"members": {"t1": strangers["t1"]}, "cookie_name": None}}}}
    with pytest.raises(ValueError, match="lb1 has no member in app"):
        observation.version_check_tests(nobody, {"lb1": "http://10.0.0.11"}, "2.0.0", described(), [])
