# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What faults are injected into: one interface, and the embedded fleet behind it. The lab is in in_lab.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from fleet import demo
from fleet.embedded import EmbeddedFleet
from fleet.haproxy import HaproxyError
from fleet.layout import BACKEND
from fleet.members import MemberError
from fleet.runs import Run
from lab.podman import LabError

PATIENCE_S = 600
RATE = 40
MIX = [{"kind": "keepalive", "share": 3, "path": "/products?tenant=a"}, {"kind": "new", "share": 3, "path": "/products?tenant=b"},
       {"kind": "sticky", "share": 2, "path": "/products?tenant=a"},
       {"kind": "write", "share": 1, "path": "/orders?tenant=b", "body": {"product": 1, "quantity": 2}, "status": [201]}]


@dataclass
class Users:
    """What the users of a fleet saw during a scenario."""

    scheduled: int
    failed: int
    live_min: int | None


@dataclass
class Running:
    """A playbook that is at work."""

    process: subprocess.Popen
    log: Path
    directory: Path

    def send(self, number: signal.Signals) -> None:
        """To the controller and what it started, as a terminal does."""
        os.killpg(self.process.pid, number)

    def end(self) -> Run:
        """Wait for its end."""
        code = self.process.wait(PATIENCE_S)
        return Run(code, self.log.read_text(encoding="utf-8"), self.directory)


class Fleet:
    """A fleet of six members behind two load balancers, and its users. A subclass says how it is reached."""

    name = ""
    directory: Path

    def __init__(self) -> None:
        self.runs = 0
        self.everybody = {f"app{number}" for number in range(1, 7)}

    # -- what a subclass does

    def command(self, playbook: str, variables: dict, output, environment: dict[str, str]) -> subprocess.Popen:
        raise NotImplementedError

    def release_of(self, member: str) -> str | None:
        """The release that a member answers, asked directly; None when it does not answer."""
        raise NotImplementedError

    def in_traffic(self) -> dict[str, set[str]]:
        """Load balancer to the members that it sends new traffic to."""
        raise NotImplementedError

    def probe(self, state: str, **options: object) -> None:
        """Start or stop the users' requests: the prober with these options."""
        raise NotImplementedError

    def fronts(self) -> list[str]:
        """Where users come in."""
        raise NotImplementedError

    def runtime_endpoints(self) -> dict[str, str]:
        """Load balancer to where its runtime socket answers."""
        raise NotImplementedError

    def kill(self, member: str) -> None:
        """A member dies without a word."""
        raise NotImplementedError

    def freeze(self, name: str) -> None:
        """A load balancer or a host stops in the middle of whatever it does."""
        raise NotImplementedError

    def thaw(self, name: str) -> None:
        """It goes on."""
        raise NotImplementedError

    def read(self, member: str, path: str) -> str | None:
        """A file below a member's release root; None when there is none."""
        raise NotImplementedError

    def left_behind(self) -> list[Path]:
        """The folders of this machine where a run leaves something."""
        raise NotImplementedError

    def hosts_that_know(self, word: str) -> list[str]:
        """The hosts with this word in a file or a journal, as far as left_behind does not have those."""
        raise NotImplementedError

    def artifact(self, release: str) -> Path:
        """The archive of a release."""
        return self.directory / "artifacts" / f"shop-{release}.tar.gz"

    @property
    def inventory(self) -> Path:
        raise NotImplementedError

    @contextmanager
    def inventory_without(self, member: str):
        """Meanwhile a member is missing in the inventory."""
        text = self.inventory.read_text(encoding="utf-8")
        hosts = yaml.safe_load(text)
        del hosts["all"]["children"]["app"]["hosts"][member]
        self.inventory.write_text(yaml.safe_dump(hosts), encoding="utf-8")
        try:
            yield
        finally:
            self.inventory.write_text(text, encoding="utf-8")

    # -- what both do

    @contextmanager
    def group_variables(self, group: str, **variables: object):
        """Meanwhile the inventory has these variables for a group."""
        path = self.inventory.parent / "group_vars" / f"{group}.yml"
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(variables), encoding="utf-8")
        try:
            yield
        finally:
            path.unlink()

    def begin(self, playbook: str, environment: dict[str, str] | None = None, **variables: object) -> Running:
        """Start a playbook of the collection, and do not wait for it."""
        self.runs += 1
        log = self.directory / f"fault-{self.runs:02}-{playbook}.log"
        with log.open("w", encoding="utf-8") as output:
            process = self.command(playbook, {"upgrade_probe": {}, **variables}, output, environment or {})
        return Running(process, log, self.report_directory)

    def run(self, playbook: str, environment: dict[str, str] | None = None, **variables: object) -> Run:
        """Run a playbook of the collection to its end."""
        return self.begin(playbook, environment, **variables).end()

    @property
    def report_directory(self) -> Path:
        return self.directory

    def releases(self) -> dict[str, str | None]:
        """Member to the release that it answers."""
        return {member: self.release_of(member) for member in sorted(self.everybody)}

    def users_come(self) -> None:
        """From now on requests come in at both load balancers, at a steady rate."""
        capacity = [{"name": name, "endpoint": endpoint, "backend": BACKEND} for name, endpoint in self.runtime_endpoints().items()]
        self.probe("started", targets=self.fronts(), capacity=capacity, rate=RATE, mix=MIX, max_seconds=900, max_requests=900 * RATE)

    def users_saw(self) -> Users:
        """Their figures since they came; they stay."""
        path = self.directory / "users" / "live.json"
        wait_until(path.exists, "the prober wrote its figures")
        figures = json.loads(path.read_text(encoding="utf-8"))
        return Users(figures["requests_scheduled"], figures["requests_failed"], figures["live_min"])

    def users_leave(self) -> None:
        self.probe("stopped")


class Embedded(Fleet):
    """The fleet of plain processes."""

    name = "embedded"

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.fleet = EmbeddedFleet(directory)
        self.directory = directory

    def __enter__(self) -> Embedded:
        self.fleet.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.users_leave()
        finally:
            self.fleet.__exit__(*error)

    def command(self, playbook: str, variables: dict, output, environment: dict[str, str]) -> subprocess.Popen:
        return demo.begin_playbook(playbook, self.directory, variables, output=output, environment=environment)

    def release_of(self, member: str) -> str | None:
        try:
            return self.fleet.member_version(member)
        except MemberError:
            return None

    def in_traffic(self) -> dict[str, set[str]]:
        return self.fleet.in_traffic()

    def probe(self, state: str, **options: object) -> None:
        demo.probe(self.directory / "users", state, **options).check_returncode()

    def fronts(self) -> list[str]:
        return [balancer.front_url for balancer in self.fleet.layout.load_balancers]

    def runtime_endpoints(self) -> dict[str, str]:
        return {balancer.name: balancer.traffic_endpoint for balancer in self.fleet.layout.load_balancers}

    def kill(self, member: str) -> None:
        self.fleet.kill_member(member)

    def freeze(self, name: str) -> None:
        self._signal_all(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._signal_all(name, signal.SIGCONT)

    def _signal_all(self, name: str, number: signal.Signals) -> None:
        """A process and those that it has begun: a load balancer's master and its workers."""
        process = self.fleet.record.processes[name]
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split():
            os.kill(int(child), number)
        process.send(number)

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory.yml"

    def left_behind(self) -> list[Path]:
        return [self.directory]

    def hosts_that_know(self, word: str) -> list[str]:
        return []  # every host's folder is in the fleet's

    def root(self, member: str) -> Path:
        """A member's release root, which is a folder of this machine."""
        return self.fleet.layout.member(member).directory

    def read(self, member: str, path: str) -> str | None:
        file = self.root(member) / path
        return file.read_text(encoding="utf-8") if file.exists() else None


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Wait for something to be the case; AssertionError that names it when it is not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (HaproxyError, MemberError, LabError):
            pass
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
