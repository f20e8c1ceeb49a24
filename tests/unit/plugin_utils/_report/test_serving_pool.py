# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report shows of blue-green, of canaries, of attempts that failed and of members that did not move."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.page import render
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import summarise, terminal_summary
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.record import make_record
from sample_run import NEW, OLD, sample_run

VERDICT = {"verdict": "good", "reasons": [], "canary": {"requests": 412, "errors": 0, "error_percent": 0.0, "response_ms": 4.1},
           "others": {"requests": 2056, "errors": 1, "error_percent": 0.05, "response_ms": 4.0}}


def blue_green() -> dict:
    """Green is built without traffic, and gets all of it; then a load balancer sees two of green's members only."""
    run = sample_run()
    moved = run["phases"][4]["finished"] - 1
    for number, member in enumerate(run["members"].values()):
        member["pool"] = "blue" if number % 2 else "green"
        if member["pool"] == "blue":
            member.update(outcome="untouched", release_after=OLD, out_at=None, in_at=None, seconds_out=None, stages=[], drain_proof={})
    probe = run["probe"]
    probe["capacity"] = [{"t": row["t"], "lb1 blue": 3, "lb1 green": 0 if row["t"] < moved else 2} for row in probe["capacity"]]
    probe.update(capacity_pools={"lb1 blue": "blue", "lb1 green": "green"}, live_min=0)
    return {**run, "method": "blue_green", "pool": "green", "pool_size": 3, "cutover_from": "blue", "cutover_to": "green", "moved_at": moved,
            "limits": {"max_unavailable": 3, "min_live": 0}, "live_floor": 0, "serving": [{"pool": "blue", "since": None}, {"pool": "green", "since": moved}]}


def test_capacity_of_blue_green_is_that_of_the_pool_that_serves():
    report = summarise(blue_green())
    assert report["ok"] is True and report["problems"] == []
    assert (report["live_min"], report["live_floor"]) == (2, None), "green without traffic has none live, and nobody notices"
    assert {tuple(row["live"]) for row in report["capacity"]} == {("lb1 blue",), ("lb1 green",)}
    assert "All 3 members of green run 2.0.0. All traffic is on green; blue stands by on 1.0.0 for the return." in report["subline"]
    assert "3 upgraded, 3 of the other pool stand by" in terminal_summary(report, 100)


def test_the_pictures_show_both_pools_and_mark_the_cutover():
    page = render(summarise(blue_green()))
    assert page.count(">cutover to green</text>") == 8, "four pictures, each twice"
    assert page.count("no traffic, on 1.0.0") > 6 and page.count(">had none<") == 3
    assert ">blue</text>" in page and ">green</text>" in page
    assert "the flip" not in page and ">flip</text>" not in page


def test_a_half_pool_marks_its_flip_and_a_rolling_run_marks_nothing():
    run = sample_run()
    assert render(summarise({**run, "moved_at": run["members"]["app1"]["in_at"]})).count(">flip</text>") == 8
    assert 'class="moved"' not in render(summarise(sample_run("rolling")))


def test_what_decided_about_a_canary_is_shown():
    run = sample_run("rolling")
    run["members"]["app1"]["verdicts"] = [VERDICT]
    report = summarise(run)
    reported = terminal_summary(report, 120)
    assert "app1 good: 0 of 412 requests failed, 4.1 ms; others 1 of 2,056 requests failed, 4 ms" in reported
    assert "Canary verdicts" in render(report)
    run["members"]["app1"]["verdicts"] = [{**VERDICT, "verdict": "bad", "reasons": ["3 % of its requests failed"]}]
    assert "3 % of its requests failed" in render(summarise(run))


def test_members_that_did_not_move_are_named():
    report = summarise(sample_run(outcome="returned"))
    assert "1 returned (app1), 5 not touched (app2, app3, app4, app5 and 1 more)" in terminal_summary(report, 120)
    assert "app2, app3, app4, app5 and 1 more: not touched." in render(report)


def test_an_attempt_that_failed_stays_in_the_record():
    plan = {"service": "shop", "release_from": OLD, "release_to": NEW, "cutover": None, "method": "rolling", "direction": "upgrade", "pool_size": 1,
            "pending": ["app1"], "steps": [["app1"], []], "limits": {"max_unavailable": 1, "min_live": 0}, "nothing_to_do": False}

    def took(began: float, ended: float) -> dict:
        return {"results": [{"started_at": began, "finished_at": ended}]}

    attempt = {"out": took(10, 11), "release": took(2, 3), "smoke": took(13, 15), "in": took(15, 16)}
    member = {"outcome": "returned", "why": "a verdict of no", "release_after": OLD, "attempt": attempt, "out": took(40, 41), "release": took(41, 42),
              "in": took(43, 44), "verdict": {"results": [{**VERDICT, "verdict": "bad", "failed": True}]}}
    run = {"started": 0.0, "finished": 60.0, "phases": {"roll": {"started": 5.0}, "account": {"started": 50.0}}, "members": {"app1": member},
           "observed": {"members": {"app1": {"release": OLD}}, "load_balancers": {}}}
    record = make_record(plan, run)
    reported = record["members"]["app1"]
    assert [stage["name"] for stage in reported["stages"]] == ["drain", "smoke test", "return", "drain", f"return to {OLD}", "return"]
    assert (reported["out_at"], reported["in_at"]) == (10, 44) and reported["verdicts"][0]["verdict"] == "bad"
    assert [phase["finished"] for phase in record["phases"]] == [50.0, 60.0], "a phase that broke off ends where the next one begins"
    assert summarise(record, now=61.0)["ok"] is False


def test_the_record_of_blue_green_has_both_pools():
    plan = {"service": "shop", "release_from": OLD, "release_to": NEW, "cutover": {"from": "blue", "to": "green"}, "method": "blue_green",
            "direction": "upgrade", "pool_size": 1, "pending": ["app2"], "steps": [["app2"], []], "limits": {"max_unavailable": 1, "min_live": 0},
            "nothing_to_do": False}
    everybody = {"app1": {"release": OLD, "pool": "blue"}, "app2": {"release": OLD, "pool": "green"}}
    run = {"started": 0.0, "finished": 60.0, "phases": {}, "members": {}, "cutover": [{"started_at": 20.0, "finished_at": 21.0}],
           "observed": {"members": {"app2": everybody["app2"]}, "everybody": everybody, "load_balancers": {}}}
    record = make_record(plan, run)
    assert {name: member["pool"] for name, member in record["members"].items()} == {"app1": "blue", "app2": "green"}
    assert record["serving"] == [{"pool": "blue", "since": None}, {"pool": "green", "since": 21.0}] and record["moved_at"] == 21.0
    stopped = make_record(plan, {**run, "cutover": []})
    assert stopped["serving"] == [{"pool": "blue", "since": None}] and stopped["moved_at"] is None
