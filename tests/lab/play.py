# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible against the lab: in its network, with an environment that leaves no trace outside the lab's directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from lab.inventory import SSH
from lab.lab import REPOSITORY, Lab
from lab.layout import VIRTUAL_ADDRESS, host

PLAYBOOK_SECONDS = 900
SERVICE = Path(__file__).with_name("service.yml")


def environment(lab: Lab) -> dict[str, str]:
    """Ansible's own files stay in the lab's directory."""
    ansible = lab.directory / "ansible"
    ansible.mkdir(parents=True, exist_ok=True)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_HOME": str(ansible), "ANSIBLE_LOCAL_TEMP": str(ansible / "tmp"), "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
        "ANSIBLE_INVENTORY": str(lab.inventory), "ANSIBLE_FORKS": "6", "ANSIBLE_PIPELINING": "true", "ANSIBLE_NOCOWS": "1",
        # Sockets' paths are short.
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(lab.podman.run_folder / "ssh"),
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false", "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml", "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_DEPRECATION_WARNINGS": "false", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def variables(lab: Lab) -> dict[str, str]:
    """What service.yml needs to know of this lab."""
    return {"lab_directory": str(lab.directory), "lab_repository": str(REPOSITORY), "lab_virtual_address": VIRTUAL_ADDRESS}


def variable_arguments(lab: Lab) -> list[str]:
    """What a playbook is told about the lab."""
    return ["--extra-vars", f"@{SERVICE}", "--extra-vars", json.dumps(variables(lab))]


def ssh_command(lab: Lab, name: str) -> list[str]:
    """Open a session on a host as the operator."""
    return ["ssh", "-i", str(lab.keys.operator), *SSH.format(known=lab.keys.known_hosts).split(), f"deploy@{host(name).address}"]


def run_playbook(lab: Lab, playbook: str, more: dict | None = None, arguments: tuple[str, ...] = (), *, output=None,
                 extra: dict[str, str] | None = None) -> int:
    """Run a playbook of the collection, or a file, with `more` variables; returns its exit status. `output` is a file for what it says."""
    return begin_playbook(lab, playbook, more, arguments, output=output, extra=extra).wait(PLAYBOOK_SECONDS)


def begin_playbook(lab: Lab, playbook: str, more: dict | None = None, arguments: tuple[str, ...] = (), *, output=None,
                   extra: dict[str, str] | None = None) -> subprocess.Popen:
    """Start a playbook as `run_playbook` does, in a process group of its own."""
    command = ["ansible-playbook", playbook, *variable_arguments(lab), "--extra-vars", json.dumps(more or {}), *arguments]
    return subprocess.Popen(lab.podman.inside(command), env={**environment(lab), **(extra or {})}, stdin=subprocess.DEVNULL,
                            stdout=output, stderr=output and subprocess.STDOUT, start_new_session=True)
