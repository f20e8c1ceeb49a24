# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.refusals import redundancy_spent
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.text import plan_text, status_text
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import Member

NAMES = [f"app{number}" for number in range(1, 7)]


def service(**changes):
    given = {"release": "2.0.0", "artifact": "x", "artifact_sha256": "y", **changes}
    variables = {f"upgrade_{key}": value for key, value in given.items() if value is not ...}
    described = describe(variables, list(variables), {"app": NAMES, "load_balancers": ["lb1", "lb2"]})
    assert described["problems"] == []
    return described


def view(**changes):
    """How one load balancer sees the six members; ``changes`` by member."""
    members = {
        name: {"address": f"10.0.0.{number}:80", "admin": "ready", "health": "up", "live": True, "cookie": name, **changes.get(name, {})}
        for number, name in enumerate(NAMES, start=1)
    }
    return {"endpoint": "tcp://x", "version": "2.8", "backends": {"app": {"cookie_name": "SRV", "members": members}}}


def fleet(release="1.0.0", balancers=None, **changes):
    """Six members in two zones; ``changes`` by member."""
    members = {
        name: {"name": name, "address": f"10.0.0.{number}:80", "domain": "east" if number <= 3 else "west", "release": release, "previous": None,
               "available": {}, "lost": None, **changes.get(name, {})}
        for number, name in enumerate(NAMES, start=1)
    }
    return {"members": members, "load_balancers": balancers or {"lb1": view(), "lb2": view()}, "disagreements": [], "databases": {},
            "migrations": []}


OUT = {"admin": "maint", "live": False}


def test_a_half_pool_has_two_halves_that_cover_both_zones():
    plan = make_plan(service(), fleet())
    assert plan["refusals"] == []
    assert [len(step) for step in plan["steps"]] == [3, 3]
    zones = [{fleet()["members"][name]["domain"] for name in step} for step in plan["steps"]]
    assert zones == [{"east", "west"}, {"east", "west"}]
    assert plan["limits"] == {"max_unavailable": 3, "min_live": 3}
    assert [wave["live"] for wave in plan["waves"]] == [3, 3]


def test_a_rolling_plan_keeps_its_floor_in_every_wave():
    plan = make_plan(service(method="rolling", max_unavailable="34%"), fleet())
    assert [len(wave["members"]) for wave in plan["waves"]] == [2, 2, 2]
    assert min(wave["live"] for wave in plan["waves"]) >= plan["limits"]["min_live"] == 4
    assert plan["steps"][1] == []


def test_a_fleet_that_is_there_has_nothing_to_do():
    plan = make_plan(service(), fleet("2.0.0"))
    assert plan["nothing_to_do"] and plan["pending"] == [] and plan["refusals"] == []
    assert plan["release_from"] == plan["release_to"] == "2.0.0"


def test_planning_again_after_half_of_a_half_pool_is_the_resume():
    """The first half is upgraded and stands by; a run from another machine finds it so and goes on with the flip."""
    half = dict.fromkeys(("app1", "app2", "app4"), OUT)
    there = {name: {"release": "2.0.0", "previous": "1.0.0"} for name in half}
    plan = make_plan(service(), fleet(balancers={"lb1": view(**half), "lb2": view(**half)}, **there))
    assert plan["refusals"] == []
    assert sorted(plan["steps"][0]) == ["app1", "app2", "app4"]
    assert sorted(plan["steps"][1]) == ["app3", "app5", "app6"]


def test_planning_again_in_the_second_half_leaves_the_upgraded_ones_alone():
    there = {name: {"release": "2.0.0", "previous": "1.0.0"} for name in ("app1", "app2", "app4", "app5")}
    plan = make_plan(service(), fleet(**there))
    assert plan["pending"] == ["app3", "app6"]
    assert plan["steps"][0] == [] and plan["halves"][0] == ["app1", "app2", "app4", "app5"]
    assert sorted(plan["steps"][1]) == ["app3", "app6"]


def refusals(observed, **changes):
    return make_plan(service(**changes), observed)["refusals"]


def test_a_pool_under_its_floor_is_refused():
    sick = {name: {"health": "down", "live": False} for name in NAMES[:4]}
    reported = refusals(fleet(balancers={"lb1": view(**sick), "lb2": view()}))
    assert len(reported) == 1 and "only 2 of 6 members are live" in reported[0] and "floor is 3" in reported[0]


def test_a_partial_inventory_and_a_partial_load_balancer_are_refused():
    observed = fleet()
    del observed["members"]["app6"]
    assert any("app/app6" in sentence and "add it to the inventory" in sentence for sentence in refusals(observed))
    observed = fleet()
    del observed["load_balancers"]["lb2"]["backends"]["app"]["members"]["app6"]
    assert any("app6 is not a member of app on lb2" in sentence for sentence in refusals(observed))


def test_a_backend_that_no_load_balancer_has_is_refused():
    reported = refusals(fleet(), backend="web")
    assert sum("has no backend 'web'" in sentence for sentence in reported) == 2


def test_load_balancers_that_disagree_are_refused_in_their_words():
    observed = {**fleet(), "disagreements": ["app3 is ready on lb1 and in maint on lb2"]}
    assert "app3 is ready on lb1 and in maint on lb2" in refusals(observed)


def test_a_lost_member_a_second_name_and_a_downgrade_are_refused():
    assert any("app3 cannot be reached: no route" in sentence for sentence in refusals(fleet(app3={"lost": "no route"})))
    no_module = {"lost": "Failed to become nobody.", "unreachable": False}
    assert any("app3 is reachable, but no module runs there: Failed to become nobody. Correct" in sentence for sentence in refusals(fleet(app3=no_module)))
    assert any("app1 and app2 are one host" in sentence for sentence in refusals(fleet(app2={"address": "10.0.0.1:80"})))
    assert any("older than 3.0.0" in sentence and "rollback" in sentence for sentence in refusals(fleet("3.0.0")))


def test_a_pool_of_one_is_refused_unless_the_outage_is_accepted():
    alone = fleet()
    for name in NAMES[1:]:
        del alone["members"][name]
        for balancer in alone["load_balancers"].values():
            del balancer["backends"]["app"]["members"][name]
    assert any("no member would be live" in sentence for sentence in refusals(alone, method="rolling"))
    assert refusals(alone, method="rolling", min_live=0) == []


def test_a_floor_that_never_lets_anybody_go_is_refused():
    assert any("never finish" in sentence for sentence in refusals(fleet(), method="rolling", min_live="100%"))


@pytest.mark.parametrize("value", ["lots", "150%", -3])
def test_a_limit_that_is_none_is_refused_by_its_name(value):
    assert any("upgrade_max_unavailable" in sentence for sentence in refusals(fleet(), method="rolling", max_unavailable=value))


def test_a_roll_that_would_stall_names_the_variables_of_the_description():
    reported = refusals(fleet(), method="rolling", max_per_domain="lots")
    assert any("upgrade_max_per_domain is 'lots'" in sentence for sentence in reported) and "rolling_" not in "".join(reported)
    members = [Member(name, domain=domain) for name, domain in (("a", "x"), ("b", "x"), ("c", "y"))]
    for limits, started, word in (({"max_unavailable": 1}, "a", "upgrade_max_unavailable"), ({"max_per_domain": 1}, "a", "upgrade_max_per_domain"),
                                  ({}, "ab", "upgrade_domains_at_once")):
        schedule = Schedule(members, Limits(**{"max_unavailable": 3, **limits}, prefix="upgrade_"), RunPolicy(domains_at_once=1, prefix="upgrade_"))
        for name in started:
            schedule.started(name)
        assert f"{word} allows 1" in schedule.decide().reason


def test_a_rollback_goes_to_the_release_that_all_hosts_had_before():
    before = {name: {"previous": "1.0.0", "available": {"1.0.0": {}}} for name in NAMES}
    plan = make_plan(service(release=..., direction="rollback", artifact=..., artifact_sha256=...), fleet("2.0.0", **before))
    assert (plan["release_from"], plan["release_to"], plan["refusals"]) == ("2.0.0", "1.0.0", [])
    mixed = {**before, "app6": {"previous": "0.9.0"}}
    plan = make_plan(service(release=..., direction="rollback"), fleet("2.0.0", **mixed))
    assert "upgrade_release=" in plan["refusals"][0] and "0.9.0" in plan["refusals"][0]


def test_a_rollback_to_a_release_that_is_gone_asks_for_its_archive():
    before = {name: {"previous": "1.0.0", "available": {"1.0.0": {}}} for name in NAMES}
    before["app2"] = {"previous": "1.0.0", "available": {}}
    described = service(release=..., direction="rollback", artifact=..., artifact_sha256=...)
    assert make_plan(described, fleet("2.0.0", **before))["refusals"] == [
        "release 1.0.0 is not on app2 any more: give its archive with upgrade_artifact and upgrade_artifact_sha256"]


def test_a_rollback_past_the_point_of_no_return_is_refused():
    observed = fleet("2.0.0", **{name: {"previous": "1.0.0"} for name in NAMES})
    observed["databases"] = {"db1": {"tenant_a": {"migrations": [row("2.0.0", "contract", "001_drop")]}}}
    reported = make_plan(service(release="1.0.0", direction="rollback"), observed)["refusals"]
    assert len(reported) == 1 and "point of no return" in reported[0] and "tenant_a" in reported[0]


FILES = ["2.0.0/expand/001_add.sql", "2.0.0/backfill/001_fill.sql", "2.0.0/contract/001_drop.sql", "2.0.0/optimise/001_index.sql",
         "2.10.0/expand/001_more.sql", "2.9.0/expand/001_other.sql", "2.9.0/backfill/001_late.sql", "3.0.0/expand/001_far.sql"]


def row(release, phase, step):
    return {"release": release, "phase": phase, "step": step, "status": "applied"}


def test_an_upgrade_that_skips_releases_applies_the_migrations_of_all_of_them():
    plan = make_plan(service(release="2.10.0"), {**fleet(), "migrations": FILES})
    assert (plan["expand"], plan["contract"], plan["refusals"]) == (["2.0.0", "2.9.0", "2.10.0"], [], [])
    runs = [(run["release"], run["phase"]) for run in plan["migrations_before"]]
    assert runs == [("2.0.0", "expand"), ("2.0.0", "backfill"), ("2.9.0", "expand"), ("2.9.0", "backfill"), ("2.10.0", "expand")]
    plan = make_plan(service(release="2.9.0"), {**fleet("2.0.0"), "migrations": FILES})
    assert (plan["expand"], plan["backfill"], plan["migrations_after"]) == (["2.9.0"], ["2.9.0"], [])


def test_contract_migrations_are_something_to_do_on_a_fleet_that_is_there_and_only_once():
    databases = {"db1": {"tenant_a": {"migrations": [row("2.0.0", "expand", "001_add"), row("2.0.0", "backfill", "001_fill")]}}}
    there = {**fleet("2.0.0"), "migrations": FILES, "databases": databases}
    assert make_plan(service(), there)["nothing_to_do"]
    plan = make_plan(service(contract=True), there)
    assert not plan["nothing_to_do"] and plan["pending"] == [] and plan["migrations_before"] == []
    assert plan["migrations_after"] == [{"release": "2.0.0", "phase": "contract"}, {"release": "2.0.0", "phase": "optimise"}]
    assert "finalize: the contract and optimise migrations of 2.0.0 remove" in "\n".join(plan_text(plan))
    databases["db1"]["tenant_a"]["migrations"].append(row("2.0.0", "contract", "001_drop"))
    assert make_plan(service(contract=True), there)["migrations_after"] == [{"release": "2.0.0", "phase": "optimise"}]
    databases["db1"]["tenant_a"]["migrations"].append(row("2.0.0", "optimise", "001_index"))
    assert make_plan(service(contract=True), there)["nothing_to_do"]


def test_a_backfill_that_came_later_or_was_not_ended_is_made_up_for_before_the_contraction():
    rows = [row("2.0.0", "expand", "001_add"), {**row("2.0.0", "backfill", "001_fill"), "status": "begun"}]
    there = {**fleet("2.0.0"), "migrations": FILES, "databases": {"db1": {"tenant_a": {"migrations": rows}}}}
    assert make_plan(service(contract=True), there)["migrations_before"] == [{"release": "2.0.0", "phase": "backfill"}]


@pytest.mark.parametrize(("phase", "status"), [("contract", "begun"), ("optimise", "applied")])
def test_what_was_begun_after_the_roll_is_past_the_point_of_no_return(phase, status):
    observed = fleet("2.0.0", **{name: {"previous": "1.0.0"} for name in NAMES})
    observed["databases"] = {"db1": {"tenant_a": {"migrations": [{**row("2.0.0", phase, "001"), "status": status}]}}}
    reported = make_plan(service(release="1.0.0", direction="rollback"), observed)["refusals"]
    assert len(reported) == 1 and f"{phase} step 001 of 2.0.0 is {status}" in reported[0]


@pytest.mark.parametrize("file", ["old/expand/001.sql", "2.0.0/001.sql", "2.0.0/grow/001.sql"])
def test_a_migration_that_lies_in_the_wrong_place_is_refused(file):
    assert any("upgrade_migrations" in sentence for sentence in make_plan(service(), {**fleet(), "migrations": [file]})["refusals"])


def test_planning_changes_nothing_that_it_was_given():
    observed = fleet()
    before = copy.deepcopy(observed)
    make_plan(service(), observed)
    assert observed == before


def test_the_plan_and_the_state_are_reported_in_lines():
    described, observed = service(contract=True), {**fleet(), "migrations": FILES}
    observed["databases"] = {"db1": {"tenant_a": {"size_bytes": 1e6, "migrations": []}}}
    text = "\n".join(plan_text(make_plan(described, observed), [{"name": "roll", "started": 1.0, "finished": 22.4}]))
    assert "from 1.0.0 to 2.0.0 by half_pool, 6 of 6 members" in text
    assert text.count("3 live") == 2 and "the flip" in text and "21 s last time" in text
    assert "contract and optimise migrations of 2.0.0 remove what older releases need" in text
    assert "\nmigrations\n  prepare  2.0.0 expand " in text and "  prepare  2.0.0 backfill  fills in rows" in text
    assert text.count("  finalize 2.0.0 ") == 2
    state = "\n".join(status_text(described, observed))
    assert state.count("in traffic") == 12 and "1.0.0 on 6 of 6 members" in state
    assert "tenants" not in state


def test_the_state_says_whose_data_is_in_which_database():
    asked, mapped = ({"size_bytes": 1e6, "migrations": [], "tenants": tenants} for tenants in (["acme", "globex"], None))
    observed = {**fleet(), "databases": {"db1": {"east": asked, "west": mapped}, "db2": {"north": mapped}},
                "tenants": {"db1": {}, "db2": {"south": ["initech"]}}}
    state = [line.split() for line in status_text(service(), observed)]
    assert ["db1/east", "1.0", "MB", "none", "acme,", "globex"] in state and ["db1/west", "1.0", "MB", "none", "west"] in state
    assert ["db2/north", "1.0", "MB", "none", "unknown"] in state


@pytest.mark.parametrize(("rows", "reported"), [
    ([], "it has none"),
    ([("db2", "catchup", 10)], "it has db2 (catchup, 10 bytes behind)"),
    ([("db2", "streaming", 10_000_001)], "it has db2 (streaming, 10000001 bytes behind)"),
    ([("db2", "streaming", None)], "it has db2 (streaming, unknown lag)"),
    ([("db2", "streaming", 10_000_000)], None),
    ([("db2", "streaming", 0, "standby"), ("db3_log", "streaming", 0, "receiver")], None),
    ([("db3_log", "streaming", 0, "receiver")], "it has db3_log (no standby, a receiver of the log, streaming, 0 bytes behind)"),
])
def test_nothing_is_begun_while_a_database_has_spent_its_redundancy(rows, reported):
    replicas = {"db1": [dict(zip(("name", "state", "lag_bytes", "kind"), row)) for row in rows]}
    for wanted, expected in ((1, [f"db1 has 0 of the 1 standbys that upgrade_database_standbys asks for ({reported})"] if reported else []), ("0", [])):
        found = redundancy_spent({"database_standbys": wanted, "database_lag_bytes": 10_000_000}, replicas)
        assert [sentence.partition(": it has lost")[0] for sentence in found] == expected


def with_stranger(**facts):
    """A server that the inventory does not have, on both load balancers."""
    stranger = {"address": "10.0.0.9:80", "admin": "ready", "health": "up", "live": True, "weight": 1, "backup": False, **facts}
    views = {name: view() for name in ("lb1", "lb2")}
    for balancer in views.values():
        balancer["backends"]["app"]["members"]["s9"] = stranger
    return make_plan(service(), fleet(balancers=views))


@pytest.mark.parametrize(("facts", "sentence"), [
    ({}, "lb1 sends traffic to app/s9, which is no host of group 'app': add it to the inventory"),
    ({"live": False, "health": "down"}, "lb1 sends traffic, as soon as its health check passes, to app/s9"),
    ({"live": False, "admin": "drain"}, "lb1 still sends its bound clients to app/s9"),
    ({"live": False, "weight": 0}, "lb1 still sends its bound clients to app/s9"),
    ({"live": False, "backup": True}, "lb1 sends traffic, when no other member is left, to app/s9"),
])
def test_a_server_that_the_inventory_does_not_have_is_refused_by_what_it_gets(facts, sentence):
    plan = with_stranger(**facts)
    assert len(plan["refusals"]) == 2 and plan["refusals"][0].startswith(sentence) and plan["notes"] == []


def test_a_server_in_maintenance_that_the_inventory_does_not_have_is_a_note():
    plan = with_stranger(live=False, admin="maint", health="paused")
    note = "app/s9 is in maintenance on lb1, lb2 and not in group 'app': it gets no traffic, and is not upgraded"
    assert plan["refusals"] == [] and plan["notes"] == [note] and f"  - {note}" in plan_text(plan)


@pytest.mark.parametrize("text", ["", "{", "[" * 5000, "[]", '{"phases": 1}', '{"phases": [1, {"name": "roll"}, {"name": [], "started": 1, "finished": 2}]}'])
def test_a_report_that_is_torn_or_strange_is_no_reason_to_make_no_plan(text):
    plan = make_plan(service(), fleet())
    assert plan_text(plan, text) == plan_text(plan)
    good = json.dumps({"phases": [{"name": "roll", "started": 1.0, "finished": 22.4}]})
    assert "21 s last time" in "\n".join(plan_text(plan, good))


def test_a_database_that_is_not_verified_is_a_note():
    sentence = "db1: the session with its databases is not encrypted"
    plan = make_plan(service(), {**fleet(), "unverified": [sentence]})
    assert sentence in plan["notes"] and f"  - {sentence}" in plan_text(plan)


@pytest.mark.parametrize("address", ["", "0.0.0.0:0"])
def test_a_spare_place_of_a_template_is_no_word_worth(address):
    plan = with_stranger(live=False, admin="maint", health="paused", address=address)
    assert plan["refusals"] == plan["notes"] == []


def saying(**words):
    """A fleet whose load balancers say this of the pool."""
    views = {name: view() for name in ("lb1", "lb2")}
    for balancer in views.values():
        balancer["backends"]["app"].update(words)
    return make_plan(service(), fleet(balancers=views))


def test_a_configuration_with_which_no_drain_can_be_proven_is_refused_and_said_once():
    plan = saying(refusals=["its strategy is p2c: set wrr"])
    assert plan["refusals"] == ["lb1, lb2: its strategy is p2c: set wrr"] and plan["notes"] == []


def test_what_a_load_balancer_cannot_prove_and_what_it_risks_are_notes():
    plan = saying(risks=["it may panic"], unproven=["it does not tell what is in flight"])
    assert plan["refusals"] == [] and plan["notes"] == ["lb1, lb2: it does not tell what is in flight", "lb1, lb2: it may panic"]
    assert "  - lb1, lb2: it may panic" in plan_text(plan)


def test_members_that_are_in_another_pool_too_are_a_note():
    views = {"lb1": view(), "lb2": view()}
    other = {"x1": {**views["lb1"]["backends"]["app"]["members"]["app1"]}, "x2": {"address": "10.0.0.99:80", "live": True, "admin": "ready"}}
    views["lb1"]["backends"]["api"] = {"members": other}
    views["lb2"]["backends"]["api"] = {"members": {"x1": {**other["x1"], "live": False}}}
    plan = make_plan(service(), fleet(balancers=views))
    assert plan["refusals"] == [] and plan["notes"] == [
        "lb1: app1 is also in api, where members are not drained: requests that reach a member there while it is out fail"]
    views["lb1"]["backends"]["app"]["drained_with"] = ["api"]
    assert make_plan(service(), fleet(balancers=views))["notes"] == []


def test_a_member_whose_name_is_not_resolved_is_refused_with_the_reason():
    lost = view(app2={"admin": "maint", "live": False, "address": ""})
    plan = make_plan(service(), fleet(balancers={"lb1": lost, "lb2": view()}))
    assert plan["refusals"] == ["app2 gets no traffic: lb1 has no address for it; see whether its name can be resolved there"]


def test_too_few_live_members_are_named_with_the_reason():
    sick = {"health": "down", "live": False, "check": "L7STS", "check_code": 503, "weight": 1}
    views = {"lb1": view(), "lb2": view(app1=sick, app2=sick, app3=sick, app4={**sick, "check": "L4CON"})}
    reported, = make_plan(service(), fleet(balancers=views))["refusals"]
    assert "app1: lb2 reached 10.0.0.1:80, and its health check was answered with status 503 (L7STS); ask the member" in reported
    assert "app4: lb2 could not connect to 10.0.0.4:80 (L4CON); see whether the service listens there" in reported and "app5:" not in reported


def test_what_the_login_role_lacks_is_refused_with_the_sql_that_grants_it():
    createdb = {"purpose": "logical", "privilege": "CREATEDB", "database": None, "grant": 'ALTER ROLE "upgrade" CREATEDB', "role": "upgrade"}
    reads = {"purpose": "logical", "privilege": "SELECT on orders", "database": "shop", "grant": 'GRANT pg_read_all_data TO "upgrade"', "role": "upgrade"}
    refused = make_plan(service(), {**fleet(), "missing_privileges": {"db1": [createdb, reads, {**reads, "purpose": "physical"}], "db2": []}})["refusals"]
    assert len(refused) == 1
    assert "the login role upgrade of db1 lacks CREATEDB (for the backups and their proof), SELECT on orders in shop (for" in refused[0]
    assert 'ALTER ROLE "upgrade" CREATEDB; GRANT pg_read_all_data TO "upgrade"; See docs/database_role.md' in refused[0]
    assert make_plan(service(), {**fleet(), "missing_privileges": {"db1": []}})["refusals"] == []


def test_a_release_that_no_member_told_is_called_unknown():
    text = plan_text(make_plan(service(), fleet(release=None)))[0]
    assert "from a release that is unknown to 2.0.0" in text
    assert "from 1.0.0 to 2.0.0" in plan_text(make_plan(service(), fleet()))[0]


@pytest.mark.parametrize(("direction", "half"), [("upgrade", "the upgraded half takes"), ("rollback", "the half that has gone back takes"),
                                                 ("patch", "the patched half takes")])
def test_the_flip_is_reported_in_the_words_of_its_direction(direction, half):
    plan = {**make_plan(service(), fleet()), "direction": direction}
    assert len([line for line in plan_text(plan) if f"the flip: {half} the traffic" in line]) == 1
