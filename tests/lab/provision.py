# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host finds in /lab at its first boot: its key, its files (a tree like /), and the script that sets it up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fleet import artifacts, postgres
from fleet.artifacts import Artifact
from lab.keys import Keys
from lab.layout import HOSTS, PRIMARY, STANDBY, TENANTS, VIRTUAL_ADDRESS, Host, host, of_role

TEMPLATES = Path(__file__).with_name("templates")
APPLICATION_PORT, POOLER_PORT = 8080, 6432


def write(directory: Path, keys: Keys, artifact: Artifact) -> None:
    """Write the folder of every host."""
    for each in HOSTS:
        folder = directory / each.name
        (folder / "root").mkdir(parents=True)
        values = _values(each, keys)
        keys.make_host_key(each, folder)
        shutil.copy(keys.operator.with_suffix(".pub"), folder / "authorized_keys")
        setups = [TEMPLATES / "common.sh", TEMPLATES / each.role / "setup.sh"]
        (folder / "setup").write_text("\n".join(_filled(path, values) for path in setups), encoding="utf-8")
        for path in sorted((TEMPLATES / each.role / "root").rglob("*")):
            if path.is_file():
                _put(folder / "root" / path.relative_to(TEMPLATES / each.role / "root"), _filled(path, values))
        if each.role == "application":
            artifacts.install(artifact, folder / "root" / "srv" / "shop")
        if each.name == PRIMARY:
            shutil.copy(postgres.SCHEMA, folder / "schema.sql")


def _values(each: Host, keys: Keys) -> dict[str, str]:
    """What the templates may name as @NAME@."""
    balancers = of_role("load_balancer")
    partner = next((other.address for other in balancers if other != each), "")
    servers = "\n".join(f"  server {member.name} {member.address}:{APPLICATION_PORT} cookie {member.name}" for member in of_role("application"))
    pooler = {tenant: f"host={host(PRIMARY).address} port={POOLER_PORT} dbname={database} user={postgres.APPLICATION} "
                      f"password={keys.password(postgres.APPLICATION)} application_name={each.name} connect_timeout=3 gssencmode=disable"
              for tenant, database in TENANTS.items()}
    return {
        "NAME": each.name, "ADDRESS": each.address, "VIP": VIRTUAL_ADDRESS, "PARTNER": partner,
        "PRIORITY": str(150 - 10 * balancers.index(each)) if each in balancers else "",
        "HOSTS": "\n".join(f"{other.address} {other.name}" for other in HOSTS), "REPOSITORY": of_role("repository")[0].address,
        "SERVERS": servers, "PORT": str(APPLICATION_PORT), "POOLER_PORT": str(POOLER_PORT), "TENANTS": json.dumps(pooler),
        "PRIMARY": host(PRIMARY).address, "STANDBY": host(STANDBY).address, "IS_PRIMARY": str(each.name == PRIMARY).lower(),
        "DATABASES": " ".join(TENANTS.values()), "OWNER": postgres.OWNER, "APPLICATION": postgres.APPLICATION,
        **{f"PASSWORD_{role.upper()}": keys.password(role) for role in (postgres.OWNER, postgres.APPLICATION, "replication")},
    }


def _filled(path: Path, values: dict[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
