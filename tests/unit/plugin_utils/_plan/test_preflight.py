# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a member from coming back, and which of the user's tests are asked of which release."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.address import host_port
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan import preflight
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.observation import member_tests
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.partial_runs import cut_off, refused_options
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from unit.plugin_utils._plan.test_plan import NAMES, fleet, service


def a_test(about="health", passed=False, status=404, holds_for="both", why="answered 404 instead of 200", **changes):
    return {"name": about, "about": about, "holds_for": holds_for, "method": "GET", "url": f"http://h/{about}", "command": None, "status": status,
            "passed": passed, "why": [] if passed else [why], **changes}


def seen(*asked, serving=True, problems=()):
    return {"preflight": {"serving": serving, "user": "deploy", "running": True, "problems": list(problems), "asked": list(asked)}}


def plan_of(observed, **changes):
    return make_plan(service(**changes), observed)


def reported(observed, **changes):
    """What only the preflight says against the plan."""
    return preflight.sentences(service(**changes), observed, plan_of(observed, **changes))


def test_a_fleet_that_answers_is_not_refused():
    good = [a_test("release", True, 200), a_test("health", True, 200)]
    assert plan_of(fleet(**{name: seen(*good) for name in NAMES}))["refusals"] == []


def test_the_same_wrong_answer_of_many_is_one_sentence_of_the_plan():
    refusals = plan_of(fleet(**{name: seen(a_test()) for name in NAMES}))["refusals"]
    assert refusals == [("app1, app2, app3 and 3 more take traffic, but would fail the tests for returning to it: "
                        "GET http://h/health: answered 404 instead of 200 (app1); "
                         "GET http://h/health: answered 404 instead of 200 (app2); GET http://h/health: answered 404 instead of 200 (app3); "
                         "and likewise 3 more. Correct upgrade_health_path, which is '/healthz'")]


@pytest.mark.parametrize(("test", "cure"), [
    (a_test(), "Correct upgrade_health_path, which is '/healthz'"),
    (a_test("release"), "Correct upgrade_version_path, which is '/version'"),
    (a_test("release", status=200), "Correct upgrade_version_query, which is 'release' and has to yield the release that current"),
    (a_test("release", status=None), "Correct member_address or member_port"),
    (a_test("release", command=["shop", "--version"], url=None, method=None), "Correct upgrade_version_command"),
    (a_test("own", name="orders"), "Correct the test 'orders' of upgrade_smoke_tests, or leave holds_for=both out of it"),
])
def test_the_variable_to_correct_is_named(test, cure):
    [sentence] = reported(fleet(app2=seen(test)))
    assert sentence.startswith("app2 takes traffic, but would fail the tests for returning to it: ") and cure in sentence


def test_an_address_that_nothing_answers_at_is_said_once():
    silent = [a_test(about, status=None, why="connection refused") for about in ("release", "health", "own")]
    [sentence] = reported(fleet(app2=seen(*silent)))
    assert "GET http://h/release: connection refused. Correct member_address" in sentence


def test_a_member_without_traffic_need_not_answer_but_its_commands_count():
    problem = {"variable": "release_start_command", "what": "/x start cannot be run by deploy: there is no /x"}
    assert reported(fleet(app2=seen(a_test(status=None), serving=False))) == []
    assert reported(fleet(app1=seen(serving=False, problems=[problem]), app2=seen(problems=[problem]))) == [
        "app1, app2: /x start cannot be run by deploy: there is no /x. Correct release_start_command"]


def test_a_server_that_was_stopped_where_it_is_does_not_keep_its_run_from_going_on():
    observed = fleet(app2=seen(a_test(status=None)))
    plan = {**plan_of(observed), "method": "in_place", "interrupted": {"id": "1"}}
    assert preflight.sentences(service(), observed, plan) == []


def test_a_test_of_the_users_is_about_the_new_release_unless_it_is_marked():
    failed = a_test("own", holds_for="new", name="feature")
    passed = a_test("own", True, 200, "new", name="orders")
    observed = fleet(app1=seen(failed, passed), app2=seen(failed, a_test("own", holds_for="new", name="orders")))
    plan = plan_of(observed)
    assert plan["refusals"] == []
    assert plan["own_tests"] == {"1.0.0": {"feature": False, "orders": False}}
    assert plan_of(fleet(app1=seen(failed, passed)))["own_tests"] == {"1.0.0": {"feature": False, "orders": True}}


OWN = [{"name": "feature", "path": "/f"}, {"name": "orders", "path": "/o"}, {"name": "write", "path": "/w", "method": "POST", "holds_for": "both"},
       {"name": "read", "path": "/r", "holds_for": "both"}]


@pytest.mark.parametrize(("direction", "release", "asked"), [
    ("upgrade", "2.0.0", ["feature", "orders", "write", "read"]),
    ("upgrade", "1.0.0", ["orders", "write"]),
    ("rollback", "1.0.0", ["orders", "write"]),
    ("rollback", "2.0.0", ["write", "read"]),
    ("patch", "1.0.0", ["orders", "write"]),
])
def test_a_test_that_a_release_never_passed_is_not_asked_of_it(direction, release, asked):
    plan = {"direction": direction, "release_to": "1.0.0" if direction != "upgrade" else "2.0.0",
            "own_tests": {"1.0.0": {"feature": False, "orders": True, "read": False}}}
    made = member_tests(service(), "http://h", release, OWN, plan=plan)
    assert [test["name"] for test in made] == ["release", "health", *asked]
    assert not any("holds_for" in test for test in made)


def test_a_rollback_leaves_a_release_that_is_ill():
    ill = [a_test(status=503), a_test("release", status=None, why="no whole answer within 10 s"), a_test("own", name="orders")]
    wrong = a_test("release", status=404)
    changes = {"direction": "rollback", "release": "1.0.0"}
    assert reported(fleet("2.0.0", app1=seen(*ill)), **changes) == []
    [sentence] = reported(fleet("2.0.0", app1=seen(wrong)), **changes)
    assert "Correct upgrade_version_path" in sentence


def test_a_front_that_users_do_not_reach_is_named():
    tests = [a_test(name="lb1: health", why="connection refused", status=None), a_test("release", True, 200, name="lb1: release")]
    observed = {**fleet(), "fronts": {"missing": ["lb2"], "tests": tests}}
    assert reported(observed) == ["lb2 has no front_url: give the URL at which users reach the service through it",
                                  "lb1: health, GET http://h/health: connection refused. Correct front_url of lb1, or let lb1 pass this path on"]
    observed["fronts"]["tests"] = [a_test(name="lb1: health")]
    assert any(sentence.startswith("lb1: health") for sentence in reported(observed))
    observed["members"]["app1"] |= seen(a_test())
    assert not any(sentence.startswith("lb1: health") for sentence in reported(observed))


def test_what_is_asked_of_the_fronts():
    observed = fleet(**{name: seen() for name in NAMES})
    tests = preflight.front_tests(service(), observed, {"lb1": "http://[2001:db8::1]", "lb2": ""})
    assert [(test["name"], test["url"]) for test in tests] == [
        ("lb1: release", "http://[2001:db8::1]/version"), ("lb1: health", "http://[2001:db8::1]/healthz"), ("app1 through lb1", "http://[2001:db8::1]/version")]
    assert tests[0]["expect"] == {"release": "1.0.0"}
    observed["members"]["app2"]["release"] = "2.0.0"
    assert not any("expect" in test for test in preflight.front_tests(service(), observed, {"lb1": "http://a", "lb2": "http://b"}))


def test_only_what_every_load_balancer_sends_traffic_to_has_to_answer():
    observed = fleet()
    observed["load_balancers"]["lb2"]["backends"]["app"]["members"]["app3"]["live"] = False
    results = [{"load_balancers": {name: view}} for name, view in observed["load_balancers"].items()]
    hostvars = {name: {} for name in NAMES} | {"app2": {"member_name": "elsewhere"}}
    assert preflight.serving_hosts(results, service(), hostvars) == ["app1", "app4", "app5", "app6"]


@pytest.mark.parametrize(("host", "text"), [
    ("10.0.0.1", "10.0.0.1:80"), ("app1.example.com", "app1.example.com:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80"),
    ("2001:db8:0:0:0:0:0:1", "[2001:db8::1]:80"), ("2001:DB8::1", "[2001:db8::1]:80"),
])
def test_an_address_as_urls_have_it(host, text):
    assert host_port(host, 80) == text


def test_options_that_would_skip_a_part_of_a_run():
    assert refused_options(None, ["all"], [], None, []) == []
    assert refused_options(None, ["all"], ["slow"], "app,localhost", ["localhost", "app1"]) == []
    sentences = refused_options("Report", ["roll"], ["untagged"], "app1", ["app1"])
    assert [sentence.split(" would")[0].split(" leaves")[0] for sentence in sentences] == [
        "--start-at-task='Report'", "--tags=roll", "--skip-tags=untagged", "--limit=app1"]
    assert all("Leave it out" in sentence for sentence in sentences)
    assert cut_off(None, [], NAMES) == [] and cut_off("app", NAMES, NAMES) == []
    assert "leaves out app2, app3, app4, app5, app6, which" in cut_off("app1", ["app1"], NAMES)[0]


def test_a_target_of_the_prober_at_which_nothing_answers_is_refused():
    tests = [a_test(name="http://a", url="http://a/", status=None, why="connection refused"), a_test(name="http://b", passed=True, status=503)]
    observed = {**fleet(), "targets": tests}
    [sentence] = reported(observed)
    assert sentence.startswith("the prober would get no answer: GET http://a/: connection refused. Correct upgrade_probe.targets")
    assert reported({**fleet(), "targets": tests[1:]}) == []
    for lenient in ({"direction": "rollback"}, {"interrupted": {"id": "1"}}):
        assert preflight.sentences(service(), observed, {**plan_of(observed), **lenient}) == []


def test_a_test_that_the_release_which_runs_fails_is_a_note():
    new = a_test("own", name="feature", url="http://h/feature", holds_for="new")
    observed = fleet(**{name: seen(new) for name in NAMES})
    plan = plan_of(observed)
    assert plan["refusals"] == [] and plan["notes"] == [
        ("smoke test 'feature' fails on 1.0.0 too: GET http://h/feature: answered 404 instead of 200. It counts for 2.0.0 only; "
         "correct it if 1.0.0 should pass it, too")]
    assert plan_of(fleet(**{name: seen({**new, "passed": True}) for name in NAMES}))["notes"] == []
    assert preflight.fails_already(observed, {**plan, "direction": "rollback"}) == []
