# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report with a figure that cannot be is never ok, and says which figure it is."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import summarise, terminal_summary
from sample_run import T0, sample_run

LATER = T0 + 3600
CLOCKS = "Times of this report cannot be true: compare the clocks"


def changed(*path: object, to: object) -> dict:
    """A good run in which one figure is another one; a callable makes it from the figure that was there."""
    run = sample_run()
    part = run
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = to(part.get(path[-1])) if callable(to) else to
    return run


@pytest.mark.parametrize("method", ["half_pool", "rolling"])
@pytest.mark.parametrize("outcome", ["upgraded", "returned", "stopped"])
def test_real_runs_have_no_such_figure(method, outcome):
    run = sample_run(method, outcome=outcome)
    report = summarise(run, now=run["finished"])
    assert report["ok"] is (outcome == "upgraded") and len(report["problems"]) == len(run["problems"]), report["problems"]


def test_clocks_that_are_a_few_seconds_apart_spoil_nothing():
    run = sample_run()
    for stage in run["members"]["app1"]["stages"]:
        stage.update(started=stage["started"] - 40, finished=stage["finished"] - 40)
    assert summarise(run, now=run["finished"] - 20)["ok"] is True


@pytest.mark.parametrize(("run", "words"), [
    (changed("finished", to=T0 - 5), "the run ends 5.0 s before it begins"),
    (changed("members", "app1", "in_at", to=True), "app1 was upgraded, and when it came back into traffic is not known"),
    (changed("members", "app1", "in_at", to=1.0), "before it begins"),
    (changed("members", "app1", "seconds_out", to=-57 * 365 * 86400), "app1 was out of traffic for -1,797,552,000 s"),
    (changed("members", "app2", "out_at", to=None), "app2 was upgraded, and when it left traffic is not known"),
    (changed("members", "app2", "in_at", to=lambda at: at + 7200), "app2's time out of traffic ends at"),
    (changed("members", "app2", "out_at", to=lambda at: at - 7200), "app2's time out of traffic begins at"),
    (changed("members", "app3", "stages", 1, "finished", to=lambda at: at - 30), "app3's release ends"),
    (changed("members", "app3", "release_after", to="1.0.0"), "app3 was upgraded to 2.0.0, and runs 1.0.0"),
    (changed("phases", 4, "started", to=lambda at: at - 8), "phase roll begins before phase prepare ends"),
    (changed("phases", 5, "started", to=T0), "phase open begins before phase roll begins"),
    (changed("phases", 2, "finished", to=lambda at: at - 2), "phase guard ends 1.1 s before it begins"),
    (changed("probe", "finished", to=T0), "the measurement ends"),
    (changed("probe", "requests_failed", to=1_000_000), "which cannot be"),
    (changed("probe", "requests_failed", to=-1), "which cannot be"),
    (changed("probe", "by_kind", "new", "failed", to=1_000_000), "requests of the kind new: 1,000,000 of"),
    (changed("probe", "latency_ms", "p99", to=-3.0), "latency_ms.p99 is -3, which cannot be"),
    (changed("probe", "live_min", to=-1), "live_min is -1, which cannot be"),
    (changed("databases", "tenant_a", "backup", "seconds_restore", to=-4), "databases.tenant_a.backup.seconds_restore is -4, which cannot be"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_figure_that_cannot_be_is_a_problem(run, words):
    report = summarise(run, now=LATER)
    assert report["ok"] is False and report["tone"] == "bad"
    assert [problem for problem in report["problems"] if words in problem], report["problems"]
    assert "✔" not in terminal_summary(report)


def test_nothing_can_have_happened_after_now():
    run = sample_run()
    report = summarise(run, now=run["started"] - 7200)
    assert report["ok"] is False and any("which is in the future" in problem for problem in report["problems"])
    assert any(problem.startswith(CLOCKS) for problem in report["problems"])
    assert summarise(run)["ok"] is True, "an old record is read without a clock"


def test_the_report_of_a_core_that_turns_finished_into_a_boolean_is_not_ok():
    run = sample_run()
    for member in run["members"].values():
        member.update(in_at=True, seconds_out=True - member["out_at"])
        for stage in member["stages"]:
            stage["finished"] = True
    report = summarise(run, now=LATER)
    assert report["ok"] is False and sum("is not known" in problem for problem in report["problems"]) == 6


def test_a_run_that_failed_need_not_know_everything():
    run = sample_run(outcome="stopped")
    assert not [problem for problem in summarise(run, now=LATER)["problems"] if "not known" in problem]
