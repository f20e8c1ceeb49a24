# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: its figures, its verdict, and that neither a missing part nor a hostile string spoils it."""

from __future__ import annotations

import copy
import json
import random
import re
from xml.etree import ElementTree

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.facts import plain
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.floor import duration_floor, outage
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.page import render
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import ReportError, summarise, terminal_summary
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._text.figures import (
    listed, milliseconds, moment, natural, offset, percent, plural, seconds, size,
)
from sample_run import NEW, OLD, sample_run

REQUIRED = [
    "release_from", "release_to", "method", "requests_scheduled", "requests_failed", "failures_by_class", "version_regressions",
    "latency_ms", "void_windows", "live_min", "live_floor", "members", "databases", "duration_s", "duration_floor_s", "ok",
]
HOSTILE = "</title></style></svg><script>alert(1)</script><img src=x onerror=alert(1)> \"'&\x00\x1b[31m\u202e\ud800{{ 7*7 }}"


def page(report: dict) -> ElementTree.Element:
    """The page as a tree; parsing it proves that it is well-formed."""
    return ElementTree.fromstring(render(report).split("\n", 1)[1])


def words(report: dict) -> str:
    return " ".join(text for text in page(report).find("body").itertext())


# -- the floor of the duration

def member(o: float, step: int | None = None) -> dict:
    return {"step": step, "seconds_out": o, "stages": []}


@pytest.mark.parametrize(
    ("outages", "at_once", "expected"),
    [([10, 10, 10, 10], 2, 20), ([10, 1, 1], 2, 10), ([4, 5, 6], 1, 15), ([4, 5, 6], 10, 6), ([4, 5, 6], None, 6), ([], 2, None), ([None, 0], 2, None)],
)
def test_floor_of_a_rolling_run_is_the_larger_of_share_and_longest(outages, at_once, expected):
    assert duration_floor([member(o) for o in outages], method="rolling", at_once=at_once) == expected


def test_floor_of_half_pool_is_the_longest_of_each_half():
    members = [member(5, 0), member(7, 0), member(3, 1), member(4, 1), member(0, 1)]
    assert duration_floor(members, method="half_pool", at_once=3) == 11


def test_waiting_for_the_flip_is_no_outage():
    edges = (("drain", 0, 2), ("waiting for the flip", 2, 30), ("return", 30, 31))
    stages = [{"name": name, "started": started, "finished": finished} for name, started, finished in edges]
    assert outage({"seconds_out": 31, "stages": stages}) == 3
    assert outage({"seconds_out": 31, "stages": []}) == 31
    assert outage({"seconds_out": None, "stages": [{"name": "drain", "started": 1, "finished": None}]}) is None


def test_the_sample_runs_have_the_floor_of_the_formula():
    half, rolling = summarise(sample_run()), summarise(sample_run("rolling"))
    work = {name: sum(s["finished"] - s["started"] for s in facts["stages"]) for name, facts in sample_run()["members"].items()}
    assert half["duration_floor_s"] == pytest.approx(max(work[f"app{n}"] for n in (1, 2, 3)) + max(work[f"app{n}"] for n in (4, 5, 6)), abs=0.01)
    outs = [facts["seconds_out"] for facts in sample_run("rolling")["members"].values()]
    assert rolling["duration_floor_s"] == pytest.approx(sum(outs) / 2, abs=0.01)
    assert half["duration_floor_s"] < half["roll_s"] and rolling["duration_floor_s"] < rolling["roll_s"]


def test_max_unavailable_may_be_a_percentage():
    run = sample_run("rolling")
    run["limits"]["max_unavailable"] = "50%"
    assert summarise(run)["duration_floor_s"] == pytest.approx(sum(m["seconds_out"] for m in run["members"].values()) / 3, abs=0.01)
    run["limits"]["max_unavailable"] = "many"
    with pytest.raises(ReportError, match=r"limits.max_unavailable is 'many'"):
        summarise(run)


# -- figures and verdict

@pytest.mark.parametrize("method", ["half_pool", "rolling"])
def test_a_good_run(method):
    run = sample_run(method)
    report = summarise(run)
    assert not set(REQUIRED) - set(report)
    assert (report["ok"], report["problems"], report["not_proven"], report["tone"]) == (True, [], [], "good")
    assert report["headline"] == f"Nobody noticed: 0 of {run['probe']['requests_scheduled']:,} requests failed"
    assert report["requests_scheduled"] == sum(row["scheduled"] for row in run["probe"]["series"])
    assert report["duration_s"] == pytest.approx(run["finished"] - run["started"], abs=0.001)
    assert report["members"]["app1"]["drain_proof"]["lb2"]["sessions"] == 0
    assert len(report["series"]) == len(run["probe"]["series"]) and len(report["capacity"]) == len(run["probe"]["capacity"])
    assert report["databases"]["tenant_a"]["backup_proven"] is True and report["databases"]["tenant_a"]["migrations_applied"] == 1
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_failed_requests_are_reported_with_their_classes():
    run = sample_run()
    run["probe"].update(requests_failed=37, failures_by_class={"timeout": 11, "http_5xx": 26})
    report = summarise(run)
    assert (report["ok"], report["tone"]) == (False, "bad")
    assert report["headline"] == f"37 of {run['probe']['requests_scheduled']:,} requests failed"
    assert report["problems"] == [f"37 of {run['probe']['requests_scheduled']:,} requests failed: 26 http_5xx and 11 timeout."]


@pytest.mark.parametrize(("budget", "ok"), [(None, False), (0, False), (36, False), (37, True), ("0.1%", False), ("50%", True)])
def test_failed_requests_within_the_error_budget_are_reported_and_no_problem(budget, ok):
    run = sample_run()
    run["probe"].update(requests_failed=37, failures_by_class={"timeout": 11, "http_5xx": 26})
    run["limits"]["max_failed"] = budget
    report = summarise(run)
    assert (report["ok"], bool(report["problems"]), report["next_command"] is None) == (ok, not ok, ok)
    assert report["headline"].startswith("37 of ")


@pytest.mark.parametrize(("unsent", "until", "limit", "ok"), [
    (0, 0.0, None, True), (0.05, 0.0, None, True), (0.2, 0.0, None, False), (0.0, 60.0, None, False), (0.2, 0.0, "25%", True), (0.01, 0.0, 0, False)])
def test_too_little_that_was_measured_is_never_ok(unsent, until, limit, ok):
    """Requests that could not be sent, and those that a prober that had gone did not send."""
    run = sample_run()
    run["probe"]["requests_unmeasured"] = int(unsent * run["probe"]["requests_scheduled"])
    run["limits"]["max_unmeasured"] = limit
    run["probe_until"] = run["probe"]["finished"] + until
    report = summarise(run)
    assert report["ok"] is ok
    if not ok:
        assert "could not be measured" in report["headline"] and report["tone"] == "bad"


def test_a_prober_that_did_not_reach_its_end_is_never_ok_and_without_any_figure_neither():
    for probe in ({"problem": "the probe ended without a result"}, {**sample_run()["probe"], "problem": "the probe ended without a result"}):
        report = summarise({**sample_run(), "probe": probe})
        assert not report["ok"] and report["problems"][0] == "The measurement is not complete: the probe ended without a result."


def test_classes_without_a_failure_are_not_told():
    run = sample_run()
    run["probe"]["failures_by_class"] = {"timeout": 0, "http_5xx": 0}
    report = summarise(run)
    assert report["ok"] and report["failures_by_class"] == {"timeout": 0, "http_5xx": 0}
    assert "timeout" not in words(report) and "timeout" not in terminal_summary(report)


def test_only_whole_work_is_measured_against_the_least_time():
    for run, compared in ((sample_run(), True), (sample_run(outcome="returned"), False), (sample_run("rolling", outcome="stopped"), False)):
        report = summarise(run)
        assert report["duration_floor_s"] > 0
        assert ("least possible" in terminal_summary(report)) is ("least possible" in words(report)) is compared


def test_a_reason_of_several_lines_keeps_them():
    run = sample_run(outcome="returned")
    run["problems"], run["members"]["app1"]["why"] = ["first line\nsecond line"], "first line\nsecond line"
    report = summarise(run)
    assert report["problems"] == ["first line\nsecond line."]
    assert "problem         first line\n                  second line." in terminal_summary(report)
    assert words(report).count("second line") == 1, "the members' table shows the first line only"


def test_going_back_to_the_old_release_breaks_half_pool_only():
    for method, ok in (("half_pool", False), ("rolling", True)):
        run = sample_run(method)
        run["probe"]["version_regressions"] = 3
        report = summarise(run)
        assert report["ok"] is ok
        assert any("3 clients saw" in problem for problem in report["problems"]) is not ok
        assert not report["headline"].startswith("Nobody noticed")


def test_capacity_under_the_floor():
    run = sample_run()
    run["probe"]["live_min"] = 2
    report = summarise(run)
    assert (report["ok"], report["problems"]) == (False, ["Live capacity fell to 2, under the floor of 3."])
    run["probe"]["capacity_unreadable"] = {"lb1": 0, "lb2": 3}
    assert summarise(run)["not_proven"] == ["Live capacity could not always be read: lb2 in 3 samples."]
    del run["probe"]["live_min"]
    run["probe"]["capacity"][5]["lb2"] = 1
    assert summarise(run)["live_min"] == 1


def test_void_windows_do_not_pass_as_proof():
    run = sample_run()
    run["probe"]["void_windows"] = [{"from": run["started"] + 5, "to": run["started"] + 8, "send_lag_p99_ms": 240}]
    report = summarise(run)
    assert report["ok"] and report["not_proven"] == [
        "The prober itself was late in 1 window (3.0 s together): how long answers took in that time is not known."]
    assert not report["headline"].startswith("Nobody")


def test_a_returned_release_and_a_lost_member():
    returned, stopped = summarise(sample_run(outcome="returned")), summarise(sample_run("rolling", outcome="stopped"))
    assert returned["headline"].startswith(f"Returned to {OLD}, and nobody noticed: 0 of ") and returned["tone"] == "warning"
    assert stopped["headline"].startswith("Stopped, and nobody noticed: 0 of ") and stopped["tone"] == "bad"
    assert "app1 is out of traffic." in stopped["subline"] and f"0 of 6 members run {NEW}." in stopped["subline"]
    assert not returned["ok"] and not stopped["ok"]
    assert "ansible-playbook alwayson.upgrade.status" in words(stopped)


def test_nothing_to_do():
    run = sample_run()
    for facts in run["members"].values():
        facts.update(outcome="untouched", stages=[], out_at=None, in_at=None, seconds_out=None, release_before=NEW)
    run["probe"] = None
    report = summarise(run)
    assert report["ok"] and report["headline"] == f"Nothing to do: 6 members already on {NEW}"
    assert report["duration_floor_s"] is None


def test_a_release_that_a_command_told_is_not_proven_by_answers():
    run = {**sample_run(), "version_check": [{"name": "app1 by its command", "command": ["shop", "--version"]}, {"name": "app1 through lb1", "command": None}]}
    assert summarise(run)["not_proven"] == ["The release of 1 member was read by a command, not from an answer that users get."]


def test_proofs_that_are_missing_are_named():
    run = sample_run()
    run["members"]["app2"]["drain_proof"] = {}
    run["databases"]["tenant_b"]["backup"]["proven"] = False
    run["databases"]["tenant_a"]["backup_after"]["proven"] = False
    reported = summarise(run)["not_proven"]
    assert reported == [
        "No load balancer proved the drain of app2.",
        "The backup of tenant_b was not proven by a restore.",
        "The backup of tenant_a after the upgrade was not proven by a restore.",
    ]


# -- missing parts

def test_an_empty_record_claims_nothing():
    report = summarise({})
    assert not set(REQUIRED) - set(report)
    assert report["ok"] is False and report["problems"] == ["The run did not succeed and named no reason."]
    assert [report[name] for name in ("requests_scheduled", "requests_failed", "live_min", "duration_s", "duration_floor_s")] == [None] * 5
    assert report["headline"] == "The run did not succeed; availability was not measured"
    assert len(report["not_proven"]) == 3
    shown = words(report)
    assert shown.count("not measured") >= 4 and "0 of" not in shown
    assert "not measured" in terminal_summary(report)


@pytest.mark.parametrize("part", sorted(sample_run()))
def test_every_part_may_be_missing(part):
    run = sample_run()
    del run[part]
    page(summarise(run))
    run[part] = None
    page(summarise(run))


def test_a_prober_that_saw_no_release_does_not_say_that_no_client_went_back():
    run = sample_run()
    run["probe"]["versions"] = {}
    report = summarise(run)
    assert report["version_regressions"] is None and report["headline"] == f"0 of {run['probe']['requests_scheduled']:,} requests failed"
    assert sum("no answer to the prober contained its release" in words for words in report["not_proven"]) == 1


def test_without_a_prober_the_verdict_stands_on_the_run_and_says_so():
    run = sample_run()
    run["probe"] = None
    report = summarise(run)
    assert report["ok"] and report["tone"] == "warning"
    assert report["headline"] == f"Upgraded to {NEW}; whether users noticed was not measured"
    assert "Availability was not measured: no prober's result was given." in report["not_proven"]
    assert "Latency" not in "".join(node.text for node in page(report).iter("h2"))


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [("members", ["app1"], "members of the run record must be a mapping, not list"), ("phases", {}, "phases of the run record must be a list"),
     ("probe", "none", "probe of the run record must be a mapping, not str"), ("databases", {"a": 1}, "databases.a of the run record")],
)
def test_a_part_of_the_wrong_kind_is_named(part, value, named):
    with pytest.raises(ReportError, match=named):
        summarise({part: value})
    with pytest.raises(ReportError):
        summarise(["no", "record"])


# -- junk and hostility

JUNK = (None, "", -1, 0, 1e18, float("nan"), float("inf"), 10**400, "x" * 300, [], {}, [1], {"a": 1}, True, "2.5")


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The paths of a record's parts; of a list its first two rows."""
    children = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, child in children for place in places(child, (*path, key)))]


def test_junk_anywhere_is_reported_on_or_refused_but_never_breaks_the_page():
    chance, refused, shown = random.Random(11), 0, 0
    sample = sample_run(outcome="returned")
    spots = places(sample)
    for _try in range(150):
        run = copy.deepcopy(sample)
        *way, last = chance.choice(spots)
        node = run
        for key in way:
            node = node[key]
        node[last] = chance.choice(JUNK)
        try:
            report = summarise(run)
        except ReportError:
            refused += 1
            continue
        json.dumps(report, allow_nan=False)
        page(report)
        terminal_summary(report)
        shown += 1
    assert shown > 60 and refused > 3, "the junk did not reach the report"


def poisoned(value: object) -> object:
    """The same record with a hostile string in front of every text and every name."""
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return HOSTILE + value if isinstance(value, str) else value


def test_hostile_strings_stay_inert():
    run = poisoned(sample_run(outcome="returned"))
    run.update(method="half_pool", problems=[HOSTILE])
    for part in ("members", "databases"):
        run[part] = {HOSTILE + name: facts for name, facts in run[part].items()}
    run["probe"]["by_kind"] = {HOSTILE: run["probe"]["by_kind"]["slow"]}
    run["probe"]["failures_by_class"] = {HOSTILE: 1}
    run["probe"]["series"][3]["versions"] = {HOSTILE: 200}
    report = summarise(run)
    html = render(report)
    html.encode("utf-8")
    tree = page(report)
    tags = {node.tag.rsplit("}", 1)[-1] for node in tree.iter()}
    assert not tags & {"script", "img", "iframe", "object", "link", "a", "foreignObject"}
    assert not [name for node in tree.iter() for name in node.attrib if name.startswith("on") or name.endswith(("href", "src"))]
    assert "<script>alert(1)</script>" in words(report), "the hostile text itself must be shown, as text"
    text = terminal_summary(report, 60)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", text) and "alert(1)" in text


def test_the_page_loads_nothing():
    html = render(summarise(sample_run()))
    policies = [node.get("content") for node in page(summarise(sample_run())).iter("meta") if node.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|@font-face|<script|javascript:", html)
    assert re.findall(r"url\([^#)]", html) == []


def test_each_member_and_database_has_its_row():
    run = sample_run(members=9, databases=3)
    tree = page(summarise(run))
    headings = [node.text for node in tree.iter("th") if node.get("scope") == "row"]
    assert [name for name in headings if name.startswith("app")] == [f"app{n}" for n in range(1, 10)]
    assert [name for name in headings if name.startswith("tenant")] == ["tenant_a", "tenant_b", "tenant_c"]
    cells = ["".join(node.itertext()) for node in tree.iter("td")]
    assert sum(cell.startswith("✓ 0 in flight") for cell in cells) == 9 * 2
    assert sum(cell.startswith("✓ proven by a restore") for cell in cells) == 3 * 2


def test_a_drain_that_left_requests_in_flight_is_not_shown_as_proven():
    run = sample_run()
    run["members"]["app4"]["drain_proof"]["lb2"]["sessions"] = 2
    cells = ["".join(node.itertext()) for node in page(summarise(run)).iter("td")]
    assert sum(cell.startswith("✕ 2 in flight, 0 queued") for cell in cells) == 1


def test_many_load_balancers_share_a_column():
    run = sample_run()
    for facts in run["members"].values():
        facts["drain_proof"] = {f"lb{n}": {"sessions": 0, "queued": 0} for n in range(1, 6)}
    del run["members"]["app3"]["drain_proof"]["lb5"]
    cells = ["".join(node.itertext()) for node in page(summarise(run)).iter("td")]
    assert cells.count("5 of 5 load balancers") == 5
    assert cells.count("4 of 5 load balancersnot by lb5") == 1


# -- the terminal

@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_terminal_lines_fit(width):
    for run in (sample_run(), sample_run("rolling", outcome="stopped"), {}):
        lines = terminal_summary(summarise(run), width).split("\n")
        assert len(lines) > 6 and max(map(len, lines)) <= max(40, width)
        assert not any("\x1b" in line for line in lines)


def test_terminal_tells_the_answer_first():
    lines = terminal_summary(summarise(sample_run())).split("\n")
    assert lines[0].startswith(f"shop {OLD} → {NEW}, half-pool, ") and lines[1].startswith("✔ Nobody noticed: 0 of ")
    text = "\n".join(lines)
    for figure in ("61 ms, slow on purpose 846 ms", "lowest 3 of 6, floor 3", "least possible", "2 of 2 backups proven by a restore, 2 migrations applied"):
        assert figure in text
    assert "█" in text and "▁" in text
    assert "\x1b[32m✔" in terminal_summary(summarise(sample_run()), colour=True)


def test_terminal_names_problems_and_the_next_command():
    text = terminal_summary(summarise(sample_run(outcome="returned")))
    assert "problem" in text and "smoke test 'version'" in text and "ansible-playbook alwayson.upgrade.status" in text


# -- words

def test_wording():
    assert [milliseconds(value) for value in (0.84, 1.0, 34.2, 1240, 12_500, None)] == ["0.8 ms", "1 ms", "34 ms", "1.24 s", "12 s", "unknown"]
    assert [seconds(value) for value in (0.42, 8.0, 99.4, 200, 3600, 7500)] == ["0.4 s", "8.0 s", "99 s", "3 min 20 s", "1 h", "2 h 5 min"]
    assert [offset(value) for value in (0, 65, -3, 3600 + 420)] == ["0:00", "1:05", "-0:03", "1:07:00"] and offset(65, hours=True) == "0:01:05"
    assert [size(value) for value in (812, 48_211, 1_200_000_000)] == ["812 B", "48.2 KB", "1.2 GB"]
    assert percent(3 / 13_200) == "0.023 %" and plural(1, "request") == "1 request" and plural(13_200, "request") == "13,200 requests"
    assert listed(["a", "b", "c"]) == "a, b and c" and listed(list("abcdef")) == "a, b, c, d and 2 more"
    assert moment(1_772_719_331.0) == "5 March 2026, 14:02:11 UTC" and moment(1e18) == "unknown"
    assert sorted(["app10", "app2", "db"], key=natural) == ["app2", "app10", "db"]


def test_plain_data_out_of_special_containers():
    class Tagged(str):
        pass

    class Lazy(dict):
        pass

    copied = plain(Lazy({Tagged("a"): (Tagged("b"), 1, float("nan"))}))
    assert copied == {"a": ["b", 1, None]}
    assert {type(copied), type(next(iter(copied))), type(copied["a"][0])} == {dict, str}
