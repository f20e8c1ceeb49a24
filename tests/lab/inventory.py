# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as an Ansible inventory: what an operator writes for a real fleet. Secrets lie in a file of their own, which only its owner can read."""

from __future__ import annotations

from pathlib import Path

import yaml

from lab.keys import Keys
from lab.layout import Host, of_role
from lab.provision import APPLICATION_PORT

SSH = ("-o StrictHostKeyChecking=yes -o UserKnownHostsFile={known} -o IdentitiesOnly=yes -o ControlMaster=auto -o ControlPersist=60s "
       "-o ServerAliveInterval=3 -o ServerAliveCountMax=2 -o ConnectTimeout=8")


def write(directory: Path, keys: Keys) -> None:
    """Write inventory/hosts.yml."""
    folder = directory / "inventory"
    folder.mkdir(parents=True)
    text = yaml.safe_dump({"all": _describe(keys)}, explicit_start=True, sort_keys=False, width=160)
    (folder / "hosts.yml").write_text(text, encoding="utf-8")


def _describe(keys: Keys) -> dict:
    return {
        "vars": {
            "ansible_user": "deploy", "ansible_ssh_private_key_file": str(keys.operator), "ansible_ssh_common_args": SSH.format(known=keys.known_hosts),
            "ansible_python_interpreter": "/usr/bin/python3",
        },
        "children": {
            "load_balancers": {"hosts": {each.name: {**_at(each), "front_url": f"http://{each.address}"} for each in of_role("load_balancer")}},
            "app": {
                "hosts": {each.name: _at(each) for each in of_role("application")},
                "vars": {"ansible_become": True, "release_root": "/srv/shop", "release_service": "shop", "member_port": APPLICATION_PORT},
            },
            "databases": {
                "hosts": {each.name: _at(each) for each in of_role("database")[:1]},
                "vars": {"ansible_become": True, "ansible_become_user": "postgres", "ansible_become_method": "ansible.builtin.sudo"},
            },
            "standbys": {"hosts": {each.name: _at(each) for each in of_role("database")[1:]}},
            "repositories": {"hosts": {each.name: _at(each) for each in of_role("repository")}},
        },
    }


def _at(each: Host) -> dict:
    return {"ansible_host": each.address, **({"zone": each.zone} if each.zone else {})}
