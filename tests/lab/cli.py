# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab on the command line.

    build/venv/bin/python tests/lab/cli.py up | down | status
    build/venv/bin/python tests/lab/cli.py run ansible-playbook alwayson.upgrade.plan -e upgrade_release=2.0.0      # any command, in the lab's network
    build/venv/bin/python tests/lab/cli.py run ssh app1
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

# Not this folder, which is put there: its lab.py would stand for the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from fleet.processes import exit_code_of, uninterrupted
from lab import play
from lab.lab import Lab
from lab.layout import HOSTS
from lab.podman import LabError, missing

NO_LAB = 3


def up(lab: Lab) -> int:
    """Start the lab."""
    if why := missing():
        print(f"lab: skipped: {why}", file=sys.stderr)
        return NO_LAB
    began = time.monotonic()
    lab.up()
    print(f"{len(HOSTS)} hosts answer after {time.monotonic() - began:.0f} s. Inventory: {lab.inventory}")
    return 0


def down(lab: Lab) -> int:
    """Stop it; nothing is left but the image."""
    with uninterrupted():
        removed = lab.down()
    print(f"removed {', '.join(removed)}" if removed else "nothing was running")
    return 0


def status(lab: Lab) -> int:
    """Show each host's state and what it answers."""
    states = lab.podman.containers() if lab.podman.has_namespace() else {}
    if not states:
        print("the lab is down: make lab")
        return NO_LAB
    for host in HOSTS:
        about = ""
        if host.role == "application":
            try:
                about = lab.ask(f"http://{host.address}:8080/version")
            except LabError as error:
                about = str(error)
        print(f"{host.name:6} {host.address:11} {host.zone or '':5} {states.get(host.name, 'absent'):10} {about.strip()}")
    return 0 if len(states) == len(HOSTS) else 1


def run(lab: Lab, command: list[str]) -> int:
    """Run a command in the lab's network: with Ansible's environment; `ssh HOST` knows the lab's keys; a playbook its variables."""
    if not lab.podman.has_namespace():
        raise LabError("the lab is down: make lab")
    if command[:1] == ["ssh"]:
        command = [*play.ssh_command(lab, command[1]), *command[2:]]
    elif command[:1] == ["ansible-playbook"]:
        command = [*command[:1], *play.variable_arguments(lab), *command[1:]]
    return subprocess.run(lab.podman.inside(command), env=play.environment(lab), check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("up", "down", "status", "run"))
    parser.add_argument("command", nargs=argparse.REMAINDER, help="with run: the command")
    options = parser.parse_args()
    verbs = {"up": up, "down": down, "status": status, "run": lambda lab: run(lab, options.command or [os.environ.get("SHELL", "sh")])}
    return exit_code_of("lab", lambda: verbs[options.verb](Lab()), (LabError,))


if __name__ == "__main__":
    sys.exit(main())
