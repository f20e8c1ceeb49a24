# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.outcomes import (
    as_built, ready_for_cutover, member_outcomes, roll_problems, hosts_to_restore, hosts_to_roll_back,
)
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.record import make_record

PROOF = {"lb1": {"app1": {"before": "ready", "after": "maint", "sessions": 0, "queued": 0, "waited_s": 0.4}}}


def plan(**changes):
    return {
        "service": "shop", "release_from": "1.0.0", "release_to": "2.0.0", "cutover": None, "method": "half_pool", "direction": "upgrade", "pool_size": 2,
        "pending": ["app1", "app2"], "steps": [["app1"], ["app2"]], "limits": {"max_unavailable": 1, "min_live": 1}, "nothing_to_do": False,
        "there": [], "return_to": {"app1": "1.0.0", "app2": "1.0.0"}, **changes,
    }


def looped(**result):
    return {"results": [result]}


def run(**members):
    facts = {"domain": "east", "release": "1.0.0", "address": "10.0.0.1:80"}
    return {
        "started": 0.0, "finished": 60.0, "phases": {"roll": {"started": 10.0, "finished": 40.0}}, "problems": [], "members": members,
        "cutover": [{"started_at": 20.0, "finished_at": 21.0}], "databases": {}, "observed": {"members": {"app1": facts, "app2": facts}, "load_balancers": {}},
        "version_check": [{"name": "app1 through lb1", "passed": True}], "probe": None, "operator": {"user": "ops", "host": "ctl"},
    }


def upgraded(out: float, done: float) -> dict:
    return {
        "outcome": "upgraded", "release_after": "2.0.0", "out": looped(started_at=out, finished_at=out + 1, proof=PROOF),
        "release": {"started_at": out + 1, "finished_at": out + 2}, "smoke": {}, "in": looped(started_at=out + 3, finished_at=done),
    }


def test_a_record_of_a_good_half_pool_run():
    record = make_record(plan(), run(app1=upgraded(10.0, 14.0), app2=upgraded(22.0, 27.0)))
    assert (record["ok"], record["outcome"], record["problems"]) == (True, "upgraded", [])
    first, second = record["members"]["app1"], record["members"]["app2"]
    # The first half is out until the flip brings it in, the second from the flip on.
    assert (first["out_at"], first["in_at"], first["seconds_out"]) == (10.0, 21.0, 11.0)
    assert (second["out_at"], second["in_at"], second["seconds_out"]) == (20.0, 27.0, 7.0)
    assert [stage["name"] for stage in first["stages"]] == ["drain", "release", "return"]
    assert first["drain_proof"]["lb1"]["sessions"] == 0


@pytest.mark.parametrize(("outcome", "words", "overall"), [
    ({"outcome": "returned", "release_after": "1.0.0", "why": "a test"}, "app1 was returned to 1.0.0: a test", "returned to 1.0.0"),
    ({"outcome": "left_out", "why": "x"}, "app1 was left out of traffic: x", "stopped"),
    ({"outcome": "lost"}, "app1 was lost", "stopped"),
])
def test_a_run_that_failed_says_so_and_names_the_next_command(outcome, words, overall):
    record = make_record(plan(), {**run(app1=outcome), "version_check": None})
    assert record["ok"] is False and record["outcome"] == overall
    assert any(words in sentence for sentence in record["problems"])
    assert record["next_command"] == "ansible-playbook alwayson.upgrade.status"


def test_without_a_version_check_a_run_is_not_done():
    assert make_record(plan(), {**run(app1=upgraded(1.0, 2.0), app2=upgraded(3.0, 4.0)), "version_check": None})["ok"] is False


def test_a_host_that_was_under_way_at_the_end_is_lost():
    hostvars = {"app1": {"alwayson_outcome": {"outcome": "under way"}, "pool_member_out": looped(proof=PROOF)}, "app2": {}}
    outcomes = member_outcomes(plan(), hostvars)
    assert (outcomes["app1"]["outcome"], outcomes["app2"]["outcome"]) == ("lost", "untouched")
    assert outcomes["app1"]["out"]["results"][0]["proof"] == PROOF


@pytest.mark.parametrize(("serving", "method", "expected"), [
    (["app2"], "half_pool", ["app1"]), (["app1"], "half_pool", ["app2"]), ([], "half_pool", ["app1"]), (["app2"], "rolling", []),
    (["app1", "app2"], "half_pool", []),  # a flip that reached one load balancer, or one that could not be read
])
def test_a_stopped_half_pool_puts_back_who_stands_by_or_who_the_flip_drained_and_nobody_who_serves(serving, method, expected):
    hostvars = {"app1": {"alwayson_outcome": {"outcome": "upgraded"}}, "app2": {}}
    halves = {"halves": [["app1"], ["app2"]]}
    assert hosts_to_restore(plan(method=method, **halves), hostvars, {"anywhere": serving}) == expected


def test_after_a_resumed_flip_the_other_half_is_what_may_be_put_back():
    """The half that a flip brings in was upgraded by the run before: it is not in this run's steps."""
    resumed = plan(method="half_pool", halves=[["app1"], ["app2"]], steps=[[], ["app2"]], pending=["app2"])
    assert hosts_to_restore(resumed, {"app1": {}, "app2": {}}, {"anywhere": ["app1"]}) == ["app2"]


def test_a_run_that_leaves_the_new_release_somewhere_has_not_returned():
    """The first half ran it before this run, which flipped to it and stopped."""
    seen = run(app2={"outcome": "returned", "release_after": "1.0.0", "why": "x"})
    seen["observed"]["members"]["app1"]["release"] = "2.0.0"
    assert make_record(plan(), {**seen, "version_check": None})["outcome"] == "stopped"


@pytest.mark.parametrize(("policy", "rolled", "expected"), [
    ("rollback", False, ["app3", "app1"]), ("rollback", True, []), ("stop", False, []), ("skip", False, []),
])
def test_all_that_run_the_release_return_when_the_policy_says_so(policy, rolled, expected):
    """app3 was upgraded by a run that was interrupted, app4 has nothing to return to."""
    resumed = plan(there=["app3", "app4"], return_to={**dict.fromkeys(("app1", "app2", "app3"), "1.0.0"), "app4": "2.0.0"})
    hostvars = {"app1": {"alwayson_outcome": {"outcome": "upgraded"}}, "app2": {"alwayson_outcome": {"outcome": "returned", "why": "broken"}},
                "app3": {}, "app4": {}}
    assert hosts_to_roll_back(resumed, hostvars, policy, rolled) == expected


@pytest.mark.parametrize(("changes", "app1", "expected"), [
    ({}, {"alwayson_outcome": {"outcome": "upgraded"}}, True),
    ({}, {"alwayson_outcome": {"outcome": "upgraded"}, "rolling_stopped": "aborted"}, False),
    ({}, {"alwayson_outcome": {"outcome": "returned"}}, False),
    ({}, {}, False),
    ({"method": "rolling"}, {"alwayson_outcome": {"outcome": "upgraded"}}, False),
    ({"steps": [[], ["app1", "app2"]]}, {}, True),
    ({"steps": [[], []], "pending": []}, {}, False),
])
def test_the_traffic_moves_only_to_a_half_that_is_all_upgraded(changes, app1, expected):
    assert ready_for_cutover(plan(**changes), {"app1": app1, "app2": {}}) is expected


def test_a_host_that_was_there_already_has_an_outcome_once_it_was_taken_back():
    resumed = plan(there=["app3"], return_to={"app1": "1.0.0", "app2": "1.0.0", "app3": "1.0.0"})
    hostvars = {"app1": {}, "app2": {}, "app3": {"alwayson_outcome": {"outcome": "returned"}}}
    assert {name: left["outcome"] for name, left in member_outcomes(resumed, hostvars).items()} == {
        "app1": "untouched", "app2": "untouched", "app3": "returned"}


def test_what_stopped_the_roll_is_a_problem_unless_a_member_says_it_already():
    hostvars = {"app1": {"alwayson_outcome": {"outcome": "upgraded"}, "rolling_stopped": "aborted"}, "app2": {"rolling_stopped": "aborted"}}
    assert roll_problems(plan(), hostvars) == ["the roll stopped: aborted"]
    assert roll_problems(plan(), {"app1": {}, "app2": {}}) == []
    hostvars["app2"]["alwayson_outcome"] = {"outcome": "returned", "why": "broken"}
    assert roll_problems(plan(), hostvars) == []


def test_the_as_built_record_names_each_member_and_its_release():
    given = run(app1=upgraded(10.0, 14.0), app2=upgraded(22.0, 27.0))
    built = as_built(plan(), {"backend": "app"}, given["observed"], make_record(plan(), given))
    assert built["release"] == "2.0.0" and {member["release"] for member in built["members"].values()} == {"2.0.0"} and len(built["members"]) == 2
