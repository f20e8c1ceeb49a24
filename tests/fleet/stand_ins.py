# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three members and a load balancer of kind ``http``, all of them threads of the test, each host a folder: a run of plan.yml takes a few seconds.

What a member answers can be set by a test, and every change that the load balancer was asked for is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import yaml
from fleet.runs import Run
from json_server import Asked, JsonServer, Reply

REPOSITORY = Path(__file__).resolve().parents[2]
MEMBERS = ("app1", "app2", "app3")
OLD, NEW = "1.0.0", "2.0.0"
CONTROL = '#!/bin/sh\ncase $1 in start) : > "$2/up" ;; stop) rm -f "$2/up" ;; status) [ -e "$2/up" ] || exit 3 ;; esac\n'


class StandIns:
    """The fleet on release 1.0.0. `hosts` are the members' variables and `balancer` those of the load balancer, to be changed before a run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.admin = dict.fromkeys(MEMBERS, "ready")
        self.balancer_api = JsonServer()
        self.members = {name: JsonServer() for name in MEMBERS}
        self.hosts: dict[str, dict] = {}
        self.balancer: dict[str, object] = {}
        self.service: dict[str, object] = {}

    def __enter__(self) -> StandIns:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        (self.directory / "control").write_text(CONTROL, encoding="ascii")
        (self.directory / "control").chmod(0o755)
        checksums = {release: self._archive(release) for release in (OLD, NEW)}
        for name, server in self.members.items():
            self._host(name, checksums[OLD])
            server.routes = {"GET /healthz": "ok", "GET /version": lambda _asked, name=name: {"release": self.current(name)}}
            server.__enter__()
        self.balancer_api.routes = {"GET /pool/app": lambda _asked: {"rows": [self._row(name) for name in MEMBERS]},
                                    "GET /healthz": self._through, "GET /version": self._through}
        for name in MEMBERS:
            for state in ("ready", "maint"):
                self.balancer_api.routes[f"POST /set/{name}/{state}"] = lambda _asked, name=name, state=state: self.admin.update({name: state}) or {}
        self.balancer_api.__enter__()
        self._describe(checksums[NEW])
        return self

    def __exit__(self, *_exception: object) -> None:
        for server in (self.balancer_api, *self.members.values()):
            server.__exit__()

    def root(self, name: str) -> Path:
        """The host's release_root."""
        return self.directory / "hosts" / name

    def current(self, name: str) -> str:
        """The release that runs there."""
        return os.path.basename(os.readlink(self.root(name) / "current"))

    @property
    def taken_out(self) -> list[str]:
        """The changes that took a member out of traffic."""
        return [asked.path for asked in self.balancer_api.changes if asked.path.endswith("maint")]

    def run(self, playbook: str, *arguments: str, environment: dict[str, str] | None = None, **variables: object) -> Run:
        """Run a playbook of the collection as a user would."""
        changes = {state: {"path": "/set/{name}/" + state} for state in ("ready", "maint")}
        balancer = {"traffic_kind": "http", "traffic_endpoint": self.balancer_api.url, "front_url": self.balancer_api.url,
                    "traffic_settings": {"path": "/pool/{backend}", "members": "rows", "backends": ["app"], "change": changes}, **self.balancer}
        inventory = {"all": {"vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}, "children": {
            "load_balancers": {"hosts": {"lb1": {key: value for key, value in balancer.items() if value is not None}}},
            "app": {"hosts": self.hosts}}}}
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        command = [Path(sys.executable).with_name("ansible-playbook"), f"alwayson.upgrade.{playbook}", "-i", self.directory / "inventory.yml",
                   "-e", json.dumps({**self.service, **variables}), *arguments]
        ended = subprocess.run(command, cwd=self.directory, env={**self._environment(), **(environment or {})}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        (self.directory / "run.log").write_text(ended.stdout, encoding="utf-8")
        return Run(ended.returncode, ended.stdout, self.directory / "report")

    def _archive(self, release: str) -> str:
        path = self.directory / f"shop-{release}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            entry = tarfile.TarInfo("app.txt")
            entry.size = len(release)
            archive.addfile(entry, BytesIO(release.encode("ascii")))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def _host(self, name: str, checksum: str) -> None:
        release = self.root(name) / "releases" / OLD
        release.mkdir(parents=True)
        (release / ".release.json").write_text(json.dumps({"version": OLD, "sha256": checksum, "staged": 1.0, "files": 1, "size": 5}), encoding="ascii")
        (self.root(name) / "current").symlink_to(f"releases/{OLD}")
        (self.root(name) / "up").touch()

    def _describe(self, checksum: str) -> None:
        control = str(self.directory / "control")
        self.hosts = {name: {"member_address": "127.0.0.1", "member_port": int(server.address.rpartition(":")[2]), "release_root": str(self.root(name)),
                             **{f"release_{verb}_command": [control, verb, str(self.root(name))] for verb in ("start", "stop", "status")}}
                      for name, server in self.members.items()}
        self.service = {"upgrade_service": "shop", "upgrade_method": "rolling", "upgrade_release": NEW, "upgrade_traffic_via": "localhost",
                        "upgrade_artifact": str(self.directory / f"shop-{NEW}.tar.gz"), "upgrade_artifact_sha256": checksum,
                        "upgrade_state_directory": str(self.directory / "state"), "upgrade_report_directory": str(self.directory / "report"),
                        "upgrade_smoke_timeout": 5, "upgrade_drain_timeout": 10}

    def _row(self, name: str) -> dict:
        return {"name": name, "address": self.members[name].address, "admin": self.admin[name], "health": "up", "sessions": 0}

    def _through(self, asked: Asked) -> object:
        """What users get: the answer of the first member that is in traffic."""
        ready = [self.members[name] for name in MEMBERS if self.admin[name] == "ready"]
        return ready[0].reply(asked) if ready else Reply(503)

    def _environment(self) -> dict[str, str]:
        own = {"ANSIBLE_HOME": str(self.directory / "ansible"), "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
               "ANSIBLE_LOCALHOST_WARNING": "false", "LC_ALL": "C.UTF-8"}
        return {**{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}, **own}
