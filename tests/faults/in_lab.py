# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's hosts as the fault table sees them, and what can be done to a real host."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path

from fleet import demo, haproxy
from lab import play
from lab.lab import Lab
from lab.layout import CONTROLLER, HOSTS, VIRTUAL_ADDRESS, of_role
from lab.podman import LabError

from faults.fleets import Fleet, wait_until

OLD = "1.0.0"
WRITTEN_TO = "/etc /home /root /run /srv /tmp /var"
HOLD_THE_LOCK = ("import fcntl, time; file = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(file, fcntl.LOCK_EX); "
                 "open('/run/hold-the-lock', 'w').close(); time.sleep(300)")


class InLab(Fleet):
    """The lab's hosts."""

    name = "lab"

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab
        self.directory = lab.directory / "faults"
        self.directory.mkdir(exist_ok=True)

    @property
    def report_directory(self) -> Path:
        return self.lab.directory / "report"

    def command(self, playbook: str, variables: dict, output, environment: dict[str, str]) -> subprocess.Popen:
        return play.begin_playbook(self.lab, f"alwayson.upgrade.{playbook}", variables, output=output, extra=environment)

    def release_of(self, member: str) -> str | None:
        try:
            return json.loads(self.lab.ask(f"http://{self._address(member)}:8080/version", seconds=2))["release"]
        except LabError:
            return None

    def _address(self, member: str) -> str:
        return next(host.address for host in of_role("application") if host.name == member)

    def in_traffic(self) -> dict[str, set[str]]:
        return {balancer.name: haproxy.in_traffic(self.lab.server_states(balancer.name))
                for balancer in of_role("load_balancer")}

    def probe(self, state: str, **options: object) -> None:
        command = self.lab.podman.inside(demo.probe_command(self.directory / "users", state, **options))
        subprocess.run(command, env=play.environment(self.lab), capture_output=True, check=True, timeout=120)

    def fronts(self) -> list[str]:
        return [f"http://{VIRTUAL_ADDRESS}", *(f"http://{balancer.address}" for balancer in of_role("load_balancer"))]

    def runtime_endpoints(self) -> dict[str, str]:
        return {balancer.name: f"tcp://{balancer.address}:9000" for balancer in of_role("load_balancer")}

    def kill(self, member: str) -> None:
        # Not `podman kill`, after which the host would boot again.
        self.lab.podman.run("stop", "--time", "0", member)

    def freeze(self, name: str) -> None:
        self.lab.podman.run("pause", name)

    def thaw(self, name: str) -> None:
        self.lab.podman.run("unpause", name)

    @property
    def inventory(self) -> Path:
        return self.lab.inventory

    def read(self, member: str, path: str) -> str | None:
        done = self.lab.exec(member, "cat", f"/srv/shop/{path}", check=False)
        return None if done.returncode else done.stdout

    def left_behind(self) -> list[Path]:
        return [self.directory, self.report_directory, self.lab.directory / "ansible"]

    def hosts_that_know(self, word: str) -> list[str]:
        assert "/etc/hostname" in self._search("app1", "app1"), "the search does not find what is there"
        return [f"{each.name}: {found}" for each in HOSTS if (found := self._search(each.name, word))]

    def _search(self, name: str, word: str) -> str:
        return self.lab.exec(name, "sh", "-c", f"journalctl --quiet | grep -F {word}; grep -rlF {word} {WRITTEN_TO}", check=False).stdout

    # -- what is done to a host

    def first_out(self) -> str:
        """Wait until a member has left traffic on both load balancers; returns its name."""
        out: set[str] = set()

        def any_out() -> bool:
            out.update(self.everybody - set.union(*self.in_traffic().values()))
            return bool(out)

        wait_until(any_out, "a member left traffic")
        return out.pop()

    def states(self) -> dict[str, str]:
        return self.lab.podman.containers()

    def boot(self, member: str) -> str:
        """Boot identifier: the start time of the container's first process."""
        return self.lab.exec(member, "cut", "-d ", "-f22", "/proc/1/stat").stdout.strip()

    def package(self, member: str, name: str) -> str:
        return self.lab.exec(member, "dpkg-query", "--show", "--showformat", "${Version}", name).stdout

    def holds_updates(self, member: str) -> bool:
        return self.lab.exec(member, "test", "-e", "/etc/apt/apt.conf.d/99alwayson-upgrade-hold", check=False).returncode == 0

    def old_packages(self) -> None:
        """The packages as the image has them, wherever an update was installed."""
        for member in sorted(self.everybody):
            if self.package(member, "lab-kernel") != "1.0" or self.package(member, "lab-agent") != "1.0":
                self.lab.exec(member, "sh", "-c", "dpkg --install /srv/apt/old/*.deb && rm -f /run/reboot-required*")

    @contextmanager
    def another_host_key(self, member: str):
        """And nobody has a session there that began before."""
        self.lab.exec(member, "sh", "-c", "cd /etc/ssh && mkdir kept && mv lab_host_key* kept/ && ssh-keygen -q -t ed25519 -N '' -f lab_host_key "
                                          "&& cp lab_host_key.pub lab_host_key-cert.pub && systemctl restart ssh && pkill -u deploy sshd")
        try:
            yield
        finally:
            self.lab.exec(member, "sh", "-c", "cd /etc/ssh && mv -f kept/* . && rmdir kept && systemctl restart ssh")

    @contextmanager
    def partitioned(self, member: str):
        """Nothing passes between the controller and this host; everybody else reaches it."""
        self.lab.exec(member, "nft", f"add table ip lab; add chain ip lab in {{ type filter hook input priority 0; }}; "
                                     f"add rule ip lab in ip saddr {CONTROLLER} drop")
        try:
            yield
        finally:
            self.lab.exec(member, "nft", "delete table ip lab")

    @contextmanager
    def package_lock_held(self, member: str):
        self.lab.exec(member, "systemd-run", "--quiet", "--unit", "hold-the-lock", "/usr/bin/python3", "-c", HOLD_THE_LOCK)
        try:
            wait_until(lambda: self.lab.exec(member, "test", "-e", "/run/hold-the-lock", check=False).returncode == 0, "the lock is held")
            yield
        finally:
            self.lab.exec(member, "sh", "-c", "systemctl stop hold-the-lock; rm -f /run/hold-the-lock")

    # -- and undone

    def heal(self) -> None:
        """As new: every host up, on the old release, in traffic, without a lock."""
        for name, state in self.states().items():
            if state.startswith("Paused"):
                self.thaw(name)
            elif not state.startswith("Up"):
                self.lab.podman.run("start", name)
        for member in self.everybody:
            # A host that was just started has no systemd yet that one could ask.
            wait_until(lambda member=member: self.lab.exec(member, "systemctl", "start", "ssh", "shop"), f"{member} is up")
        wait_until(lambda: all(self.release_of(member) for member in self.everybody), "every member answers")
        self.lab.exec("lb1", "rm", "-f", "/var/lib/alwayson/shop.lock")
        if set(self.releases().values()) != {OLD} or any(members != self.everybody for members in self.in_traffic().values()):
            run = self.run("rollback", upgrade_release=OLD, upgrade_method="rolling", upgrade_max_unavailable="50%", upgrade_min_live=0, upgrade_artifact=str(
                self.lab.directory / "artifacts" / f"shop-{OLD}.tar.gz"))
            assert run.code == 0, f"the lab did not heal:\n{run.output[-3000:]}"
        self.lab.wait(self.lab.unready, "the lab is not whole", seconds=90)
