# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman with storage, settings and a network namespace of the lab's own: nothing of it meets the machine's other containers or networks.

The namespace has no uplink. Whatever the lab's hosts send, it stays in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from lab.layout import CONTROLLER, NETWORK

NEEDED = ("iptables", "podman", "runc", "ip", "nsenter", "ssh", "ssh-keygen")
COMMAND_SECONDS = 120


class LabError(Exception):
    """The lab cannot do what it was asked; the message says why, and what would help."""


def missing() -> str:
    """Why there can be no lab on this machine; empty when there can."""
    if os.geteuid() != 0:
        return "the lab needs root: it makes a network namespace and hosts that run systemd (sudo make lab)"
    absent = [program for program in NEEDED if not shutil.which(program)]
    if absent:
        return f"the lab needs {', '.join(absent)}: apt-get install podman runc netavark iptables iproute2 util-linux openssh-client debootstrap"
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    return f"the lab needs namespaces, which this machine does not let it make: {probe.stderr.strip()}" if probe.returncode else ""


class Podman:
    """Podman's command line, for the lab that lives in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        mark = hashlib.sha256(str(directory).encode()).hexdigest()[:8]
        # The network has the namespace's name: podman counts the addresses of all networks of this machine in one file, by the network's name.
        self.namespace = f"lab-{mark}"
        # Sockets' paths are short, and a run folder has to be gone after a boot of the machine.
        self.run_folder = Path("/run") / f"alwayson-lab-{mark}"
        self.settings = directory / "settings"

    def prepare(self) -> None:
        """Write the settings, and make the namespace."""
        self.settings.mkdir(parents=True, exist_ok=True)
        (self.settings / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.directory / "storage"}"\nrunroot = "{self.run_folder / "storage"}"\n', encoding="utf-8")
        (self.settings / "containers.conf").write_text(
            # Neither limit may be higher than what this machine allows its own processes; hosts of a lab need no more.
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4000:4000"]\n'
            f'[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\ntmp_dir = "{self.run_folder / "engine"}"\n'
            f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{self.settings / "networks"}"\n', encoding="utf-8")
        if not self.has_namespace():
            _run(["ip", "netns", "add", self.namespace])
            _run(["ip", "-n", self.namespace, "link", "set", "lo", "up"])

    def has_namespace(self) -> bool:
        return (Path("/run/netns") / self.namespace).exists()

    def remove_namespace(self) -> None:
        """Take away what lives outside the lab's directory."""
        if self.has_namespace():
            _run(["ip", "netns", "delete", self.namespace])
        shutil.rmtree(self.run_folder, ignore_errors=True)

    def inside(self, command: list[str]) -> list[str]:
        """A command as it runs in the lab's network. Not `ip netns exec`: that hides the mounted control groups."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *command]

    def run(self, *arguments: str, check: bool = True, seconds: float = COMMAND_SECONDS, network: bool = True) -> subprocess.CompletedProcess:
        """Run podman; in the lab's network unless it builds an image, which needs the machine's."""
        command = ["podman", *arguments]
        return _run(self.inside(command) if network else command, check=check, seconds=seconds, environment=self.environment())

    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": str(self.settings / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(self.settings / "storage.conf"),
                "BUILDAH_ISOLATION": "chroot"}

    def create_network(self) -> None:
        """The lab's one network: a bridge in its namespace; the controller has the first address."""
        if self.run("network", "exists", self.namespace, check=False).returncode:
            self.run("network", "create", "--internal", "--disable-dns", "--subnet", NETWORK, "--gateway", CONTROLLER, self.namespace)

    def containers(self) -> dict[str, str]:
        """Host name to its container's state."""
        listed = self.run("ps", "--all", "--format", "{{.Names}} {{.State}}").stdout
        return dict(line.split(maxsplit=1) for line in listed.splitlines())


def _run(command: list[str], *, check: bool = True, seconds: float = COMMAND_SECONDS, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)} has not ended after {seconds:.0f} s") from error
    if check and done.returncode:
        raise LabError(f"{' '.join(command)} failed ({done.returncode}): {(done.stderr or done.stdout).strip()[-2000:]}")
    return done
