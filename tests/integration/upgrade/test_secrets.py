# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary in every variable that can hold a secret: ``-vvv`` prints none of them, whatever a run is refused for, and no file has one.

tests/unit/modules/test_canary_secrets.py does this for each option of each module.
"""

from __future__ import annotations

import pytest
import yaml
from fleet.small import REPOSITORY, SmallFleet


def canary(name: str) -> str:
    return f"canary-4f1-{name}"


def with_secrets(fleet: SmallFleet) -> dict:
    """Canaries in the inventory, and those in the variables of the service."""
    path = fleet.directory / "inventory.yml"
    inventory = yaml.safe_load(path.read_text(encoding="utf-8"))
    balancer = inventory["all"]["children"]["load_balancers"]["hosts"]["lb1"]
    balancer["traffic_headers"] = {"Authorization": f"Bearer {canary('header')}"}
    balancer["traffic_settings"]["path"] += f"?key={canary('path')}"
    fleet._balancer.routes[f"GET /pool/app?key={canary('path')}"] = fleet._balancer.routes["GET /pool/app"]
    balancer["traffic_settings"]["change"]["ready"].update(path=f"/set/{{backend}}/{{name}}/ready?key={canary('change')}", body={"token": canary("body")})
    for host in inventory["all"]["children"]["app"]["hosts"].values():
        host["upgrade_migration_environment"] = {"DATABASE_URL": f"postgresql://u:{canary('environment')}@h/d"}
    inventory["all"]["children"]["databases"] = {"hosts": {"db1": {"postgresql_login_host": "127.0.0.1", "postgresql_login_port": 1,
                                                                   "postgresql_login_password": canary("login")}}}
    path.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    (fleet.directory / "ansible.cfg").write_text("[defaults]\nverbosity = 3\n", encoding="ascii")
    entry = {"kind": "write", "share": 1, "path": f"/healthz?k={canary('query')}", "body": {"password": canary("probe-body")}}
    tests = [{"path": f"/version?token={canary('smoke-query')}", "secret_headers": {"X-Any": canary("smoke-header")}, "headers": {"Cookie": canary("cookie")}},
             {"name": "login", "path": "/version", "method": "POST", "body": {"password": canary("smoke-body")}, "holds_for": "both"}]
    return {"upgrade_probe": {"targets": [fleet._balancer.url], "rate": 5, "mix": [entry], "headers": {"Authorization": canary("probe-header")}},
            "upgrade_smoke_tests": tests, "upgrade_migration_command": ["/bin/true"], "upgrade_databases": "databases",
            "upgrade_artifact": f"http://u:{canary('artifact')}@127.0.0.1:1/shop.tar.gz?sig={canary('signature')}", "upgrade_artifact_sha256": "0" * 64}


@pytest.mark.parametrize("playbook", ["plan", "install"])
def test_no_secret_is_printed_or_kept(playbook):
    with SmallFleet(REPOSITORY / "build" / "integration" / f"test_secrets_{playbook}", upgrade_release="1.0.0") as fleet:
        run = fleet.run(playbook, **with_secrets(fleet))
        assert "Read every load balancer" in run.output and "Describe the service" in run.output
        found = sorted({line.strip()[:300] for line in run.output.splitlines() if "canary-4f1" in line})
        assert found == []
        kept = [str(path) for folder in ("report", "state", "ansible") for path in (fleet.directory / folder).rglob("*")
                if path.is_file() and b"canary-4f1" in path.read_bytes()]
        assert kept == []
