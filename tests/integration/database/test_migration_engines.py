# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations behave the same in every kind of database: each step once, whoever dies, and a failure names what it must."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.command import command_step
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.lock_retries import MigrationError, Policy
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.run import Migrator, report, survey
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import steps_of
from integration.database.test_database_modules import tool

QUICK = Policy(attempts=20, retry_delay_ms=20, batch_pause_ms=0, wait_seconds=10)
CURRENCY = {"name": "001_currency", "sql": "-- what 2.0.0 needs\nALTER TABLE orders ADD COLUMN currency char(3) NOT NULL DEFAULT 'EUR';\n"}
SEEN = {"name": "002_seen", "sql": "INSERT INTO seen (n) VALUES (1); UPDATE orders SET quantity = quantity + 1 WHERE id = 7"}


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def place(request):
    """Each kind of database in its turn."""
    return request.getfixturevalue(f"{request.param}_place")


def migrate(place, databases, *steps, policy=QUICK, parallel=1):
    """As the module does: the outcomes by database."""
    planned = steps_of("2.0.0", "expand", steps, place.engine.step)
    return Migrator(place.engine, planned, policy).migrate_all(survey(place.engine, databases, planned), parallel)


def statuses(outcomes) -> dict[str, list[str]]:
    return {name: [row["status"] for row in outcome.rows] for name, outcome in outcomes.items()}


def ledger_of(place, database):
    with place.engine.open(database) as session:
        return {row.step: row for row in place.engine.read_ledger(session)}


def effects(place, database) -> tuple:
    """How often each of both steps was applied."""
    seventh = place.value("SELECT quantity FROM orders WHERE id = 7", database)
    return place.has("currency", database), place.value("SELECT count(*) FROM seen", database), seventh - 7


def test_a_step_is_applied_once(place):
    names = place.make(2)
    assert place.engine.choose_databases(names) == names
    first = migrate(place, names, CURRENCY, SEEN, parallel=2)
    assert report(first) == "" and statuses(first) == {name: ["applied", "applied"] for name in names}
    again = migrate(place, names, CURRENCY, SEEN)
    assert statuses(again) == {name: ["already", "already"] for name in names} and not any(outcome.is_changed for outcome in again.values())
    for name in names:
        assert effects(place, name) == (True, 1, 1)
        assert [(row.step, row.status, row.error) for row in ledger_of(place, name).values()] == [
            ("001_currency", "applied", None), ("002_seen", "applied", None)]


def test_a_step_that_changed_or_vanished_is_refused_before_anything_else(place):
    names = place.make(2)
    migrate(place, names[1:], CURRENCY)
    with pytest.raises(MigrationError) as refused:
        migrate(place, names, {**CURRENCY, "sql": CURRENCY["sql"].replace("EUR", "USD")})
    assert f"nothing was applied anywhere. {names[1]}: expand step 001_currency of 2.0.0 was applied with the checksum" in str(refused.value)
    with pytest.raises(MigrationError, match=r"step 001_currency of 2.0.0, which is not among the steps given"):
        migrate(place, names, {**CURRENCY, "name": "001_renamed"})
    assert ledger_of(place, names[0]) == {} and not place.has("currency", names[0])


@pytest.mark.parametrize("step", [CURRENCY, SEEN], ids=["schema", "rows"])
def test_a_failing_database_is_named_and_left_clean_and_gone_on_with(place, step):
    names = place.make(3)
    broken, repaired = {
        "001_currency": ("ALTER TABLE orders ADD COLUMN currency integer", "ALTER TABLE orders DROP COLUMN currency"),
        "002_seen": ("ALTER TABLE seen RENAME COLUMN n TO m", "ALTER TABLE seen RENAME COLUMN m TO n"),
    }[step["name"]]
    place.run(broken, names[1])
    last = {"name": "003_last", "sql": "INSERT INTO seen VALUES (3)" if step is CURRENCY else "UPDATE orders SET channel = 'x' WHERE id = 3"}
    outcomes = migrate(place, names, step, last)
    assert statuses(outcomes) == {names[0]: ["applied"] * 2, names[1]: ["failed", "pending"], names[2]: ["pending"] * 2}
    message = report(outcomes)
    assert f"migration failed in {names[1]}: expand step {step['name']} of 2.0.0: " in message
    assert f"{names[0]}: complete (2 applied now), {names[2]}: not begun" in message
    assert ledger_of(place, names[1]) == {}
    assert place.value("SELECT count(*) FROM seen", names[1]) == 0 and place.value("SELECT quantity FROM orders WHERE id = 7", names[1]) == 7
    place.run(repaired, names[1])
    finished = migrate(place, names, step, last)
    assert report(finished) == "" and statuses(finished) == {names[0]: ["already"] * 2, names[1]: ["applied"] * 2, names[2]: ["applied"] * 2}


def test_two_controllers_at_once_apply_each_step_once(place):
    names = place.make(2)
    steps = (CURRENCY, SEEN, {"name": "003_double", "sql": place.double})
    patient = Policy(attempts=300, retry_delay_ms=10, batch_pause_ms=1, wait_seconds=60)
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(migrate, place, names, *steps, policy=patient, parallel=2) for _controller in range(2)]
        outcomes = [future.result() for future in both]
    assert [report(outcome) for outcome in outcomes] == ["", ""]
    for name in names:
        found = [statuses(outcome)[name] for outcome in outcomes]
        assert [sorted(pair) for pair in list(zip(*found))[:2]] == [["already", "applied"]] * 2
        assert effects(place, name) == (True, 1, 9)
        assert place.value("SELECT sum(quantity) FROM orders", name) == 2 * (sum(range(501)) + 1)
        assert ledger_of(place, name)["003_double"].progress == {"batches": 13, "rows": 500, "after": "500"}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", [CURRENCY, SEEN], ids=["schema", "rows"])
def test_a_runner_that_dies_beside_the_change_leaves_what_the_next_one_finishes_once(place, monkeypatch, step, moment):
    """It dies when the ledger has got the row, or when it is about to be told that the step is applied."""
    (name,) = place.make(1)
    migrate(place, [name], {"name": "000_ledger", "sql": "UPDATE orders SET channel = 'x' WHERE id = 1"})
    given = ({"name": "000_ledger", "sql": "UPDATE orders SET channel = 'x' WHERE id = 1"}, step)
    deaths = []

    def die(act, is_first):
        def dying(database, *arguments):
            done = act(database, *arguments) if is_first else None
            deaths.append(name)
            database.close()
            return done if is_first else act(database, *arguments)
        return dying

    with monkeypatch.context() as patched:
        if moment == "before":
            patched.setattr(place.ledger, "begin", die(place.ledger.begin, True))
            patched.setattr(place.ledger, "claim", die(place.ledger.claim, True))
        else:
            patched.setattr(place.ledger, "finish", die(place.ledger.finish, False))
        outcomes = migrate(place, [name], *given)
    assert len(deaths) == 1 and statuses(outcomes) == {name: ["already", "failed"]}
    done = migrate(place, [name], *given)
    assert report(done) == "" and statuses(done) == {name: ["already", "applied"]}
    assert effects(place, name) == ((True, 0, 0) if step is CURRENCY else (False, 1, 1))
    assert ledger_of(place, name)[step["name"]].status == "applied"


@pytest.mark.parametrize("kind", ["fill", "double"])
def test_a_batch_step_goes_on_where_it_died(place, monkeypatch, kind):
    (name,) = place.make(1)
    step = {"name": "001_batch", "sql": getattr(place, kind)}
    batches, kept = {"fill": 5, "double": 13}[kind], {"fill": {}, "double": {"after": "500"}}[kind]
    keep, calls, deaths = place.ledger.keep_progress, iter(range(1000)), 0

    def keep_and_die(database, *arguments):
        keep(database, *arguments)
        if next(calls) % 3 == 2:
            database.close()

    with monkeypatch.context() as patched:
        patched.setattr(place.ledger, "keep_progress", keep_and_die)
        while report(outcomes := migrate(place, [name], step)):
            assert ledger_of(place, name)["001_batch"].status == "begun"
            deaths += 1
            assert deaths < 20
    assert deaths == (batches - 1) // 2 and outcomes[name].rows[0]["status"] == "applied"
    assert place.value("SELECT count(*) FROM orders WHERE channel = 'unknown'", name) == (500 if kind == "fill" else 0)
    assert place.value("SELECT sum(quantity) FROM orders", name) == sum(range(501)) * (2 if kind == "double" else 1)
    assert ledger_of(place, name)["001_batch"].progress == {"batches": batches, "rows": 500, **kept}
    assert statuses(migrate(place, [name], step)) == {name: ["already"]}


def test_a_step_that_would_never_end_is_ended(place):
    (name,) = place.make(1)
    endless = {"name": "001_endless", "sql": place.fill.replace("channel IS NULL", "quantity > 0").replace("channel = 'unknown'", "quantity = quantity + 1")}
    message = report(migrate(place, [name], endless))
    assert "expand step 001_endless of 2.0.0 does not come to an end: it has changed" in message
    assert ledger_of(place, name)["001_endless"].error in message


def test_a_large_table_is_not_changed_at_once(place):
    (name,) = place.make(1)
    place.run("CREATE TABLE large (n integer)", name)
    place.run("INSERT INTO large SELECT orders.id FROM orders CROSS JOIN (SELECT id FROM orders WHERE id <= 250) AS times", name)
    place.run(place.analyze, name)
    at_once = {"name": "001_all", "sql": "SELECT 1;\nUPDATE large SET n = 0"}
    with pytest.raises(MigrationError, match=r"001_all of 2.0.0: unbatched-change in line 2 \(a table of .*rows.* in one transaction"):
        migrate(place, [name], at_once)
    accepted = {**at_once, "sql": "-- alwayson: accept unbatched-change\n" + at_once["sql"]}
    assert statuses(migrate(place, [name], accepted)) == {name: ["applied"]}


TOOL = """
import os, sys
folder, database = sys.argv[2:4]
path = os.path.join(folder, "tool")
if sys.argv[1] == "status":
    sys.exit(0 if os.path.exists(path) else 3)
with open(path, "a", encoding="utf-8") as file:
    file.write(database + " " + (os.environ.get("PGDATABASE") or os.environ.get("MYSQL_DATABASE") or "") + "\\n")
sys.exit(int(os.environ.get("DIE", 0)))
"""


def test_a_tool_is_run_once_and_not_again_when_it_says_that_nothing_is_left(place, tmp_path):
    (name,) = place.make(1)
    (tmp_path / "tool.py").write_text(TOOL, encoding="utf-8")

    def run(**environment):
        words = [str(tmp_path), "{database}"]
        step = command_step("2.0.0", "expand", [sys.executable, "tool.py", "up", *words], [sys.executable, "tool.py", "status", *words], environment,
                            str(tmp_path))
        return Migrator(place.engine, [step], QUICK).migrate_all(survey(place.engine, [name], [step]), 1)

    assert "ended with 5" in report(run(DIE="5")) and ledger_of(place, name)["command"].status == "begun"
    assert statuses(run()) == {name: ["applied"]} and statuses(run()) == {name: ["already"]}
    reported = "" if place.options["engine"] == "sqlite" else name
    assert (tmp_path / "tool").read_text() == f"{name} {reported}\n"


def test_the_module_in_check_mode_and_without(place, tmp_path):
    names = place.make(2)
    options = {**place.options, "databases": names, "release": "2.0.0", "phase": "expand", "steps": [CURRENCY, SEEN]}

    def ansible(*flags, module="database_migration", given=options):
        done = tool("ansible", tmp_path, "localhost", "-m", f"alwayson.upgrade.{module}", "-a", json.dumps(given), *flags)
        return json.loads(done.stdout.partition(" => ")[2])

    checked = ansible("--check")
    assert checked["changed"] and [row["status"] for name in names for row in checked["migrations"][name]] == ["pending"] * 4
    assert [ledger_of(place, name) for name in names] == [{}, {}] and [effects(place, name) for name in names] == [(False, 0, 0)] * 2
    first, again = ansible(), ansible()
    assert first["changed"] and [row["status"] for name in names for row in first["migrations"][name]] == ["applied"] * 4
    assert not again["changed"] and [effects(place, name) for name in names] == [(True, 1, 1)] * 2
    info = ansible(module="database_info", given={**place.options, "databases": names, "tenants_query": "SELECT 'acme' UNION SELECT 'globex'"})
    assert list(info["databases"]) == names and info["primary"] and not info["read_only"]
    for facts in info["databases"].values():
        assert [(row["step"], row["status"]) for row in facts["migrations"]] == [("001_currency", "applied"), ("002_seen", "applied")]
        assert facts["tables"] == 3 and facts["size_bytes"] > 0 and facts["tenants"] == ["acme", "globex"]
