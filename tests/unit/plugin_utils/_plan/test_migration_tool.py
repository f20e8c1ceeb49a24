# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A team's migration tool in the plan, the way back that it takes away, and the report."""

from __future__ import annotations

import pytest
from unit.plugin_utils._plan.test_plan import NAMES, fleet, service

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.migration_tool import tool_hosts, tool_outcome
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.text import plan_text
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.page import render
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import summarise

ROOT = "/srv/app"
NEW = f"{ROOT}/releases/2.0.0"
APPLIED, UNNEEDED = {"status": "applied"}, {"status": "unneeded"}


def seen(**changes):
    return {"migration_tool": {"host": "app1", "root": ROOT, "command": [f"{NEW}/bin/alembic", "upgrade", "head"], "directory": "", "absent": [],
                               "pending": True, "problem": "", "releases": {}, **changes}}


def with_tool(**changes):
    return service(migration_command="x", **changes)


def planned(observed, **changes):
    return make_plan(with_tool(**changes), {**fleet(), **observed})


def back(releases, **changes):
    """The plan of a rollback from 2.0.0."""
    observed = fleet("2.0.0", **{name: {"previous": "1.0.0", "available": {"1.0.0": {}, "2.0.0": {}}} for name in NAMES})
    return make_plan(with_tool(direction="rollback", release="1.0.0", **changes), {**observed, **seen(releases=releases)})


def test_the_plan_shows_what_runs_where_and_whether_anything_is_left():
    text = "\n".join(plan_text(planned(seen())))
    assert f"prepare  2.0.0 {NEW}/bin/alembic upgrade head on app1: something is left to apply" in text
    assert "prepare: upgrade_migration_command migrates the databases, and it is unknown whether 1.0.0 works with them" in text
    assert "whether anything is left is known when the release is staged" in "\n".join(plan_text(planned(seen(pending=None))))


@pytest.mark.parametrize(("observed", "changes"), [(seen(pending=False), {}), (seen(), {"migration_keeps_previous": "true"}), ({}, {})])
def test_the_way_back_stays_open_where_nothing_takes_it(observed, changes):
    plan = planned(observed, on_failure="rollback", **changes)
    assert plan["refusals"] == [] and "alwayson.upgrade.rollback works" in "\n".join(plan_text(plan))


def test_rolling_all_back_is_refused_when_the_tool_takes_the_way_back():
    refusals = planned(seen(), on_failure="rollback")["refusals"]
    assert any("upgrade_on_failure is rollback, and it is unknown whether" in sentence for sentence in refusals)


@pytest.mark.parametrize(("changes", "words"), [
    ({"problem": "torn"}, "cannot be read on app1: torn"),
    ({"absent": ["/usr/bin/flyway"]}, "/usr/bin/flyway is not there"),
    ({"command": [f"{ROOT}/current/bin/alembic"]}, f"names {ROOT}/current/bin/alembic, which is still the previous release"),
    ({"directory": f"{ROOT}/current"}, f"name {ROOT}/releases/{{{{ upgrade_release }}}}"),
])
def test_a_tool_that_cannot_be_right_is_refused(changes, words):
    assert [sentence for sentence in planned(seen(**changes))["refusals"] if words in sentence]


def test_what_comes_with_the_release_need_not_be_there_yet():
    assert planned(seen(absent=[f"{NEW}/bin/alembic", NEW], pending=None))["refusals"] == []


@pytest.mark.parametrize(("releases", "words"), [
    ({"2.0.0": APPLIED}, "has migrated the databases for 2.0.0, and a rollback migrates nothing back"),
    ({"2.0.0": {"status": "begun"}}, "for 2.0.0"),
    ({"1.5.0": APPLIED, "2.0.0": UNNEEDED}, "for 1.5.0"),
    ({}, "whether upgrade_migration_command has migrated the databases for 2.0.0 is not known on app1"),
    ({"1.0.0": APPLIED}, "is not known on app1"),
])
def test_a_rollback_behind_a_migration_is_refused_and_names_the_consequence(releases, words):
    plan = back(releases)
    assert plan["migration_tool"] is None, "a rollback never runs it"
    assert [sentence for sentence in plan["refusals"] if words in sentence and "-e upgrade_migration_keeps_previous=true" in sentence]
    assert back(releases, migration_keeps_previous=True)["refusals"] == []


def test_a_rollback_goes_through_where_nothing_was_to_be_migrated():
    assert back({"1.0.0": APPLIED, "2.0.0": UNNEEDED})["refusals"] == []


def test_the_host_of_the_tool_is_the_first_member_that_answers():
    observed = fleet(app1={"lost": "no route"})
    assert tool_hosts(with_tool(), observed) == ["app2"] and tool_hosts(with_tool(migration_host="lb1"), observed) == ["lb1"]
    assert tool_hosts(service(), observed) == [] and tool_hosts(with_tool(direction="patch"), observed) == []


@pytest.mark.parametrize(("given", "words"), [
    ({"upgrade_migration_command": "x", "upgrade_migration_host": "elsewhere"}, "'elsewhere', which is no host of the inventory"),
    ({"upgrade_migration_command": "x", "upgrade_migration_timeout": "soon"}, "upgrade_migration_timeout is 'soon'"),
    ({"upgrade_migration_status_command": "x"}, "upgrade_migration_status_command needs upgrade_migration_command"),
])
def test_a_wrong_description_of_the_tool_is_named(given, words):
    assert [sentence for sentence in describe(given, list(given), {"app": NAMES, "load_balancers": ["lb1"]})["problems"] if words in sentence]


def test_the_report_says_how_the_tool_ended():
    plan = planned(seen())
    result = {"status": "applied", "exit_status": 0, "started_at": 10.0, "finished_at": 12.5, "tries": 1, "output": ["Running upgrade a -> b"]}
    good = tool_outcome(plan, {"app1": {"alwayson_migration_tool": result}})
    bad = tool_outcome(plan, {"app1": {"alwayson_migration_tool": {"failed": True, "msg": "alembic ended with 3", "exit_status": 3, "started_at": 10.0}}})
    none = tool_outcome(plan, {"app1": {}})
    assert [outcome["status"] for outcome in (good, bad, none)] == ["applied", "failed", "not run"]
    report = summarise({"migration_tool": good})
    assert (report["migration_tool"]["seconds"], report["migration_tool"]["exit_status"]) == (2.5, 0)
    assert "Running upgrade a -&gt; b" in render(report) and "alembic ended with 3" in render(summarise({"migration_tool": bad}))
    assert "Migration tool" not in render(summarise({}))
