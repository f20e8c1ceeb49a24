# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two servers have to look like for one to take over: each thing that is in the way is named with its cure, and a healthy pair has none."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.facts import has_own_name, streaming_name
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.survey import (
    Facts, Override, Slot, after_failover, failover, switchover, why_not_everything,
)

HEALTHY = {"default_transaction_read_only": "off", "synchronous_commit": "on", "synchronous_standby_names": "db2", "recovery_min_apply_delay": "0",
           "max_wal_senders": "10", "max_replication_slots": "10", "wal_level": "replica", "shared_preload_libraries": "", "wal_retrieve_retry_interval": "100"}
OLD = Facts("db1", HEALTHY, replicas=[("db2", "sync")])
NEW = Facts("db2", HEALTHY, streams_as="db2")
FENCE, COMMIT = "default_transaction_read_only", "synchronous_commit"


def having(server: Facts, **settings: str) -> Facts:
    return replace(server, settings={**server.settings, **settings})


def test_a_healthy_pair_has_no_finding():
    assert switchover(OLD, NEW, 0) == failover(NEW) == after_failover(NEW) == []
    busy = replace(OLD, overrides=[Override("app", "", FENCE, "on", False), Override("app", "", COMMIT, "on", False)], slots=[Slot("for_db2", "", True)])
    assert switchover(busy, having(NEW, shared_preload_libraries="pg_stat_statements"), 0) == []


@pytest.mark.parametrize(("old", "new", "what"), [
    (OLD, replace(NEW, streams_as=None), "db2 does not stream from db1: repair"),
    (OLD, replace(NEW, streams_as="other"), "db2 does not stream from db1: repair"),
    (replace(OLD, prepared=["order-4711"]), NEW, "db1 has prepared transactions .order-4711.*COMMIT PREPARED or ROLLBACK PREPARED them first"),
    (replace(OLD, subscriptions=["s in shop"]), NEW, "db1 has subscriptions .s in shop.*ALTER SUBSCRIPTION ... DISABLE first, and ENABLE on db2"),
    (replace(OLD, appliers=["pglogical apply 1"]), NEW, "db1 applies changes of other servers .pglogical apply 1.*stop them first"),
    (replace(OLD, overrides=[Override("app", "", FENCE, "off", False)]), NEW, f"ALTER ROLE app SET {FENCE} = off lets .* on db1: RESET it"),
    (replace(OLD, overrides=[Override("", "shop", FENCE, "False", False)]), NEW, f"ALTER DATABASE shop SET {FENCE} = False lets"),
    (replace(OLD, overrides=[Override("app", "shop", FENCE, "0", False)]), NEW, f"ALTER ROLE app IN DATABASE shop SET {FENCE} = 0 lets"),
    (replace(OLD, overrides=[Override("", "", FENCE, "no", False)]), NEW, f"ALTER ROLE ALL SET {FENCE} = no lets"),
    (OLD, having(NEW, **{FENCE: "on"}), "db2 is read only by its own configuration .* ALTER SYSTEM RESET default_transaction_read_only there"),
    (OLD, replace(NEW, replay="paused"), r"replay is paused on db2: SELECT pg_wal_replay_resume\(\)"),
    (OLD, having(NEW, recovery_min_apply_delay="3600000"), "db2 replays with a delay .recovery_min_apply_delay = 3600000 ms.: take another standby"),
    (OLD, replace(NEW, readers=["process 7 of report (active)"]), "replay on db2 waits for readers: process 7 of report"),
    (OLD, replace(NEW, behind=2), "db2 lags 2 bytes behind db1, and 1 are allowed"),
    (replace(OLD, lasting=["process 7 of app"]), NEW, "a pause would wait for transactions on db1: process 7 of app"),
    (OLD, having(NEW, max_wal_senders="0"), "db2 has no place for a standby .max_wal_senders = 0, 0 are in use.*db1 could not follow it"),
    (OLD, replace(having(NEW, max_wal_senders="1"), replicas=[("db3", "async")]), "db2 has no place for a standby .max_wal_senders = 1, 1 are in use"),
    (OLD, having(NEW, wal_level="minimal", max_wal_senders="5"), "wal_level is minimal on db2"),
    (replace(OLD, slots=[Slot("for_db2", "", True)]), replace(having(NEW, max_replication_slots="1"), slots=[Slot("full", "", False)]),
     "the standbys of db1 use replication slots, and db2 has no place for one .max_replication_slots = 1"),
])
def test_what_is_in_the_way_refuses(old, new, what):
    found = switchover(old, new, 1)
    assert [finding.refuses for finding in found] == [True]
    assert re.search(what, found[0].text), found


def test_a_server_that_is_stopped_needs_no_fence():
    old = replace(OLD, prepared=["a"], subscriptions=["s in shop"], overrides=[Override("app", "", FENCE, "off", False)])
    assert len(switchover(old, NEW, 0)) == 3 and switchover(old, NEW, 0, is_fenced=False) == []


@pytest.mark.parametrize(("old", "new", "what"), [
    (OLD, having(NEW, wal_retrieve_retry_interval="5000"), "wal_retrieve_retry_interval is 5000 ms on db2"),
    (replace(OLD, slots=[Slot("cdc", "shop", True)]), NEW, "logical replication slots of db1 are lost (cdc in shop)"),
    (replace(OLD, unlogged=["shop.public.sessions"]), NEW, "unlogged tables are empty on db2 (shop.public.sessions)"),
    (replace(OLD, replicas=[*OLD.replicas, ("db3", "async")]), NEW, "db3 follow db1 too: make them standbys of db2 afterwards"),
    (replace(OLD, replicas=[*OLD.replicas, ("db2", "potential")]), NEW, "several standbys of db1 are called db2"),
    (replace(OLD, replicas=[*OLD.replicas, ("db3", "async")]), having(NEW, max_wal_senders="1"), "db2 has places for 1 standbys"),
    (having(OLD, shared_preload_libraries='pg_cron, "timescaledb"'), having(NEW, shared_preload_libraries="timescaledb"), "lacks pg_cron, which db1 has"),
    (having(OLD, wal_level="logical"), NEW, "wal_level is logical on db1 and replica on db2"),
])
def test_what_does_not_come_along_is_reported(old, new, what):
    found = switchover(old, new, 0)
    assert not any(finding.refuses for finding in found) and any(what in finding.text for finding in found), found


def test_a_logical_slot_that_the_standby_has_too_comes_along():
    slot = Slot("cdc", "shop", True)
    assert switchover(replace(OLD, slots=[slot]), replace(NEW, slots=[slot]), 0) == []


def test_of_many_names_some_are_shown():
    text = switchover(replace(OLD, unlogged=[f"shop.public.t{number}" for number in range(20)]), NEW, 0)[0].text
    assert "shop.public.t7, and 12 more" in text and "t8" not in text


def test_after_a_failover_what_it_cost_is_reported():
    reported = " ".join(finding.text for finding in after_failover(replace(NEW, prepared=["p"], unlogged=["shop.public.t"], subscriptions=["s in shop"])))
    assert all(words in reported for words in ("prepared transactions", "(p)", "unlogged tables are empty", "subscriptions, which apply there"))
    assert [finding.refuses for finding in failover(having(NEW, **{FENCE: "on"}))] == [True]


@pytest.mark.parametrize(("server", "name", "has_own_name", "why"), [
    (NEW, "db2", True, ""),
    (having(NEW, **{COMMIT: "remote_apply"}), "DB2", True, ""),
    (having(NEW, synchronous_standby_names="FIRST 2 (db2, db3_log)"), "db3_log", True, ""),
    (replace(NEW, overrides=[Override("app", "", FENCE, "off", False), Override("app", "", COMMIT, "on", False)]), "db2", True, ""),
    (NEW, "db3", True, "db3 is not named in synchronous_standby_names of db2"),
    (having(NEW, synchronous_standby_names="ANY 1 (db2, db3)"), "db2", True, "'ANY 1 (db2, db3)', which has not every commit wait for db2"),
    (having(NEW, synchronous_standby_names="*"), "db2", True, "db2 is not named"),
    (having(NEW, synchronous_standby_names="walreceiver"), "walreceiver", False, "walreceiver is the name of every standby that was given none"),
    (having(NEW, **{COMMIT: "local"}), "db2", True, "synchronous_commit is local on db2"),
    (having(NEW, **{COMMIT: "off"}), "db2", True, "synchronous_commit is off on db2"),
    (having(NEW, **{COMMIT: "remote_write"}), "db2", True, "synchronous_commit is remote_write on db2"),
    (replace(NEW, overrides=[Override("batch", "", COMMIT, "off", False)]), "db2", True, "ALTER ROLE batch SET synchronous_commit = off counts on db2"),
    (replace(NEW, overrides=[Override("", "shop", COMMIT, "local", False)]), "db2", True, "ALTER DATABASE shop SET synchronous_commit = local counts"),
    (replace(NEW, overrides=[Override("upgrade", "", COMMIT, "on", True)]), "db2", True, "hides what synchronous_commit is on db2"),
    (replace(OLD, replicas=[("db2", "sync"), ("db2", "potential")]), "db2", True, "several standbys of db1 are called db2"),
])
def test_who_may_lack_what_was_acknowledged_is_reported_why(server, name, has_own_name, why):
    found = why_not_everything(server, name, has_own_name)
    assert found == why == "" or (why and why in found)


@pytest.mark.parametrize(("parameters", "cluster_name", "name", "is_own"), [
    ({"application_name": "db2"}, "15/main", "db2", True),
    ({"fallback_application_name": "db2"}, "db2", "db2", True),
    ({}, "db2", "db2", True),
    ({}, "15/main", "15/main", False),
    ({"fallback_application_name": "walreceiver"}, "", "walreceiver", False),
    ({}, "", "walreceiver", False),
])
def test_only_a_name_that_was_given_to_a_standby_is_its_own(parameters, cluster_name, name, is_own):
    assert (streaming_name(parameters, cluster_name), has_own_name(parameters, cluster_name)) == (name, is_own)
