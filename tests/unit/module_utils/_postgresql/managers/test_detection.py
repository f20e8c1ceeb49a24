# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that another program runs is known by what its servers show, and left to that program."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.managers import detection as known
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.managers.detection import Manager, Signs, managers, of_files, refusal

ACTS = (known.SWITCHOVER, known.FAILOVER, known.REJOIN)
OWN = Signs(applications=["alwayson.upgrade", "db2", "shop"], databases=["postgres", "shop"], roles=["postgres", "replicator", "streaming_replica"],
            slots=["db2"], on_command_line=["config_file", "cluster_name", "port", "max_connections"],
            settings=["pg_stat_statements, auto_explain", "cp %p /archive/%f", "", "server.crt"])


@pytest.mark.parametrize(("signs", "name"), [
    (OWN._replace(applications=["Patroni heartbeat"]), known.PATRONI),
    (OWN._replace(applications=["Patroni"]), known.PATRONI),
    # It is paused, or does not run at the moment.
    (OWN._replace(on_command_line=[*known.OF_PATRONI, "port"]), known.PATRONI),
    (OWN._replace(databases=["postgres", "repmgr"]), known.REPMGR),
    (OWN._replace(roles=["postgres", "repmgr"]), known.REPMGR),
    (OWN._replace(applications=["repmgrd"]), known.REPMGR),
    (OWN._replace(slots=["repmgr_slot_2"]), known.REPMGR),
    (OWN._replace(settings=["pg_stat_statements, repmgr"]), known.REPMGR),
    (OWN._replace(applications=["pgautofailover_standby_2"]), known.AUTO_FAILOVER),
    (OWN._replace(roles=["pgautofailover_replicator"]), known.AUTO_FAILOVER),
    (OWN._replace(slots=["pgautofailover_standby_2"]), known.AUTO_FAILOVER),
    (OWN._replace(applications=["stolon_7a8b"]), known.STOLON),
    (OWN._replace(slots=["stolon_7a8b"]), known.STOLON),
    (OWN._replace(settings=["/controller/manager wal-archive --log-destination /controller/log/postgres.json %p"]), known.CLOUD_NATIVE),
    (OWN._replace(slots=["_cnpg_cluster_1"]), known.CLOUD_NATIVE),
])
def test_whoever_runs_the_cluster_is_named_with_the_sign_and_the_cure(signs, name):
    found = managers(signs)
    assert [one.name for one in found] == [name]
    for act in ACTS:
        text = refusal(found, act)
        assert text.startswith(f"{name} runs this cluster ({found[0].sign})") and known.CURES[name][act] in text
        assert refusal(found, act, name) is None
    assert set(known.CURES[name]) == set(ACTS)


def test_a_cluster_of_ones_own_is_nobody_elses():
    assert managers(OWN) == [] and refusal([], known.SWITCHOVER) is None


def test_only_the_one_that_is_driven_is_let_go():
    both = managers(OWN._replace(applications=["Patroni", "repmgrd"]))
    assert len(both) == 2 and refusal(both, known.SWITCHOVER, known.PATRONI).startswith("repmgr runs")


def test_what_is_left_in_the_data_directory_tells_it():
    assert of_files(["base", "postgresql.conf", "patroni.dynamic.json"]) == [Manager(known.PATRONI, "the file patroni.dynamic.json in its data directory")]
    assert of_files(["base", "conf.d", "standby.signal"]) == []
