# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan import failover
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import (
    DEFAULTS, HOOKS, READ_LATER, describe, described_names, known_variables, renamed,
)

GROUPS = {"app": ["app1", "app2"], "load_balancers": ["lb1"], "databases": ["db1"], "spare": []}
GOOD = {"upgrade_release": "2.0.0", "upgrade_artifact": "/srv/shop-2.0.0.tar.gz", "upgrade_artifact_sha256": "0" * 64}


def problems(changes: dict, groups: dict | None = None) -> list[str]:
    variables = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return describe(variables, list(variables), GROUPS if groups is None else groups)["problems"]


def test_a_good_description_has_its_defaults_and_hosts():
    service = describe(GOOD, list(GOOD), GROUPS)
    assert service["problems"] == []
    assert service["hosts"] == {"members": ["app1", "app2"], "load_balancers": ["lb1"], "databases": [], "database_servers": [], "poolers": []}
    assert (service["method"], service["backend"], service["max_unavailable"]) == ("half_pool", "app", "25%")


@pytest.mark.parametrize("release", ["latest", "2.0.0 ", "", "two", "v2", "2..0", "2.0.0/../..", "{{ x }}"])
def test_a_release_that_is_no_version_is_refused(release):
    reported = problems({"upgrade_release": release})
    assert len(reported) == 1 and "upgrade_release" in reported[0] and "2.0.0" in reported[0]


@pytest.mark.parametrize("release", [2, 2.0, True, ["2.0.0"]])
def test_a_release_that_yaml_read_as_something_else_is_refused_with_the_cure(release):
    assert "quote it" in problems({"upgrade_release": release})[0]


def test_a_missing_release_says_how_to_give_it():
    assert "-e upgrade_release=" in problems({"upgrade_release": ...})[0]


def test_a_rollback_and_a_look_need_no_release_and_no_archive():
    for direction in ("rollback", "status"):
        assert describe({"upgrade_direction": direction}, ["upgrade_direction"], GROUPS)["problems"] == []


def test_database_servers_alone_are_patched_when_nothing_else_is_wanted():
    alone = {"upgrade_direction": "patch", "upgrade_patch": "none"}
    assert "patch.yml does nothing else" in describe(alone, list(alone), GROUPS)["problems"][0]
    alone |= {"upgrade_database_servers": "app", "upgrade_poolers": "app"}
    described = describe(alone, list(alone), GROUPS)
    assert described["problems"] == [] and described["hosts"]["database_servers"] == GROUPS["app"]


@pytest.mark.parametrize(("changes", "words"), [
    ({"upgrade_members": "ap"}, ["upgrade_members", "'ap'", "did you mean 'app'"]),
    ({"upgrade_members": "spare"}, ["'spare'", "no host"]),
    ({"upgrade_members": ["app"]}, ["upgrade_members is ['app']", "no such group"]),
    ({"upgrade_databases": {"app": None}}, ["upgrade_databases is {'app': None}", "no such group"]),
    ({"upgrade_migration_command": ["migrate"], "upgrade_migration_host": ["a1"]}, ["upgrade_migration_host is ['a1']", "no host of the inventory"]),
    ({"upgrade_load_balancers": "loadbalancers"}, ["did you mean 'load_balancers'"]),
    ({"upgrade_databases": "dbs"}, ["upgrade_databases", "'dbs'"]),
    ({"upgrade_method": "sideways"}, ["sideways", "half_pool, rolling"]),
    ({"upgrade_artifact": ...}, ["upgrade_artifact is not set"]),
    ({"upgrade_artifact_sha256": ...}, ["upgrade_artifact_sha256", "sha256sum"]),
    ({"upgrade_artifact_signature": "/srv/shop.sig"}, ["upgrade_artifact_keys is not set", "both or neither"]),
    ({"upgrade_artifact_keys": "/etc/signers"}, ["upgrade_artifact_signature is not set"]),
    ({"upgrade_database_servers": "spare_servers", "upgrade_poolers": "app"}, ["upgrade_database_servers", "'spare_servers'"]),
    ({"upgrade_database_servers": "app"}, ["upgrade_database_servers needs upgrade_poolers"]),
    ({"upgrade_database_patch_tasks": {"apply": "/srv/patch.yml"}}, ["upgrade_database_patch_tasks", "give two task files, waiting and apply"]),
    ({"upgrade_metod": "rolling"}, ["upgrade_metod", "did you mean upgrade_method"]),
])
def test_each_mistake_is_named_with_what_to_do(changes, words):
    reported = problems(changes)
    assert len(reported) >= 1
    assert all(word in reported[0] for word in words), reported


def test_every_mistake_is_reported_at_once():
    assert len(problems({"upgrade_release": "latest", "upgrade_members": "ap", "upgrade_method": "x"})) == 3


def test_relative_paths_begin_where_the_user_stands():
    given = {**GOOD, "upgrade_migrations": "migrations", "upgrade_report_directory": "/srv/report"}
    service = describe(given, list(given), GROUPS, "/home/ops")
    assert (service["migrations"], service["report_directory"]) == ("/home/ops/migrations", "/srv/report")
    assert describe(GOOD, list(GOOD), GROUPS, "/home/ops")["migrations"] is None


def test_only_what_describes_the_service_is_read():
    assert described_names(["upgrade_release", "upgrade_smoke_tests", "upgrade_direction", "upgrade_nonsense"]) == ["upgrade_release", "upgrade_direction"]
    assert len(known_variables()) == len(DEFAULTS) + len(READ_LATER) + len(HOOKS) + len(failover.DEFAULTS) == len(set(known_variables()))


def test_names_of_version_0_2_work_and_are_renamed():
    route = {"map": "a.map", "key": "active", "crew_key": "crew", "crew_headers": {"X-Crew": "yes"}}
    given = {**GOOD, "upgrade_route": route}
    names = [*given, "upgrade_before_settle", "upgrade_after_finalize"]
    assert describe(given, names, GROUPS)["problems"] == []
    assert describe(given, names, GROUPS)["route"] == {"map": "a.map", "key": "active", "testers_key": "crew"}
    assert renamed(given, names) == {"upgrade_before_settle": "upgrade_before_finalize", "upgrade_route.crew_key": "upgrade_route.testers_key",
                                     "upgrade_route.crew_headers": "upgrade_route.testers_headers"}
    assert renamed(GOOD, list(GOOD)) == {}
