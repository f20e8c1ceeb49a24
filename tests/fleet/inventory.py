# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as an Ansible inventory: everything a playbook needs to know of these hosts, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from fleet import members, postgres, postgresctl
from fleet.layout import TENANTS, Layout, Member


def write(layout: Layout, binaries: Path, load_balancers: Mapping[str, dict], name_of: Callable[[Member], str], pooler_file: Path | None = None) -> Path:
    """Write inventory.yml into the run folder.

    :param binaries: PostgreSQL's client programs.
    :param load_balancers: the variables by which each is driven.
    :param name_of: how the load balancers call a member.
    :param pooler_file: where the pooler's databases are described, when there is one.
    """
    path = layout.directory / "inventory.yml"
    text = yaml.safe_dump({"all": describe(layout, binaries, load_balancers, name_of, pooler_file)}, explicit_start=True, sort_keys=False, width=160)
    path.write_text(text, encoding="utf-8")
    return path


def describe(layout: Layout, binaries: Path, load_balancers: Mapping[str, dict], name_of: Callable[[Member], str], pooler_file: Path | None = None) -> dict:
    """The group `all`: every host is this machine, told apart by addresses and folders."""
    return {
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        "children": {
            "load_balancers": {
                "hosts": {lb.name: {**load_balancers[lb.name], "front_url": lb.front_url} for lb in layout.load_balancers},
            },
            **_application(layout, name_of),
            "databases": {"hosts": {"db1": _database(layout, binaries)}},
            **(_replication(layout, binaries, pooler_file) if pooler_file else {}),
        },
    }


def _replication(layout: Layout, binaries: Path, pooler_file: Path) -> dict:
    """The standby and the pooler: not among the databases, which are backed up and migrated at their primary. Both servers are among those to be patched."""
    standby = {"postgresql_login_host": layout.standby.address, "postgresql_login_port": layout.standby.port, "postgresql_login_user": postgres.OWNER}
    folders = {"db1": layout.directory / "postgres", "db2": layout.directory / "standby"}
    servers = {name: {"postgresql_data_directory": str(folder / "data"), "postgresql_bin_dir": str(binaries), "postgresql_become": False,
                      "postgresql_replication": f"user={postgres.REPLICATOR} sslmode=disable gssencmode=disable",
                      **{f"postgresql_{verb}_command": [sys.executable, postgresctl.__file__, verb, str(folder)] for verb in ("stop", "start")}}
               for name, folder in folders.items()}
    pooler = {"name": "pooler1", "host": layout.pooler.address, "port": layout.pooler.port, "user": postgres.OWNER, "file": str(pooler_file)}
    return {"standbys": {"hosts": {"db2": standby}}, "database_servers": {"hosts": servers}, "poolers": {"hosts": {"pooler1": {"pooler": pooler}}}}


def _application(layout: Layout, name_of: Callable[[Member], str]) -> dict:
    """The group app; with two colours a group of each."""
    groups = {pool: {"hosts": {member.name: _member(member, name_of(member)) for member in layout.members if member.pool == pool}} for pool in layout.pools}
    return groups if len(groups) == 1 else {f"app_{pool}": group for pool, group in groups.items()}


def _member(member: Member, name: str) -> dict:
    return {
        **({"member_name": name} if name != member.name else {}),
        "zone": member.zone,
        "member_address": member.endpoint.address,
        "member_port": member.endpoint.port,
        "release_root": str(member.directory),
        **{f"release_{verb}_command": members.command(member, verb) for verb in ("stop", "start", "status")},
    }


def _database(layout: Layout, binaries: Path) -> dict:
    return {
        "postgresql_login_host": layout.database.address,
        "postgresql_login_port": layout.database.port,
        "postgresql_login_user": postgres.OWNER,
        "postgresql_bin_dir": str(binaries),
        "postgresql_databases": list(TENANTS.values()),
    }
