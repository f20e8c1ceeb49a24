# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.outcomes import (
    failure_text, hosts_to_prepare, kept_problems, play_hosts, preparation_problems, probe_figures, roll_is_complete,
)


@pytest.mark.parametrize(("hosts", "pattern"), [(["app1", "app2"], ["app1", "app2"]), ([], ["localhost", "!localhost"])])
def test_a_play_without_hosts_runs_on_none(hosts, pattern):
    assert play_hosts(hosts) == pattern


@pytest.mark.parametrize(("result", "words"), [
    ({"msg": "no"}, "no"),
    ({"msg": "One or more items failed", "results": [{"failed": True, "msg": "lb1 is gone"}, {"msg": "fine"}, {"unreachable": True, "msg": "no route"}]},
     "lb1 is gone; no route"),
    ({"msg": "One or more items failed", "results": [{"failed": True, "msg": "the same"}] * 2}, "the same"),
    ({"msg": "the loop itself", "results": []}, "the loop itself"),
    ({}, "failed"),
])
def test_a_failure_is_reported_in_the_words_of_what_failed(result, words):
    assert failure_text(result) == words


def test_figures_of_an_earlier_run_are_not_those_of_this_one():
    earlier = {"result": {"started": 999.0, "requests_failed": 0, "requests_scheduled": 25_016}}
    assert probe_figures(earlier, 1000.0) == {"problem": "the prober of this run did not start: what is in its directory is of an earlier run"}
    mine = {"result": {"started": 1001.0, "requests_failed": 0}, "msg": "it was killed"}
    assert probe_figures(mine, 1000.0) == {"started": 1001.0, "requests_failed": 0, "problem": "it was killed"}
    assert probe_figures({"msg": "no probe runs"}, 1000.0) == {"problem": "no probe runs"}


PLAN = {"pending": ["app1", "app2"], "needs_archive": True, "nothing_to_do": False, "migration_tool": {"host": "app1"}, "updates_held": {"hosts": ["app3"]},
        "cutover": None, "method": "half_pool", "return_to": {}}
SERVICE = {"direction": "upgrade", "hosts": {"databases": ["db1"]}}


def test_problems_are_those_of_the_hosts_that_kept_one():
    hostvars = {"app1": {"alwayson_problem": "app1: no space"}, "app2": {}, "db1": {"alwayson_finalize_problem": "db1: locked"}}
    assert kept_problems(["app1", "app2"], hostvars) == ["app1: no space"]
    assert kept_problems(["db1"], hostvars, "alwayson_finalize_problem") == ["db1: locked"]


@pytest.mark.parametrize(("plan", "direction", "hosts"), [
    ({}, "upgrade", ["app1", "app2", "db1"]),
    ({"needs_archive": False}, "upgrade", ["db1"]),
    ({"nothing_to_do": True, "pending": []}, "upgrade", []),
    ({}, "rollback", ["app1", "app2"]),
])
def test_members_get_the_release_and_databases_their_backup_before_a_roll(plan, direction, hosts):
    assert hosts_to_prepare({**PLAN, **plan}, {**SERVICE, "direction": direction}) == hosts


def test_the_migration_tool_is_missed_only_where_it_was_to_run():
    ready = {"alwayson_prepared": True}
    hostvars = {"app1": ready, "app2": ready, "app3": {"alwayson_updates_held": True}}
    assert preparation_problems(PLAN, ["app1", "app2"], hostvars) == ["app1 was lost while it was prepared"]
    assert preparation_problems({**PLAN, "migration_tool": None}, ["app1", "app2"], hostvars) == []
    hostvars["app2"] = {"alwayson_problem": "app2: no space"}
    assert preparation_problems(PLAN, ["app1", "app2"], hostvars) == ["app2: no space"]
    hostvars["app3"] = {}
    assert preparation_problems(PLAN, ["app1"], {**hostvars, "app1": {**ready, "alwayson_migrated": True}}) == ["app3 was lost while it was prepared"]


@pytest.mark.parametrize(("plan", "outcomes", "is_flipped", "is_complete"), [
    ({}, ("upgraded", "upgraded"), True, True),
    ({}, ("upgraded", "upgraded"), False, False),
    ({}, ("upgraded", "returned"), True, False),
    ({"method": "rolling"}, ("upgraded", "upgraded"), False, True),
    ({"method": "blue_green", "cutover": {"to": "green"}}, ("upgraded", "upgraded"), False, False),
    ({"pending": []}, (), False, True),
])
def test_a_roll_is_complete_when_all_is_upgraded_and_the_traffic_was_moved(plan, outcomes, is_flipped, is_complete):
    hostvars = {name: {"alwayson_outcome": {"outcome": outcome}} for name, outcome in zip(("app1", "app2"), outcomes)}
    assert roll_is_complete({**PLAN, **plan}, hostvars, is_flipped) is is_complete
