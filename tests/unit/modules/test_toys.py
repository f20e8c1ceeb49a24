# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new kind of load balancer is one file and one line in its registry, a new database engine one folder and one line: driven through the modules.

The file and the folder are below `toys`; the lines are what the fixtures add. Nothing else knows of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_engines, _load_balancers
from ansible_collections.alwayson.upgrade.plugins.modules import (
    database_backup, database_info, database_migration, traffic_info, traffic_member, traffic_route, traffic_weight,
)
from run_module import run_module
from toys.balancer import ToyBalancer
from toys.engine.engine import Toy
from toys.engine.files import LEDGER, Session

REPOSITORY = Path(__file__).resolve().parents[3]
PRODUCTS = [{"id": 1, "name": "tea"}, {"id": 2, "name": "milk"}]
MODULES = (traffic_member, database_backup, database_migration)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    """The two lines, and what follows from them in the argument specs, which are made of the registries when they are imported."""
    monkeypatch.setitem(_load_balancers.KINDS, "toy", lambda: ToyBalancer)
    monkeypatch.setitem(_load_balancers.ARGUMENTS["load_balancers"]["options"]["kind"], "choices", list(_load_balancers.KINDS))
    monkeypatch.setitem(_database_engines.ENGINES, "toy", lambda: Toy)
    monkeypatch.setitem(_database_engines.ARGUMENTS["engine"], "choices", list(_database_engines.ENGINES))
    for module in MODULES:
        if hasattr(module, "unwind_when_ended"):
            monkeypatch.setattr(module, "unwind_when_ended", lambda *_given: None)


def test_nothing_else_names_the_toys():
    named = [str(path) for folder in ("plugins", "roles", "playbooks") for path in (REPOSITORY / folder).rglob("*")
             if path.suffix in (".py", ".yml") and "toy" in path.read_text(encoding="utf-8").lower().split()]
    assert named == []


class Pool:
    """Two load balancers of the toy kind, each with three members of a pool."""

    def __init__(self, folder, capsys):
        self.paths = [folder / f"lb{number}.json" for number in (1, 2)]
        self._capsys = capsys
        for path in self.paths:
            self.set(path, {name: {"address": f"10.0.0.{number}:80", "admin": "ready", "alive": True, "sessions": 0}
                            for number, name in enumerate(("s1", "s2", "s3"), 1)})

    def set(self, path, members):
        path.write_text(json.dumps({"app": members}), encoding="utf-8")

    def members(self, path):
        return json.loads(path.read_text(encoding="utf-8"))["app"]

    def change(self, path, member, **facts):
        members = self.members(path)
        members[member].update(facts)
        self.set(path, members)

    def admins(self, member):
        return [self.members(path)[member]["admin"] for path in self.paths]

    def run(self, module, **options):
        specs = [{"name": path.stem, "kind": "toy", "endpoint": f"toy:{path}"} for path in self.paths]
        return run_module(module.main, self._capsys, load_balancers=[{**spec, **options.pop("entry", {})} for spec in specs], **options)


@pytest.fixture(name="pool")
def _pool(tmp_path, capsys):
    return Pool(tmp_path, capsys)


def test_a_member_is_drained_proven_and_returned_by_the_toy_kind(pool):
    for path in pool.paths:
        pool.change(path, "s1", sessions=3)
    out = pool.run(traffic_member, backend="app", members=["s1"], state="drained", min_live=2)
    assert out.get("changed") is True, out
    assert pool.admins("s1") == ["maint", "maint"] and pool.admins("s2") == ["ready", "ready"]
    assert {name: proof["s1"]["sessions"] for name, proof in out["proof"].items()} == {"lb1": 0, "lb2": 0}
    assert pool.run(traffic_member, backend="app", members=["s1"], state="drained", min_live=2)["changed"] is False
    seen = pool.run(traffic_info, backend="app")
    assert (seen["live"], seen["agree"]) == ({"app": 2}, True)
    back = pool.run(traffic_member, backend="app", members=["s1"], state="ready")
    assert back["changed"] is True and pool.admins("s1") == ["ready", "ready"]


def test_sessions_that_do_not_end_bring_the_state_before_back(pool):
    pool.change(pool.paths[1], "s1", sessions=5)
    failed = pool.run(traffic_member, backend="app", members=["s1"], state="drained", timeout=0.3, entry={"settings": {"pace": 0}})
    assert failed["failed"] is True and "The previous state was restored on lb1, lb2" in failed["msg"], failed
    assert pool.admins("s1") == ["ready", "ready"]


def test_a_member_that_is_dead_is_not_brought_back(pool):
    for path in pool.paths:
        pool.change(path, "s1", admin="maint", alive=False)
    failed = pool.run(traffic_member, backend="app", members=["s1"], state="ready", timeout=0.3)
    assert failed["failed"] is True and pool.admins("s1") == ["maint", "maint"]


def test_a_floor_holds_for_the_toy_kind(pool):
    pool.change(pool.paths[0], "s2", alive=False)
    failed = pool.run(traffic_member, backend="app", members=["s1"], state="drained", min_live=2, timeout=0.3)
    assert failed["failed"] is True and pool.admins("s1") == ["ready", "ready"]


def test_a_load_balancer_that_does_not_obey_is_found_out(pool, monkeypatch):
    monkeypatch.setattr(ToyBalancer, "apply", lambda self, backend, changes: None)
    failed = pool.run(traffic_member, backend="app", members=["s1"], state="drained")
    assert failed["failed"] is True and "has app/s1 in ready although it was set to drain" in failed["msg"]


@pytest.mark.parametrize(("entry", "said"), [
    ({"headers": {"a": "b"}}, "lb1 has headers, which kind=toy has not"),
    ({"state_file": "/s"}, "lb1 has state_file, which kind=toy has not"),
    ({"settings": {"speed": 1}}, "lb1 has unknown settings speed for kind=toy: it has pace"),
    ({"kind": "tyo"}, "value of kind must be one of: haproxy, envoy, caddy, traefik, nginx, nginx_plus, http, none, toy"),
])
def test_what_the_toy_kind_has_not_is_refused(pool, entry, said):
    assert said in pool.run(traffic_info, entry=entry)["msg"]


def test_what_the_toy_kind_cannot_do_is_refused_by_name(pool):
    assert "is of a kind whose weights are not set here" in pool.run(traffic_weight, backend="app", members=["s1"], percent=10)["msg"]
    assert "has no map in which it looks up a route" in pool.run(traffic_route, backend="app", map="m", key="k")["msg"]


class Databases:
    """Two databases of the toy engine."""

    def __init__(self, folder, capsys):
        self.root, self.backups, self._capsys = folder / "databases", folder / "backups", capsys
        self.names = [str(self.root / name) for name in ("shop", "stock")]
        for name in self.names:
            Path(name).mkdir(parents=True)
            (Path(name) / "products.json").write_text(json.dumps(PRODUCTS), encoding="utf-8")

    def rows(self, name, table="products"):
        return json.loads((Path(name) / f"{table}.json").read_text(encoding="utf-8"))

    def run(self, module, check_mode=False, **options):
        return run_module(module.main, self._capsys, check_mode, engine="toy", login_unix_socket=str(self.root), **options)

    def back_up(self, state="proven"):
        return self.run(database_backup, directory=str(self.backups), state=state)

    def migrate(self, *scripts, check_mode=False):
        steps = [{"name": f"{number:03d}", "sql": sql} for number, sql in enumerate(scripts, 1)]
        return self.run(database_migration, check_mode, release="2.0.0", phase="expand", steps=steps)


@pytest.fixture(name="databases")
def _databases(tmp_path, capsys):
    return Databases(tmp_path, capsys)


def test_databases_of_the_toy_engine_are_listed(databases):
    seen = databases.run(database_info)
    assert list(seen["databases"]) == databases.names and seen["primary"] is True and seen["version"] == "1.0"
    assert [(facts["tables"], facts["migrations"]) for facts in seen["databases"].values()] == [(1, []), (1, [])]
    assert "no such database: /nowhere" in databases.run(database_info, databases=["/nowhere"])["msg"]


def test_a_database_of_the_toy_engine_is_backed_up_and_proven(databases):
    done = databases.back_up()
    rows = done["backups"]
    assert [(rows[name]["proven"], rows[name]["rows"], rows[name]["path"][-4:]) for name in databases.names] == [(True, 2, ".toy")] * 2, done
    again = databases.back_up("verified")
    assert again["changed"] is False and all(row["proven"] for row in again["backups"].values())


def test_a_backup_of_the_toy_engine_that_was_touched_is_not_proven(databases):
    path = Path(databases.back_up()["backups"][databases.names[0]]["path"])
    path.write_text(path.read_text(encoding="utf-8").replace("milk", "MILK"), encoding="utf-8")
    failed = databases.back_up("verified")
    assert failed["failed"] is True and f"the checksum differs for {path.name}" in failed["msg"]
    assert [row["proven"] for row in failed["backups"].values()] == [False, True]


def test_the_fingerprint_of_a_restored_copy_is_compared(databases, monkeypatch):
    write = Session.write
    monkeypatch.setattr(Session, "write", lambda self, table, rows: write(self, table, rows[:-1]))
    failed = databases.back_up()
    assert failed["failed"] is True and "products has 1 rows instead of 2" in failed["msg"]
    assert list(databases.backups.glob("*.toy")) == []


def test_what_a_killed_backup_of_the_toy_engine_left_is_removed(databases):
    databases.back_up()
    debris = databases.backups / "shop-20270101T000000.000Z.toy.partial"
    debris.write_text("half", encoding="utf-8")
    assert databases.back_up()["changed"] is True and not debris.exists()
    assert len(list(databases.backups.glob("*.toy"))) == 4


def test_a_database_of_the_toy_engine_is_migrated_with_a_ledger(databases):
    script = '-- why\nadd products {"id": 3, "name": "salt"}'
    planned = databases.migrate(script, check_mode=True)
    assert planned["changed"] is True and databases.rows(databases.names[0]) == PRODUCTS
    done = databases.migrate(script)
    assert [row[0]["status"] for row in done["migrations"].values()] == ["applied"] * 2, done
    assert all(len(databases.rows(name)) == 3 for name in databases.names)
    assert databases.migrate(script)["changed"] is False
    seen = databases.run(database_info)["databases"][databases.names[0]]["migrations"]
    assert [(row["step"], row["status"]) for row in seen] == [("001", "applied")]
    assert databases.rows(databases.names[0], LEDGER)[0]["checksum"] == seen[0]["checksum"]
    assert "was applied with the checksum" in databases.migrate(script + " ")["msg"]


def test_a_step_of_the_toy_engine_that_fails_is_kept_in_the_ledger(databases):
    failed = databases.migrate("add products {}", "add products {")
    assert failed["failed"] is True and "is no JSON" in failed["msg"]
    rows = databases.rows(databases.names[0], LEDGER)
    assert [(row["step"], row["status"], "is no JSON" in (row["error"] or "")) for row in rows] == [("001", "applied", False), ("002", "begun", True)]
    assert "begun" in databases.migrate("add products {}", "add products {}")["msg"]


@pytest.mark.parametrize(("script", "said"), [
    ("drop products", "drop is no verb"),
    ("-- alwayson: batch\nadd products {}", "has no directive but accept"),
    ("-- alwayson: nonsense\nadd products {}", "which is none of"),
])
def test_what_is_no_step_of_the_toy_engine_is_refused_before_anything_is_applied(databases, script, said):
    assert said in databases.migrate(script)["msg"] and databases.rows(databases.names[0]) == PRODUCTS


def test_a_linter_is_refused_that_the_toy_engine_has_not(databases):
    failed = databases.run(database_migration, release="2.0.0", phase="expand", steps=[], linter="/usr/bin/squawk")
    assert "does not check steps for this engine, which has no linter" in failed["msg"]
