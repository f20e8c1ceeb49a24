# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: a fleet of real hosts on one machine. Systemd, SSH, sudo, apt, reboots; two load balancers, six members, two database servers, a repository."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from fleet import artifacts, haproxy
from lab import inventory, provision
from lab.image import ensure as ensure_image
from lab.keys import Keys
from lab.layout import HOSTS, PRIMARY, STANDBY, Host, host, of_role
from lab.podman import LabError, Podman, missing

REPOSITORY = Path(__file__).resolve().parents[2]
DIRECTORY = REPOSITORY / "build" / "lab"
OLD = "1.0.0"
UP_SECONDS = 180
AT_ONCE = 4
CAPABILITIES = "NET_ADMIN,NET_RAW,SYS_ADMIN"


class Lab:
    """The lab whose files are in `directory`."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self.directory = directory
        self.podman = Podman(directory)
        self.keys = Keys(directory / "keys")
        self.inventory = directory / "inventory" / "hosts.yml"

    def up(self) -> None:
        """Build what is missing, start every host, return when the service answers on both load balancers. Whatever fails, nothing keeps running."""
        if why := missing():
            raise LabError(why)
        self.podman.prepare()
        if self.podman.containers():
            raise LabError("the lab is up already: make lab-down first")
        try:
            self._start(ensure_image(self.podman))
        except BaseException:
            self.down()
            raise

    def down(self) -> list[str]:
        """Remove every host, the network and the namespace; images stay for the next lab. Returns the names of the hosts that were there."""
        removed: list[str] = []
        if self.podman.has_namespace():
            removed = sorted(self.podman.containers())
            if removed:
                self.podman.run("rm", "--force", "--time", "2", "--volumes", *removed)
            self.podman.run("network", "rm", "--force", self.podman.namespace, check=False)
        self.podman.remove_namespace()
        for name in ("keys", "hosts", "inventory"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        return removed

    def is_up(self) -> bool:
        """Whether the lab's hosts are there."""
        return self.podman.has_namespace() and bool(self.podman.containers())

    def start(self, each: Host, image: str) -> None:
        """Create a host from an image and start it: its folder is copied into it, and read at its first boot."""
        self.podman.run("create", "--name", each.name, "--hostname", each.name, "--systemd=always", "--restart=always", "--network", self.podman.namespace,
                        "--ip", each.address, "--mac-address", each.mac, "--cap-add", CAPABILITIES, "--pids-limit", "500", image)
        self.podman.run("cp", f"{self.directory / 'hosts' / each.name}/.", f"{each.name}:/lab")
        self.podman.run("start", each.name)

    def exec(self, name: str, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command on a host without SSH, as its console would."""
        return self.podman.run("exec", name, *command, check=check)

    def server_states(self, load_balancer: str) -> dict[str, str]:
        """The members as a load balancer has them, each with its state and its last check's result; nothing when it does not answer."""
        asked = f"echo '{haproxy.SHOW_SERVERS}' | timeout 5 python3 /lab/ask /run/haproxy/admin.sock"
        return haproxy.parse_states(self.exec(load_balancer, "sh", "-c", asked, check=False).stdout)

    def ask(self, url: str, seconds: float = 5) -> str:
        """What a client in the lab's network gets from a URL; LabError when that is no answer with a status under 400."""
        done = subprocess.run(self.podman.inside(["curl", "--silent", "--show-error", "--fail", "--max-time", str(seconds), url]),
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"{url}: {done.stderr.strip()}")
        return done.stdout

    def _start(self, image: str) -> None:
        for name in ("keys", "hosts", "inventory"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        self.keys.make()
        releases = artifacts.build_all(self.directory / "artifacts")
        for artifact in releases.values():
            self.keys.sign(artifact.path)
        provision.write(self.directory / "hosts", self.keys, releases[OLD])
        inventory.write(self.directory, self.keys)
        self.podman.create_network()
        # The databases take longest, and the primary comes first.
        first = [host(PRIMARY), *of_role("repository")]
        for batch in (first, [each for each in HOSTS if each not in first]):
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self.start, batch, repeat(image)))
        self.wait(self.unready, "the lab is not complete")

    def wait(self, missing_things: Callable[[], list[str]], what: str, seconds: float = UP_SECONDS) -> None:
        """Wait until the list is empty."""
        deadline = time.monotonic() + seconds
        while missed := missing_things():
            if time.monotonic() > deadline:
                raise LabError(f"{what} after {seconds:.0f} s: {'; '.join(missed)}. Look at it: podman exec ... journalctl, or make lab-shell")
            time.sleep(0.5)

    def unready(self) -> list[str]:
        """What is not as a complete lab has it."""
        missed = [f"{each.name} does not answer SSH" for each in HOSTS if not _answers(self, each)]
        if not missed:
            for balancer in of_role("load_balancer"):
                up = sum(state == haproxy.HEALTHY for state in self.server_states(balancer.name).values())
                missed += [] if up == len(of_role("application")) else [f"{balancer.name} has {up} members in traffic"]
            streaming = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"
            standby = self.exec(STANDBY, "runuser", "-u", "postgres", "--", "psql", "-Atc", streaming, check=False)
            missed += [] if standby.stdout.strip() == "1" else [f"{STANDBY} does not stream"]
        return missed


def _answers(lab: Lab, each: Host) -> bool:
    done = subprocess.run(lab.podman.inside(["python3", "-c", f"import socket; socket.create_connection(({each.address!r}, 22), 1).recv(3)"]),
                          capture_output=True, check=False)
    return done.returncode == 0
