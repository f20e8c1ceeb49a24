# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a call loads: each is compiled again at every call, so an engine or a kind of load balancer loads its own only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PREFIX = "ansible_collections.alwayson.upgrade.plugins.module_utils."
# Prints the names of all that is loaded; a module of this collection without its prefix, and without the packages.
SHOW = f"""
print(json.dumps([name.removeprefix("{PREFIX}") for name, module in sys.modules.items()
                  if (name.startswith("{PREFIX}") or "." not in name) and not (name.startswith("{PREFIX}") and hasattr(module, "__path__"))]))
"""
EVERY_CALL = {"_host.ansible_module", "_host.credentials"}
EVERY_ENGINE = EVERY_CALL | {"_database_engines", "_database.interface", "_database.errors", "_database.description", "_database.migration.ledger_row"}
ROOMS = ("_database_engines", "_database", "_host", "_postgresql", "_mariadb", "_sqlite")
OWN = ("engine", "server", "session", "migration.ledger_rows")
ENGINES = {
    "postgresql": EVERY_ENGINE | {f"_postgresql.{name}" for name in (*OWN, "catalog", "environment")}
    | {"_host.waiting", "_database.messages", "_database.scratch_names"},
    "mariadb": EVERY_ENGINE | {f"_mariadb.{name}" for name in OWN} | {"_database.messages", "_database.scratch_names"},
    "sqlite": EVERY_ENGINE | {f"_sqlite.{name}" for name in OWN} | {"_host.private_copy"},
}
ASK_A_DATABASE = """
import contextlib, json, sys
from ansible_collections.alwayson.upgrade.plugins.modules.database_info import ARGUMENTS, DatabaseError, answer
options = {name: argument.get("default") for name, argument in ARGUMENTS.items()}
with contextlib.suppress(DatabaseError):
    answer({**options, "engine": "%s", "login_host": "127.0.0.1", "login_port": 1, "databases": ["/nowhere"]}, False)
"""
# A drain's and a look's files, beside the kind's own folder or file.
KINDS = ("haproxy", "envoy", "caddy", "traefik", "nginx", "nginx_plus", "http", "none")
OF_KIND = {"nginx_plus": "http_api", "http": "http_api", "none": "health_switch"}
ASK_A_LOAD_BALANCER = """
import json, sys
from ansible_collections.alwayson.upgrade.plugins.modules import %s
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import LoadBalancerError, open_load_balancer
try:
    open_load_balancer({"name": "lb1", "endpoint": "%s", "kind": "%s"}, 0).read("app")
except LoadBalancerError:
    pass
"""


def run(program: str) -> list[str]:
    """What a Python program prints, as JSON."""
    environment = {"PYTHONPATH": str(REPOSITORY / "build" / "collections"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded(program: str) -> set[str]:
    """What a Python process has loaded at the end of this program."""
    return set(run(program + SHOW))


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_look_at_a_database_loads_its_own_engine_only(engine):
    names = loaded(ASK_A_DATABASE % engine)
    assert {name for name in names if name.split(".")[0] in ROOMS} == ENGINES[engine]
    assert {"psycopg", "psycopg2", "pymysql", "sqlite3"} & names <= {"postgresql": {"psycopg2"}, "mariadb": {"pymysql"}, "sqlite": {"sqlite3"}}[engine]
    assert "asyncio" not in names


@pytest.mark.parametrize("module", ["traffic_info", "traffic_member"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_loads_its_own_kind_of_load_balancer_only(kind, module):
    names = loaded(ASK_A_LOAD_BALANCER % (module, "unix:/nowhere" if kind == "haproxy" else "http://127.0.0.1:1", kind))
    kinds = {name.split(".")[2] for name in names if name.startswith("_traffic.kinds.")}
    assert OF_KIND.get(kind, kind) in kinds and kinds <= {OF_KIND.get(kind, kind)}
    assert {"_locking.fence"} & names == ({"_locking.fence"} if module == "traffic_member" else set())


def test_only_a_page_loads_the_pictures():
    program = """
import json, sys
from ansible_collections.alwayson.upgrade.plugins.filter.report import FilterModule
filters = FilterModule().filters()
report = filters["run_report"]({})
filters["report_text"](report)
"""
    show = 'print(json.dumps([name for name in sys.modules if "._report.pictures." in name]))'
    assert run(program + show) == [] and len(run(program + 'filters["report_html"](report)\n' + show)) > 5
