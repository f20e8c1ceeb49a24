# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole upgrade whose databases are of another kind than PostgreSQL: backed up with proof, migrated in all phases, backed up again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fleet import mariadb
from fleet.ports import Ports
from integration.database.kinds import PASSWORD, MariadbKind, SqliteKind
from integration.upgrade.conftest import REPOSITORY

SHOP_STEPS = REPOSITORY / "tests" / "fleet" / "shop" / "migrations" / "2.0.0" / "expand"
# By phase; a batch with a limit of its own is what each kind writes differently.
STEPS = {
    "expand": "ALTER TABLE orders ADD COLUMN channel varchar(20)",
    "backfill": "-- alwayson: batch\nUPDATE orders SET channel = 'web' WHERE channel IS NULL {limit}",
    "contract": "DROP VIEW large_orders",
}
LIMITS = {"sqlite": "AND id IN (SELECT id FROM orders WHERE channel IS NULL LIMIT 200)", "mariadb": "LIMIT 200"}


@pytest.fixture
def sqlite_kind(tmp_path):
    return SqliteKind(tmp_path)


@pytest.fixture
def mariadb_kind(tmp_path):
    try:
        programs = mariadb.find_programs(REPOSITORY / "build" / "cache" / "mariadb")
    except mariadb.MariadbMissing as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with mariadb.running(programs, tmp_path / "server", Ports().endpoint("127.0.0.1"), PASSWORD) as server:
        yield MariadbKind(server)


def variables(kind, database: str, folder: Path) -> dict:
    """What the fleet's description says of these databases."""
    for phase, sql in STEPS.items():
        (folder / "2.0.0" / phase).mkdir(parents=True)
        (folder / "2.0.0" / phase / f"001_{phase}.sql").write_text(sql.format(limit=LIMITS[kind.name]), encoding="utf-8")
    login = {name.replace("login", "database_login"): value for name, value in kind.login.items() if name != "engine"}
    return {"database_engine": kind.name, **login, **{f"database_{name}": value for name, value in kind.programs.items()},
            "upgrade_database_names": [database], "upgrade_migrations": str(folder), "upgrade_contract": True, "upgrade_database_standbys": 0}


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["sqlite", "mariadb"])
def test_databases_of_another_kind_go_the_whole_way(another_operator, request, tmp_path, name):
    operator, kind = another_operator, request.getfixturevalue(f"{name}_kind")
    database = kind.make()
    given = variables(kind, database, tmp_path / "migrations")
    # The shop itself has its data in PostgreSQL, which nobody migrates in this run.
    for tenant in ("tenant_a", "tenant_b"):
        for step in sorted(SHOP_STEPS.iterdir()):
            operator.fleet.query(tenant, step.read_text(encoding="utf-8"))
    run = operator.run("upgrade", upgrade_release="2.0.0", **given)
    assert run.code == 0, run.output[-3000:]
    assert set(operator.versions().values()) == {"2.0.0"}
    assert kind.value(database, "SELECT count(*) FROM orders WHERE channel = 'web'") == 500
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((operator.fleet.directory / "backups").glob(f"*{kind.suffix}.json"))]
    # The folder may hold backups of earlier fleets.
    proven = [one for one in found if one["database"] == database]
    assert [(one["database"], one["proven"], one["contents"][database]["tables"].keys() >= {"orders", "products"}) for one in proven] == [
        (database, True, True)] * 2
    assert [sum("channel" in sentence for sentence in one["contents"][database]["structure"]) > 0 for one in proven] == [False, True]
    again = operator.run("upgrade", upgrade_release="2.0.0", **given)
    assert again.code == 0 and set(again.changed.values()) == {0}, again.output[-3000:]
