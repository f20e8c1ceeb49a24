# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database servers that are to be patched: who belongs together, who goes first, who takes over, and what is refused."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.database_clusters import database_clusters, servers_seen, servers_to_patch


def server(primary=False, read_only=False, waiting=("postgresql",), data="1"):
    return {"system_identifier": data, "primary": primary, "read_only": read_only, "waiting": list(waiting)}


def test_standbys_go_first_and_one_of_them_takes_over():
    found = database_clusters({"db1": server(primary=True), "db2": server(), "db3": server(waiting=())})
    assert found == {"problems": [], "clusters": [{"primary": "db1", "hosts": ["db1", "db2", "db3"], "demoted": [], "first": ["db2"], "successor": "db2",
                                                   "last": ["db1"], "returns": False}]}


def test_nobody_takes_over_from_a_primary_for_which_nothing_waits():
    cluster = database_clusters({"db1": server(primary=True, waiting=()), "db2": server()}, switch_back=True)["clusters"][0]
    assert (cluster["first"], cluster["successor"], cluster["last"], cluster["returns"]) == (["db2"], None, [], False)


def test_an_interrupted_run_goes_on_with_whom_it_demoted():
    """db2 has taken over, is patched, and db1 follows nobody yet."""
    cluster = database_clusters({"db1": server(primary=True, read_only=True), "db2": server(primary=True, waiting=())})["clusters"][0]
    assert (cluster["primary"], cluster["demoted"], cluster["first"], cluster["successor"]) == ("db2", ["db1"], ["db1"], None)


def test_clusters_are_reported_by_their_data():
    found = database_clusters({"a1": server(primary=True), "a2": server(), "b1": server(primary=True, data="2"), "b2": server(data="2")}, switch_back=True)
    reported = [(cluster["hosts"], cluster["successor"], cluster["returns"]) for cluster in found["clusters"]]
    assert reported == [(["a1", "a2"], "a2", True), (["b1", "b2"], "b2", True)]


def test_what_is_not_sound_is_refused():
    bad = [
        ({"db1": server(primary=True), "db2": {"problem": "it does not answer"}}, "database server db2 cannot be read: it does not answer"),
        ({"db1": server(primary=True), "db2": server(primary=True)}, "db1, db2, which have the same data, db1 and db2 take writes: one should"),
        ({"db1": server(), "db2": server()}, "which have the same data, none take writes"),
        ({"db1": server(primary=True)}, "db1 has no standby in the group that could take over"),
    ]
    for servers, reason in bad:
        assert any(reason in problem for problem in database_clusters(servers)["problems"]), reason
    assert database_clusters({"db1": server(primary=True, waiting=())})["problems"] == []


def test_servers_are_looked_at_by_a_patch_that_has_no_problem_yet():
    local = {"alwayson_service": {"direction": "patch", "hosts": {"database_servers": ["db1", "db2"]}}}
    assert servers_to_patch(local) == ["db1", "db2"] and servers_to_patch({**local, "alwayson_problems": ["no"]}) == []
    assert servers_to_patch({"alwayson_service": {**local["alwayson_service"], "direction": "upgrade"}}) == [] and servers_to_patch({}) == []


def test_a_server_that_was_not_seen_cannot_be_reached():
    assert servers_seen(["db1", "db2"], {"db1": {"alwayson_server": server()}, "db2": {}}) == {"db1": server(), "db2": {"problem": "it cannot be reached"}}
