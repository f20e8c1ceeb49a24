# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What failover.yml is asked for, under new and old names, when it refuses, and what it says."""

from __future__ import annotations

import pytest
from ansible.utils.display import Display
from ansible_collections.alwayson.upgrade.plugins.filter import failover as shell
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.failover import (
    RENAMED, failover_refusal, failover_request, failover_text, known_databases, variables_of_failover,
)

GROUPS = {"all": ["db1", "db2", "db3", "p1"], "poolers": ["p1"], "others": []}
TWO = {"upgrade_old_primary": "db1", "upgrade_new_primary": "db2"}
ANSWERS, SILENT = {"databases": {"shop": {}, "blog": {}}}, {"failed": True, "msg": "connection refused"}
SKIPPED = {"skipped": True}
DONE = {"successor": "db2", "exchanged": {"changed": True, "steps": {"resumed": 50.4}}, "databases": ["blog", "shop"],
        "affected": ["affected tenants (1): acme"], "unreached": [], "seconds": 3.14159, "restored": {}, "fenced": {"state": "fenced"}, "check_mode": False}


def test_defaults_are_filled_in_and_the_group_of_the_poolers_is_resolved():
    assert failover_request(TWO, GROUPS) == {
        "old_primary": "db1", "new_primary": "db2", "restore_on": "", "planned": False, "data_loss": "refuse", "old_is_lost": False, "restore_max_age": 0,
        "poolers": ["p1"], "problems": [], "renamed": {}}
    assert failover_request({**TWO, "upgrade_poolers": "others"}, GROUPS)["poolers"] == []


def test_old_names_do_the_same_and_a_new_one_counts_where_both_are_set():
    old = {"old_primary": "db1", "new_primary": "db2", "planned": "true", "pooler_group": "others"}
    request = failover_request(old, GROUPS)
    assert (request["old_primary"], request["new_primary"], request["planned"], request["poolers"]) == ("db1", "db2", True, [])
    assert request["renamed"] == {name: RENAMED[name] for name in old}
    assert failover_request({**TWO, "old_primary": "db3"}, GROUPS)["old_primary"] == "db1"


@pytest.mark.parametrize(("variables", "names"), [
    ({}, ["old_primary", "new_primary"]), ({**TWO, "upgrade_old_primary": "db9"}, ["old_primary"]), ({**TWO, "upgrade_new_primary": ""}, ["new_primary"]),
    ({"upgrade_old_primary": "db1", "upgrade_restore_on": "db9"}, ["restore_on"]), ({"upgrade_old_primary": "db1", "upgrade_restore_on": "db3"}, []),
])
def test_names_that_are_no_hosts_are_refused(variables, names):
    problems = failover_request(variables, GROUPS)["problems"]
    assert [problem.split(" is ")[0] for problem in problems] == [f"upgrade_{name}" for name in names]


def test_only_the_variables_of_a_failover_are_read():
    assert variables_of_failover(["upgrade_planned", "planned", "upgrade_release", "data_loss", "omit"]) == ["upgrade_planned", "planned", "data_loss"]


def test_an_old_name_is_reported_its_new_one(monkeypatch):
    reported = []
    monkeypatch.setattr(Display, "deprecated", lambda _self, message, **about: reported.append((message, about["version"])))
    filters = shell.FilterModule().filters()
    assert filters["failover_request"]({**TWO, "planned": True}, GROUPS)["planned"] is True
    assert filters["renamed"]({"state": "switched"}, "switch", "upgrade_switch") == {"state": "switched"}
    assert reported == [("the variable planned is called upgrade_planned now", "1.0.0"), ("the variable switch is called upgrade_switch now", "1.0.0")]


def test_databases_are_known_by_their_tenants_by_the_standby_or_by_the_backup():
    assert known_databases(ANSWERS, {"databases": {"shop": {"tenants": ["acme"]}}}, SKIPPED) == {"shop": ["acme"]}
    assert known_databases(ANSWERS, SKIPPED, SKIPPED) == ["shop", "blog"]
    assert known_databases(SILENT, SKIPPED, {"databases": ["shop"]}) == ["shop"]
    assert known_databases(SILENT, SKIPPED, SILENT) is None


@pytest.mark.parametrize(("changes", "standby", "foreseen", "words"), [
    ({}, ANSWERS, SKIPPED, ""),
    ({"planned": True}, SILENT, SKIPPED, ""),
    ({}, SILENT, SKIPPED, "no server can take over from db1: db2 does not answer (connection refused). Repair it, or restore the newest proven backup"),
    ({"new_primary": ""}, SKIPPED, SKIPPED, "no server can take over from db1: Repair it"),
    ({"restore_on": "db3"}, SILENT, {"backup": "/b/1"}, ""),
    ({"restore_on": "db3"}, SILENT, {"msg": "no backup is proven"}, "no server can take over from db1: db2 does not answer (connection refused). no backup"),
    ({"restore_on": "db3"}, ANSWERS, SKIPPED, ""),
])
def test_it_is_refused_only_where_no_server_can_take_over(changes, standby, foreseen, words):
    said = failover_refusal({**failover_request(TWO, GROUPS), **changes}, standby, foreseen)
    assert said.startswith(words) and bool(said) == bool(words)


def test_what_was_done_is_said():
    request = failover_request(TWO, GROUPS)
    assert failover_text(request, DONE) == [
        "db2 takes writes; clients were held for 50.4 ms", "databases: blog, shop", "affected tenants (1): acme", "all poolers were reached",
        "3.1 s after this began, db1's clients write to db2", "no backup was needed",
        "db1 takes none, even if it is started: make it a standby with alwayson.upgrade.database_rejoin"]


@pytest.mark.parametrize(("changes", "line"), [
    ({"exchanged": {"changed": True, "steps": {}}}, "db2 takes writes; nobody was held"),
    ({"exchanged": {"changed": False, "steps": {}}}, "db2 takes writes; it did before"),
    ({"exchanged": {"changed": False, "steps": {}}}, "nothing was exchanged"),
    ({"check_mode": True}, "db2 would take writes; clients were held for 50.4 ms"),
    ({"check_mode": True}, "nothing was exchanged"),
    ({"unreached": ["p1", "p2"]}, "not reached, and not redirected to db2: p1, p2. When db1 is a standby, the same command redirects them"),
    ({"restored": {"backup": "/b/1", "data_of": 1_798_761_600}}, "restored from /b/1: what was committed after 2027-01-01 00:00:00 UTC is lost"),
    ({"fenced": {"msg": "no route to host"}}, "db1 must not be started as it was (no route to host): make it a standby with alwayson.upgrade.database_rejoin"),
    ({"fenced": SKIPPED}, "db1 must not be started as it was (not fenced): make it a standby with alwayson.upgrade.database_rejoin"),
])
def test_what_differs_is_said(changes, line):
    assert line in failover_text(failover_request(TWO, GROUPS), {**DONE, **changes})
